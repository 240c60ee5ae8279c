"""Describe what is wrong with a template, without showing any content.

A template computes with secrets, and each of its values can become part of an error: as a name, as
a path, or in the text of an exception.  So an error shows only our own words, and what the template
itself contains as an identifier or a path.  Of Python's exceptions it shows the kind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jinja2.exceptions import (
    TemplateNotFound,
    TemplateRuntimeError,
    TemplatesNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from jinja2.lexer import TOKEN_NAME, TOKEN_STRING

from zkexec.core.rendering_result import RenderFailed, RenderResult, ValueMissing
from zkexec.templates.result_codec import LONGEST_REASON
from zkexec.templates.syntax_errors import shown_of, unknown_in
from zkexec.text import cut, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jinja2 import Environment

    from zkexec.templates.render_request import RenderLimits

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_COMPUTED = "a computed path"
_KINDS = {
    RecursionError: "it calls or includes itself too deeply",
    UndefinedError: "an undefined value is used",
    ZeroDivisionError: "it divides by zero",
}
"""What is shown of an error that is not ours, if not only its kind."""


class Words:
    """The identifiers and the paths that templates contain."""

    def __init__(self, texts: Iterable[str], environment: Environment) -> None:
        self._names: set[str] = set()
        self._paths: set[str] = set()
        for text in texts:
            self._read(text, environment)

    def name(self, name: object) -> str:
        """Return the name if it may be shown, else ""."""
        if isinstance(name, str) and name in self._names and _IDENTIFIER.fullmatch(name):
            return name
        return ""

    def path(self, path: str) -> str:
        """Return the path if it may be shown, or as much of it."""
        if path in self._paths or path in self._names:
            return path
        above = path.rpartition("/")[0]
        while above and above not in self._paths:
            above = above.rpartition("/")[0]
        return f"{_COMPUTED} below {above}" if above else _COMPUTED

    def _read(self, text: str, environment: Environment) -> None:
        try:
            for _, kind, value in environment.lex(text):
                if kind == TOKEN_NAME:
                    self._names.add(value)
                elif kind == TOKEN_STRING:
                    self._read_string(value[1:-1])
        except TemplateSyntaxError:
            return  # What comes behind the error is not shown.

    def _read_string(self, text: str) -> None:
        self._names.add(text)
        path = text.rstrip("/")
        while path.startswith("/") and path not in self._paths:
            self._paths.add(path)
            path = path.rpartition("/")[0]


class TemplateError(Exception):
    """Something is wrong with a template.

    `text` is ours.  In it, "{name}" is replaced by `name`, and "{path}" by `path`, as far as the
    template itself contains them.  `below` is the name of a znode below the path.
    """

    def __init__(self, text: str, *, name: object = None, path: str = "", below: str = "") -> None:
        super().__init__(text)
        self._text = text
        self._name = name
        self._path = path
        self._below = below

    def describe(self, words: Words) -> str:
        """Return the text with what may be shown."""
        name, path = words.name(self._name), words.path(self._path)
        if self._below and path == self._path:
            path = f"{path}/{self._below}"
        shown = self._text.replace("{name}", f"'{name}'" if name else "a computed name")
        return shown.replace("{path}", path)


class ValueMissingError(Exception):
    """A template needs a znode that does not exist."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class SourceTexts:
    """The templates that a rendering has read: what may be shown of a name or a path."""

    def __init__(self, given: Iterable[str], limits: RenderLimits) -> None:
        """`given` are the names of templates that options name, so that they can be shown."""
        self._limits = limits
        self._given = frozenset(given)
        self._texts: dict[str, str] = {}

    def add(self, name: str, text: str) -> None:
        """Add a template that is read."""
        self._texts[name] = text

    def describe(self, error: BaseException, name: str, environment: Environment) -> RenderResult:
        """Describe why the template with this name could not be rendered."""
        place, line = _place(error, name)
        if isinstance(error, MemoryError):
            # What the template has made is only kept by them.
            error.__traceback__ = error.__context__ = None
        words = Words(self._texts.values(), environment)
        shown = place if place in self._given else words.path(place)
        where = f"{shown}: line {line}" if line else shown
        missing = _missing_path(error)
        if missing:
            path = words.path(missing)
            return ValueMissing(path if path == missing else f"{path} ({where})")
        reason = f"{where}: {_text(error, words, self._limits)}"
        return RenderFailed(cut(printable(reason), LONGEST_REASON))


def _place(error: BaseException, name: str) -> tuple[str, int]:
    """Find the innermost template in which an error occurred, and the line; 0 if it has none."""
    if isinstance(error, TemplateSyntaxError):
        return error.name or name, error.lineno
    line = 0
    trace = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            name, line = template.name, template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return name, line


def _missing_path(error: BaseException) -> str:
    if isinstance(error, ValueMissingError):
        return error.path
    if isinstance(error, TemplatesNotFound):
        return next((path for path in error.templates if isinstance(path, str)), "")
    if isinstance(error, TemplateNotFound):
        return str(error.name or "")
    return ""


def _text(error: BaseException, words: Words, limits: RenderLimits) -> str:
    if isinstance(error, TemplateError):
        return error.describe(words)
    if isinstance(error, MemoryError):
        return limits.memory_exceeded
    shown = next((text for kind, text in _KINDS.items() if isinstance(error, kind)), "")
    if not shown and isinstance(error, TemplateSyntaxError | TemplateRuntimeError):
        shown = _text_of_jinja(error.message or "", words)
    if isinstance(error, TemplateSyntaxError):
        return f"syntax error: {shown}".removesuffix(": ")
    return shown or type(error).__name__


def _text_of_jinja(message: str, words: Words) -> str:
    kind, name = unknown_in(message)
    if not kind:
        return shown_of(message)
    return f"there is no {kind} '{name}'" if words.name(name) else f"there is no such {kind}"
