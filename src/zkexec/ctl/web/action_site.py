"""The actions: a form with who and why, and doing what was confirmed in it."""

from collections.abc import Mapping

from starlette.responses import Response

from zkexec.ctl.arguments import ClusterOptions
from zkexec.ctl.exit_status import NO, SubcommandError
from zkexec.ctl.status import phrases
from zkexec.ctl.web.action_form import ActionForm, form_of
from zkexec.ctl.web.cluster_thread import BusyError
from zkexec.ctl.web.cluster_views import GroupView
from zkexec.ctl.web.page_addresses import group_url
from zkexec.ctl.web.page_answers import PageAnswers, redirect
from zkexec.ctl.web.request_guard import PageReader, RequestGuard
from zkexec.ctl.web.view_board import ViewBoard
from zkexec.frozen import frozen

_BUSY = "too many requests wait for the cluster: try again"


@frozen()
class _Failure:
    """Why an action was not done, and the status of the answer."""

    text: str
    status: int


class ActionSite:
    """Answers the requests for forms of actions, and the forms."""

    def __init__(
        self,
        guard: RequestGuard,
        board: ViewBoard,
        answers: PageAnswers,
        connection: ClusterOptions,
    ) -> None:
        self._guard = guard
        self._board = board
        self._answers = answers
        self._connection = connection

    async def show(
        self, reader: PageReader, name: str, action: str, given: Mapping[str, str]
    ) -> Response:
        """Return the form, with what is given of its fields."""
        return await self._form(reader, form_of(name, action, given), None)

    async def act(
        self, reader: PageReader, name: str, action: str, given: Mapping[str, str]
    ) -> Response:
        """Do the action of a form."""
        if reader.session is None or not self._guard.is_own_form(reader, given):
            text = "The form is not one of this session: load it again."
            return self._answers.message(reader, 403, text, (group_url(name), name))
        by_user = {"by": reader.user} if reader.user else {}
        form = form_of(name, action, {**given, **by_user})
        mark = given.get("record", "")
        if not mark:
            return await self._form(reader, form, _Failure("the form has no record", 422))
        try:
            done = await self._board.run(form.act(self._connection, mark))
        except ValueError as mistake:
            return await self._form(reader, form, _Failure(str(mistake), 422))
        except SubcommandError as error:
            status = 409 if error.status == NO else 502
            return await self._form(reader, form, _Failure(str(error), status))
        except BusyError:
            return await self._form(reader, form, _Failure(_BUSY, 503))
        self._board.forget(name)
        self._guard.sessions.leave_notice(reader.session, f"{name}: {done}")
        return redirect(group_url(name))

    async def _form(
        self, reader: PageReader, form: ActionForm, failure: _Failure | None
    ) -> Response:
        """Show a form, with what is true now."""
        try:
            mark = await self._board.run(form.mark())
        except SubcommandError as error:
            failure = failure or _Failure(str(error), 404 if error.status == NO else 503)
        except BusyError:
            failure = failure or _Failure(_BUSY, 503)
        else:
            return await self._shown(reader, form, failure, mark)
        return self._answers.message(
            reader, failure.status, failure.text, (group_url(form.name), form.name)
        )

    async def _shown(
        self, reader: PageReader, form: ActionForm, failure: _Failure | None, mark: str
    ) -> Response:
        view = await self._board.view(form.name)
        status = view.status if isinstance(view, GroupView) else None
        return self._answers.page(
            "action.html",
            reader,
            failure.status if failure else 200,
            name=form.name,
            action=form.action,
            record=mark,
            headline=phrases.headline(status, view.read_at) if status else "",
            error=failure.text if failure else "",
            fields=form.fields,
        )
