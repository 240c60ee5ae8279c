"""Logging in with the token, and out again.

After a login the browser is led to the page that it came from, which has to be one of ours.
"""

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from zkexec.ctl.web.login_sessions import SESSION_S
from zkexec.ctl.web.page_answers import PageAnswers, redirect
from zkexec.ctl.web.request_guard import PageReader, RequestGuard

LOGIN, LOGOUT = "/login", "/logout"

_OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")
"""A path on this server: a second slash would begin the name of another one."""
_LONGEST_PATH = 4000


class LoginSite:
    """Answers the requests for logging in and out."""

    def __init__(self, guard: RequestGuard, answers: PageAnswers) -> None:
        self._guard = guard
        self._answers = answers

    def form(self, request: Request, reader: PageReader, back: str) -> Response:
        """Return the form; `back` is where a login leads."""
        if refusal := self._refusal(request, reader, back):
            return refusal
        return self._answers.page("login.html", reader, error="", next=own_path(back))

    def _refusal(self, request: Request, reader: PageReader, back: str) -> Response | None:
        """Return the answer if too many logins have failed."""
        wait_s = self._guard.failures.wait_s(self._guard.address(request))
        if not wait_s:
            return None
        wait = str(int(wait_s) + 1)
        error = f"Too many failed logins: wait {wait} s."
        answer = self._answers.page("login.html", reader, 429, error=error, next=own_path(back))
        answer.headers["Retry-After"] = wait
        return answer

    def log_in(self, request: Request, reader: PageReader, fields: Mapping[str, str]) -> Response:
        """Begin a session, if the token is right."""
        back = own_path(fields.get("next", ""))
        if refusal := self._refusal(request, reader, back):
            return refusal
        if not self._guard.is_token(request, fields.get("token", "").strip()):
            error = "This is not the token."
            return self._answers.page("login.html", reader, 403, error=error, next=back)
        answer = redirect(back)
        answer.set_cookie(
            self._guard.cookie_name,
            self._guard.sessions.begin(),
            max_age=int(SESSION_S),
            secure=self._guard.options.is_behind_tls,
            httponly=True,
            samesite="strict",
        )
        return answer

    def log_out(self, request: Request, reader: PageReader, fields: Mapping[str, str]) -> Response:
        """End the session."""
        if not self._guard.is_own_form(reader, fields):
            return self._answers.message(reader, 403, "The form is not one of this session.")
        self._guard.sessions.end(request.cookies.get(self._guard.cookie_name, ""))
        answer = redirect("/")
        answer.delete_cookie(
            self._guard.cookie_name,
            secure=self._guard.options.is_behind_tls,
            httponly=True,
            samesite="strict",
        )
        return answer


def own_path(path: str) -> str:
    """Return a path of this server, / instead of anything else."""
    return path if len(path) <= _LONGEST_PATH and _OWN_PATH.fullmatch(path) else "/"
