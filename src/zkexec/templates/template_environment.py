"""Jinja2 as zkexec sets it up: a sandbox whose result depends on nothing but its input.

Two things of Python differ from process to process, and would make each rendering a change: the
order of sets, which a fixed seed of hashes settles, and texts that contain the address of an
object.  So whatever has such a text is not printed, and gets a fixed text if it becomes part of
another in some other way.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType
from typing import TYPE_CHECKING, NoReturn

from jinja2 import BaseLoader, StrictUndefined, Template, TemplateNotFound, Undefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from zkexec.templates import template_filters
from zkexec.templates.template_errors import SourceTexts, TemplateError, ValueMissingError
from zkexec.templates.template_functions import (
    NamedFunction,
    TemplateValues,
    template_globals,
    unwrapped,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment

    from zkexec.templates.host_facts import HostFacts

_BARE_FUNCTIONS = (
    BuiltinFunctionType,
    FunctionType,
    MethodType,
    MethodWrapperType,
    BlockReference,
)
_REPR_WITH_ADDRESS: object = object.__repr__
_HINTS = frozenset({"there is no previous item", "there is no next item"})
"""The hints of Jinja2 that name nothing."""


class _ReportedUndefined(StrictUndefined):
    """An undefined value, which raises an error of our own whenever it is used."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Raise, so that it is no part of a list that is printed, either."""
        return self._undefined_message

    @property
    def _undefined_message(self) -> str:
        """Called only to raise an error."""
        name = self._undefined_name
        if self._undefined_exception is SecurityError:
            raise TemplateError("{name} may not be used in templates", name=name)
        if self._undefined_hint in _HINTS:
            raise TemplateError(self._undefined_hint)
        if self._undefined_obj is missing:
            raise TemplateError("{name} is undefined", name=name)
        if isinstance(name, int):
            raise TemplateError("there is no element with this number")
        raise TemplateError("this value lacks {name}, as attribute and as key", name=name)


class _LazyItems:
    """The items of a generator, which are made when they are needed; its text is always the same.

    Filters such as `map` and `select` return one.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterator[object]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        return next(self._items)

    def __repr__(self) -> str:
        return "<items>"


class _NamedContext(Context):
    """A context whose `super` has a fixed text."""

    def super(  # type: ignore[override]  # it is called in the same way
        self, name: str, current: Callable[[Context], Iterator[str]]
    ) -> object:
        """Return the block above."""
        return _with_fixed_text(super().super(name, current))


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Everything that templates can use."""

    context_class = _NamedContext

    def __init__(self, values: TemplateValues, facts: HostFacts, sources: SourceTexts) -> None:
        super().__init__(
            loader=_ValueLoader(values, sources),
            undefined=_ReportedUndefined,
            finalize=_refuse_unprintable,
            trim_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
            auto_reload=False,
        )
        self.globals.pop("lipsum")
        self.globals.update(template_globals(values, facts))
        self.filters.pop("random")
        self.filters.update(template_filters.filters())
        for name, function in self.filters.items():
            self.filters[name] = _without_generators(function)

    def template(self, name: str, text: str) -> Template:
        """Compile a template that an option names, which need not be below `--values`."""
        code = self.compile(text, name)
        return Template.from_code(self, code, self.make_globals(None))

    def getattr(self, obj: object, attribute: str) -> object:
        """Return an attribute, if it is safe."""
        return _with_fixed_text(super().getattr(unwrapped(obj), attribute))

    def getitem(self, obj: object, argument: object) -> object:
        """Return an item, or an attribute if it is safe."""
        return _with_fixed_text(super().getitem(unwrapped(obj), argument))

    def call(self, context: Context, obj: object, /, *args: object, **kwargs: object) -> object:
        """Call a function, if it is safe."""
        return super().call(context, unwrapped(obj), *args, **kwargs)

    def handle_exception(self, source: str | None = None) -> NoReturn:  # noqa: ARG002
        """Raise the error as it is: Jinja2 would make a traceback that quotes the template."""
        raise  # noqa: PLE0704 -- it is called while an error is handled


class _ValueLoader(BaseLoader):
    """Reads what templates include, import and extend: znodes below `--values`."""

    def __init__(self, values: TemplateValues, sources: SourceTexts) -> None:
        self._values = values
        self._sources = sources

    def get_source(self, environment: Environment, template: str) -> tuple[str, None, None]:  # noqa: ARG002
        """Return the text of a template; raises TemplateNotFound, which can be ignored."""
        path = self._values.resolve(template)
        try:
            text = self._values.text(path)
        except ValueMissingError:
            raise TemplateNotFound(path) from None
        self._sources.add(template, text)
        return text, None, None


def _with_fixed_text(value: object) -> object:
    return NamedFunction(value) if isinstance(value, _BARE_FUNCTIONS) else value


def _without_generators(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def filtered(*arguments: object, **named: object) -> object:
        result = function(*arguments, **named)
        return _LazyItems(result) if isinstance(result, Iterator) else _with_fixed_text(result)

    return filtered


def _refuse_unprintable(value: object) -> object:
    """Return what is printed, if its text is the same in each process."""
    if isinstance(value, str | int | float | Undefined):
        return value
    if isinstance(value, _LazyItems):
        raise TemplateError("prints items that are not made yet: add |list or |join(' ')")
    if isinstance(value, Macro | type) or callable(value):
        raise TemplateError("prints a function instead of its result: add ()")
    if type(value).__repr__ is _REPR_WITH_ADDRESS:
        raise TemplateError("prints a value that has no text")
    return value
