"""Trees and rendered templates in the words of stories."""

from zkexec.core.input_options import InputOptions
from zkexec.core.production import Production, Reading
from zkexec.core.rendering_result import (
    NotRendered,
    Rendered,
    RenderFailed,
    RenderResult,
    ValueMissing,
)
from zkexec.core.snapshot import Problem, Snapshot, Tree, Znode

PROBLEMS = {"missing": Problem.MISSING, "forbidden": Problem.FORBIDDEN}


def read_trees(words: list[str]) -> dict[str, Tree]:
    """Make trees, by their roots, from words like /t/=a:x@1,sub/b:y@2."""
    found = {}
    for word in words:
        path, _, value = word.partition("=")
        if path.endswith("/"):
            found[path[:-1]] = read_tree(path[:-1], value)
    return found


def read_tree(root: str, text: str) -> Tree:
    """Make one tree; what is above a znode is there as well, and empty."""
    if text in PROBLEMS:
        return Tree({}, problem=PROBLEMS[text])
    listed, _, newest = text.partition(";")
    znodes = {"": Znode(root, mzxid=1, version=0, czxid=1)}
    for word in listed.split(","):
        if not word:
            continue
        path, _, value = word.partition(":")
        content, _, mzxid = value.rstrip("!~").partition("@")
        zxid = int(mzxid)
        parts = path.split("/") if path else []
        for count in range(1, len(parts)):
            above = "/".join(parts[:count])
            znodes.setdefault(above, Znode(f"{root}/{above}", mzxid=zxid, version=0, czxid=zxid))
        znodes[path] = Znode(
            f"{root}/{path}".rstrip("/"), content.encode(), zxid, version=zxid,
            is_ephemeral=value.endswith("!"), czxid=zxid if value.endswith("~") else 0,
        )  # fmt: skip
        if content in PROBLEMS:
            znodes[path] = Znode(f"{root}/{path}", problem=PROBLEMS[content])
    zxid = max(znode.mzxid for znode in znodes.values())
    return Tree(dict(sorted(znodes.items())), int(newest or zxid))


def read_files(words: list[str]) -> dict[str, bytes]:
    """Make contents by their paths from words like /r=x."""
    pairs = [word.partition("=") for word in words]
    return {path: content.encode() for path, _, content in pairs}


def read_result(name: str, words: list[str]) -> RenderResult:
    """Make the result of a rendering."""
    match name:
        case "rendered":
            return Rendered(read_files(words))
        case "unrendered":
            return RenderFailed(" ".join(words))
        case "value-missing":
            return ValueMissing(words[0])
    return NotRendered(" ".join(words))


def snapshot_of(
    inputs: InputOptions, znodes: dict[str, Znode], trees: dict[str, Tree], rendered: RenderResult
) -> Snapshot:
    """Return the snapshot of what was read, as the core makes it."""
    reading = Reading(znodes, trees)
    found = Production(inputs, reading, allow_empty=True, installed=Snapshot({}))
    found.add_rendered(rendered)
    return found.snapshot("", None, {})
