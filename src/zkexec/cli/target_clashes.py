"""Find targets that cannot exist beside each other, or overwrite a template, however written.

A path that ends with a slash is the folder of a tree: everything in it belongs to the tree.
"""

from __future__ import annotations

import os

from zkexec.cli.converters import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_OTHER_PATH = "write another path for one of them"


def clashes(
    targets: Sequence[tuple[str, str]], templates: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """Return a mistake for each target that clashes with one before it, or with a template.

    A target is the option that names it, as messages call it, and its absolute path; a template is
    such an option and the absolute path of its local file.
    """
    known = _Targets()
    sentences = [(label, known.clash_with(path)) for label, path in targets]
    sentences += [(label, known.clash_with_template(path)) for label, path in templates]
    return [f"{label}: {sentence}" for label, sentence in sentences if sentence]


class _Targets:
    """The targets so far, by their paths without symbolic links.

    `_folders` are the folders above each target, with one target below.
    """

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._trees: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._resolved: dict[str, str] = {}

    def clash_with(self, path: str) -> str:
        """Add a target; if it clashes with another, return why, and leave it out."""
        real = self._resolve(path.rstrip("/"))
        # Above a folder that is known is neither a file nor a tree: this is known, too.
        above = [] if real.rpartition("/")[0] in self._folders else _folders_above(real)
        sentence = self._sentence(path, real, above)
        if not sentence:
            (self._trees if path.endswith("/") else self._files)[real] = path
            self._folders.update(dict.fromkeys(above, path))
        return sentence

    def clash_with_template(self, path: str) -> str:
        """Return why the local file of a template would be overwritten, "" if it would not."""
        real = self._resolve(path)
        if real in self._files:
            other = "write another LOCAL_PATH, or another @FILE"
            return f"the template {shown(path)} is itself a target, and would be lost: {other}"
        # A link in the folder of a tree can be replaced, wherever it leads to.
        link = f"{self._resolved[path.rpartition('/')[0]]}/"
        for folder in (*_folders_above(real), *_folders_above(link)):
            if folder in self._trees:
                tree = shown(self._trees[folder])
                return (
                    f"the template {shown(path)} is inside {tree}, the folder of a tree, and could "
                    "be lost: write a @FILE outside"
                )
        return ""

    def _sentence(self, path: str, real: str, above: list[str]) -> str:
        is_tree = path.endswith("/")
        own, others = (self._trees, self._files) if is_tree else (self._files, self._trees)
        if real in own:
            kind = "folder" if is_tree else "file"
            return f"{shown(own[real])} and {shown(path)} are the same {kind}: {_OTHER_PATH}"
        if real in others:
            return f"{shown(others[real])} and {shown(path)} are a file and a folder: {_OTHER_PATH}"
        for folder in above:
            if folder in self._trees or folder in self._files:
                return _nested(self._trees.get(folder) or self._files[folder], path, last=path)
        return _nested(path, self._folders[real], last=path) if real in self._folders else ""

    def _resolve(self, path: str) -> str:
        """Follow every symbolic link; each folder once, because many files share few."""
        folder, _, name = path.rpartition("/")
        if folder not in self._resolved:
            self._resolved[folder] = os.path.realpath(folder or "/").rstrip("/")
        real = f"{self._resolved[folder]}/{name}"
        return os.path.realpath(real) if name == ".." or os.path.islink(real) else real


def _nested(outer: str, inner: str, *, last: str) -> str:
    """Return why a target cannot be below another; `last` is the one that was written later."""
    if outer.endswith("/"):
        return f"{shown(inner)} is inside {shown(outer)}, the folder of a tree: write one outside"
    first = inner if last == outer else outer
    kind = "folder" if inner.endswith("/") else "file"
    return f"{shown(first)} and {shown(last)}: a {kind} cannot be inside a file, so {_OTHER_PATH}"


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
