"""The rendering of templates: one at a time, and never twice for the same inputs.

Equal inputs render equal bytes, so the last result stays valid.  But an error can be that of a busy
host, so what failed is rendered again once its inputs were written again.
"""

from __future__ import annotations

from zkexec.core.actions import RenderTemplates
from zkexec.core.events import RenderFinished, ZnodesRead
from zkexec.core.production import Reading, texts_of, values_of
from zkexec.core.rendering_result import NotRendered, RenderFailed, RenderResult
from zkexec.digest import digest_of_parts
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zkexec.core.input_options import InputOptions


@frozen()
class _RenderedInputs:
    """What is rendered: the digest of what templates can read, and the zxid of its last write."""

    digest: str
    written: int


class TemplateRendering:
    """The rendering that runs, if one does, and the result of the last one."""

    def __init__(self, inputs: InputOptions) -> None:
        self._inputs = inputs
        self._number = 0
        self._running: _RenderedInputs | None = None
        self._read: ZnodesRead | None = None
        self._last: _RenderedInputs | None = None
        self._result: RenderResult | None = None
        self.trouble = ""
        """Why this host could not render last time, "" if it could."""

    @property
    def is_running(self) -> bool:
        """Whether a rendering runs."""
        return self._running is not None

    def result_of(self, reading: Reading) -> RenderResult | None:
        """Return the result if these inputs were rendered last."""
        wanted, last = self._identify(reading), self._last
        if last is None or last.digest != wanted.digest:
            return None
        is_again = isinstance(self._result, RenderFailed) and wanted.written > last.written
        return None if is_again else self._result

    def start(self, event: ZnodesRead, reading: Reading) -> RenderTemplates:
        """Begin to render what was read by this event."""
        self._number += 1
        self._running, self._read = self._identify(reading), event
        return RenderTemplates(
            self._number, texts_of(self._inputs, reading), values_of(self._inputs, reading)
        )

    def finished(self, event: RenderFinished) -> ZnodesRead | None:
        """Take in the result; return the read that was rendered, None if it was another one.

        After an error of this host there is no result.
        """
        if self._running is None or event.number != self._number:
            return None
        self._last, self._result, self.trouble = self._running, event.result, ""
        if isinstance(event.result, NotRendered):
            self._last, self._result, self.trouble = None, None, event.result.reason
        self._running = None
        read, self._read = self._read, None
        return read

    def _identify(self, reading: Reading) -> _RenderedInputs:
        texts = {
            (b"", target.encode("utf-8", "surrogateescape"), text)
            for target, _, text in texts_of(self._inputs, reading)
        }
        values = {
            (root.encode(), path.encode(), content)
            for root, contents in values_of(self._inputs, reading).items()
            for path, content in contents.items()
        }
        return _RenderedInputs(digest_of_parts(texts | values), reading.written_by(self._inputs))
