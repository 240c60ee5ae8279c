"""Show what a push would change: the diff of each path, and warnings about its content."""

from collections.abc import Sequence

from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import PathHistory
from zkexec.ctl.history.tree_content import decode, differences, is_tree
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.text_diff import text_diff
from zkexec.ctl.terminal.tree_diff import files_text, tree_diff

_MOST_NAMES = 3
_NEEDS_ALLOW_EMPTY = "which members take only with --allow-empty"


def show_change(change: ContentChange, console: Console, *, is_kept: bool) -> None:
    """Show one change; `is_kept` is whether what it overwrites can be kept."""
    history, path = change.history, change.path
    if not change.is_needed:
        console.paragraph(f"{path}: same content")
        return
    if history.content is None:
        console.paragraph(f"{path}: new {'tree' if is_tree(path) else 'znode'}")
    show = _show_tree if is_tree(path) else _show_znode
    show(change, console)
    if history.is_set_by_other_tool and not is_kept:
        console.report(f"{path}: the content set by another tool is too large to be kept")


def question(needed: Sequence[ContentChange]) -> str:
    """Ask about these changes."""
    if len(needed) == 1:
        return f"Push this {'tree' if is_tree(needed[0].path) else 'znode'}?"
    kind = "changes" if any(is_tree(change.path) for change in needed) else "znodes"
    return f"Push these {len(needed)} {kind}?"


def shortened(names: Sequence[str]) -> str:
    """List the first few of many names."""
    rest = len(names) - _MOST_NAMES
    more = f" and {rest} more" if rest > 0 else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def present_name(history: PathHistory) -> str:
    """Name the present content of a tree in a diff of its files."""
    present = history.present
    return f"@{present.revision}" if present else "set by another tool"


def _show_znode(change: ContentChange, console: Console) -> None:
    history, path = change.history, change.path
    names = (history.label, f"{path} ({change.source})")
    for style, line in text_diff(history.content, change.content, names):
        console.out(console.paint(style, line) if style else line)
    if not change.content:
        console.report(f"{path}: empty content, {_NEEDS_ALLOW_EMPTY}")


def _show_tree(change: ContentChange, console: Console) -> None:
    history, path = change.history, change.path
    old = {} if history.tree is None else history.tree.contents
    new = decode(change.content)
    names = (present_name(history), change.source)
    for style, line in tree_diff(old, new, path, names):
        console.out(console.paint(style, line) if style else line)
    console.paragraph(f"{path}: will have {files_text(new)}")
    if empty := [one.file for one in differences(old, new) if one.new == b""]:
        console.report(f"{path}: empty content, {_NEEDS_ALLOW_EMPTY}: {shortened(empty)}")
