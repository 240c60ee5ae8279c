"""The bytes by which the process that renders reports how it has ended.

The process is not trusted: a template can have taken it over.  So a report is accepted only if it
contains exactly the files that were requested, and no text in it is trusted.
"""

from __future__ import annotations

from zkexec.core.rendering_result import (
    NotRendered,
    Rendered,
    RenderFailed,
    RenderResult,
    ValueMissing,
)
from zkexec.text import cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_REASON = 300
"""At most this many characters of a reason are used."""
_BEGUN, _RENDERED, _FAILED, _MISSING, _NOT_RENDERED = b"@", b"R", b"F", b"M", b"N"
_LENGTH_BYTES = 8
_NUMBER_BYTES = 4
_MOST_TEXT_BYTES = 4096
LONGEST_FRAME_BYTES = 65536
"""At most this much is written beside the contents."""


def encode_begun(index: int) -> bytes:
    """Note that this template is being rendered, for the case that the process is killed."""
    return _BEGUN + index.to_bytes(_NUMBER_BYTES, "big")


def encode_result(result: RenderResult) -> Iterator[bytes]:
    """Give the bytes of a result; contents are in the order of the templates."""
    match result:
        case Rendered(files):
            yield _RENDERED
            for content in files.values():
                yield len(content).to_bytes(_LENGTH_BYTES, "big")
                yield content
        case RenderFailed(reason):
            yield _FAILED + reason.encode("utf-8", "replace")[:_MOST_TEXT_BYTES]
        case ValueMissing(path):
            yield _MISSING + path.encode("utf-8", "replace")[:_MOST_TEXT_BYTES]
        case NotRendered(reason):
            yield _NOT_RENDERED + reason.encode("utf-8", "replace")[:_MOST_TEXT_BYTES]


def decode_begun(report: bytes, count: int) -> int | None:
    """Return the index of the template that was being rendered; None if that is not noted."""
    if report[:1] != _BEGUN or len(report) != 1 + _NUMBER_BYTES:
        return None
    index = int.from_bytes(report[1:], "big")
    return index if index < count else None


def decode_result(report: bytes, targets: Sequence[str], most_bytes: int) -> RenderResult | None:
    """Read a result; None if it is none, or none for these targets."""
    match report[:1]:
        case b"R":
            return _decode_files(memoryview(report)[1:], targets, most_bytes)
        case b"F":
            return RenderFailed(_text(report))
        case b"M":
            return ValueMissing(_text(report))
        case b"N":
            return NotRendered(_text(report))
    return None


def _decode_files(rest: memoryview, targets: Sequence[str], most_bytes: int) -> RenderResult | None:
    files: dict[str, bytes] = {}
    for target in targets:
        if len(rest) < _LENGTH_BYTES:
            return None
        length, rest = int.from_bytes(rest[:_LENGTH_BYTES], "big"), rest[_LENGTH_BYTES:]
        if length > len(rest):
            return None
        files[target] = bytes(rest[:length])
        rest = rest[length:]
    if len(rest) or sum(map(len, files.values())) > most_bytes:
        return None
    return Rendered(files)


def _text(report: bytes) -> str:
    text = report[1 : 1 + _MOST_TEXT_BYTES].decode("utf-8", "replace")
    return cut(printable(text), LONGEST_REASON)
