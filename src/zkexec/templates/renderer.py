"""The process that renders: it reads a request, confines itself, and reports.

zkexec starts it anew for each rendering.  Its stdout is memory that it shares with zkexec: the
request is at its beginning, and the report is written behind it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from zkexec.core.rendering_result import NotRendered
from zkexec.templates.confinement import (
    drop_inherited_descriptors,
    limit_use,
    offer_to_be_killed,
    open_nothing_more,
)
from zkexec.templates.render_request import WrongFormatError, decode_request
from zkexec.templates.result_codec import LONGEST_FRAME_BYTES, encode_begun, encode_result

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHARED = 1
_FAILED_STATUS = 1
OUT_OF_MEMORY_STATUS = 2


def main() -> NoReturn:
    """Render; the first argument is the size of the request.  Never returns."""
    status = _FAILED_STATUS
    try:
        drop_inherited_descriptors()
        offer_to_be_killed()
        _answer(int(sys.argv[1]))
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY_STATUS
    finally:
        os._exit(status)  # Nothing of a template is run at the end of this process.


def _answer(request_bytes: int) -> None:
    report = _Report(request_bytes)
    try:
        request = decode_request(os.pread(_SHARED, request_bytes, 0))
    except WrongFormatError:
        report.write(encode_result(NotRendered("zkexec was updated on the disk: restart it")))
        return
    most = request_bytes + request.limits.output_bytes + LONGEST_FRAME_BYTES
    limit_use(request.limits, most)
    try:
        # Jinja2 is imported only here, so that the limits are valid for it as well.
        from zkexec.templates.rendering import render  # noqa: PLC0415
    except ImportError as error:
        package = error.name or "a package"
        from zkexec.extras import installing  # noqa: PLC0415 - needed for this alone

        reason = f"cannot import {package}: {installing('templates')}"
        report.write(encode_result(NotRendered(reason)))
        return
    open_nothing_more()
    report.write(encode_result(render(request, report.note_begun)))


class _Report:
    """The memory behind the request."""

    def __init__(self, start: int) -> None:
        self._start = start
        # What Python itself can have printed.
        os.ftruncate(_SHARED, start)

    def note_begun(self, index: int) -> None:
        """Note which template is being rendered."""
        os.pwrite(_SHARED, encode_begun(index), self._start)

    def write(self, pieces: Iterable[bytes]) -> None:
        """Write the result."""
        os.ftruncate(_SHARED, self._start)
        offset = self._start
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                written = os.pwrite(_SHARED, rest, offset)
                offset += written
                rest = rest[written:]
