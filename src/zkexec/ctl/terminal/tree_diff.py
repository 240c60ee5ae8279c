"""The differences of two trees: a list of files, and the diffs of those that have changed.

Diffs are only shown if they can be read: of a few files, with not too many lines in all.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from zkexec.ctl.history.tree_content import FileDifference, Files, Znodes, differences
from zkexec.ctl.terminal.text_diff import Line, size_text, text_diff
from zkexec.text import printable

MOST_DIFFS = 20
MOST_LINES = 2_000

_STYLES = {"added": "good", "changed": "busy", "removed": "bad"}


def tree_diff(old: Znodes, new: Znodes, path: str, names: tuple[str, str]) -> Iterator[Line]:
    """Compare two trees at this path; `names` are those of both sides."""
    found = differences(old, new)
    counts = Counter(one.kind for one in found)
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in _STYLES if counts[kind])
    yield "strong", printable(f"{path}: {summary or 'no file differs'}")
    yield from ((_STYLES[one.kind], _listed(one)) for one in found)
    yield from _diffs([one for one in found if one.kind == "changed"], path, names)


def files_text(files: Files) -> str:
    """Write how many files there are, and how large they are together."""
    count = len(files)
    size = size_text(sum(map(len, files.values())))
    return f"{count} file{'' if count == 1 else 's'}, {size}"


def _listed(one: FileDifference) -> str:
    sizes = [size_text(len(content)) for content in (one.new, one.old) if content is not None]
    return printable(f"  {one.kind:<7}  {one.file} ({', was '.join(sizes)})")


def _diffs(changed: Sequence[FileDifference], path: str, names: tuple[str, str]) -> Iterator[Line]:
    lines: list[Line] = []
    for one in changed[:MOST_DIFFS]:
        both = (f"{path}{one.file} ({names[0]})", f"{path}{one.file} ({names[1]})")
        lines += islice(text_diff(one.old, one.new, both), MOST_LINES + 1)
    if len(changed) > MOST_DIFFS or len(lines) > MOST_LINES:
        most = f"{MOST_DIFFS} files or {MOST_LINES} lines"
        yield "faint", f"The diffs are not shown: they are more than {most}"
    else:
        yield from lines
