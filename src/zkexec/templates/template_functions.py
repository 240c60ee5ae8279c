"""The functions by which a template reads znodes, and what else is not Jinja2's own.

All paths are absolute, and below the trees that `--values` names.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from jinja2.utils import Cycler, Joiner

from zkexec.templates.template_errors import TemplateError, ValueMissingError
from zkexec.znode_paths import check_zk_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zkexec.templates.host_facts import HostFacts

_LONGEST_RANGE = 100_000
_NO_DEFAULT = object()


class NamedFunction:
    """A function that a template can call.

    If it is printed or made part of a text, the text is the same in each process, as that of a
    plain function is not.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object, **named: object) -> object:
        """Call the function."""
        return self._function(*arguments, **named)

    def __repr__(self) -> str:
        return "<function>"

    def unwrap(self) -> Callable[..., object]:
        """Return the function itself."""
        return self._function


def unwrapped(value: object) -> object:
    """Return the function itself instead of a NamedFunction, and any other value as it is."""
    return value.unwrap() if isinstance(value, NamedFunction) else value


class RepeatingCycler(Cycler):
    """Jinja2's `cycler`, whose text is the same in each process."""

    def __repr__(self) -> str:
        return "<cycler>"


class SeparatingJoiner(Joiner):
    """Jinja2's `joiner`, whose text is the same in each process."""

    def __repr__(self) -> str:
        return "<joiner>"


class TemplateValues:
    """The znodes below `--values`."""

    def __init__(self, values: Mapping[str, Mapping[str, bytes]]) -> None:
        """`values` are the contents by root, and by path below it."""
        self._roots = tuple(values)
        self._contents = dict(
            sorted(
                (f"{root}/{path}" if path else root, content)
                for root, below in values.items()
                for path, content in below.items()
            )
        )
        self._paths = list(self._contents)
        """In their order, so those below one are beside each other."""
        names: dict[str, list[str]] = {}
        for path in self._contents:
            above, _, name = path.rpartition("/")
            names.setdefault(above, []).append(name)
        self._names = {path: sorted(below) for path, below in names.items()}

    def resolve(self, path: object) -> str:
        """Return the path without a last slash, if it is one that a template may read."""
        if not isinstance(path, str):
            raise TemplateError("a path of a znode must be a text")
        resolved = path[:-1] if path.endswith("/") and len(path) > 1 else path
        try:
            check_zk_path(resolved)
        except ValueError as error:
            raise TemplateError(f"{{path}}: a template {error}", path=resolved) from None
        if not any(f"{resolved}/".startswith(f"{root}/") for root in self._roots):
            raise TemplateError("{path} is not below a tree of --values", path=resolved)
        return resolved

    def text(self, path: str) -> str:
        """Return the content of a znode as text; raises ValueMissingError."""
        content = self._contents.get(path)
        if content is None:
            raise ValueMissingError(path)
        return _decode(content, path)

    def functions(self) -> dict[str, Callable[..., object]]:
        """Return the functions by the names that templates call them by."""
        return {"zk": self._zk, "exists": self._exists, "ls": self._ls, "tree": self._tree}

    def _zk(self, path: str, default: object = _NO_DEFAULT) -> object:
        resolved = self.resolve(path)
        if resolved not in self._contents and default is not _NO_DEFAULT:
            return default
        return self.text(resolved)

    def _exists(self, path: str) -> bool:
        return self.resolve(path) in self._contents

    def _ls(self, path: str) -> list[str]:
        return list(self._names.get(self.resolve(path), ()))

    def _tree(self, path: str, *paths: str) -> dict[str, str]:
        merged: dict[str, str] = {}
        for root in map(self.resolve, (path, *paths)):
            start = f"{root}/"
            for index in range(bisect_left(self._paths, start), len(self._paths)):
                path = self._paths[index]
                if not path.startswith(start):
                    break
                if content := self._contents[path]:
                    name = path.removeprefix(start)
                    merged[name] = _decode(content, root, name)
        return dict(sorted(merged.items()))


def template_globals(values: TemplateValues, facts: HostFacts) -> dict[str, object]:
    """Return all names that a template finds defined."""
    functions = {**values.functions(), "range": _range}
    return {
        **{name: NamedFunction(function) for name, function in functions.items()},
        "cycler": NamedFunction(RepeatingCycler),
        "joiner": NamedFunction(SeparatingJoiner),
        "env": dict(sorted(facts.environment.items())),
        "hostname": facts.hostname,
        "member": facts.member,
        "lock": facts.lock,
        "cpus": facts.cpus,
        "memory_bytes": facts.memory_bytes,
    }


def _decode(content: bytes, path: str, below: str = "") -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise TemplateError("{path} is no UTF-8 text", path=path, below=below) from None


def _range(*arguments: int) -> range:
    numbers = range(*arguments)
    if len(numbers) > _LONGEST_RANGE:
        raise TemplateError(f"a range has more than {_LONGEST_RANGE:,} numbers")
    return numbers
