"""How the rendering of all templates has ended, as values."""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class RenderResult:
    """How it has ended."""

    __slots__ = ()


@frozen(hidden=("files",))
class Rendered(RenderResult):
    """All templates were rendered; the contents are by target."""

    files: Mapping[str, bytes]


@frozen()
class RenderFailed(RenderResult):
    """A template has an error; the reason names it, the line and the error, and no content."""

    reason: str


@frozen()
class ValueMissing(RenderResult):
    """A template needs a znode that does not exist."""

    path: str


@frozen()
class NotRendered(RenderResult):
    """The host could not do it, which shows nothing about the templates."""

    reason: str
