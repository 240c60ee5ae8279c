"""Read the inputs that are more than single mirrored znodes: templates, trees and variables."""

from __future__ import annotations

import os
import stat

from zkexec.cli import converters
from zkexec.cli.option_values import OptionReader, is_given
from zkexec.core.input_options import InputOptions, Template, Variable, VariableTree, root_of
from zkexec.extras import lacking
from zkexec.frozen import replace
from zkexec.znode_paths import group_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from zkexec.cli.parser import ParsedArguments

_ZKEXEC = "/zkexec"
_MOST_BYTES = 1024 * 1024
_NO_FILE = "does not name a regular file after the @"
_NO_TEMPLATE = "there is no template: add --template LOCAL_PATH=ZK_PATH"


def complete(
    inputs: InputOptions, written: ParsedArguments, reading: OptionReader, lock: str
) -> InputOptions:
    """Add values and variables to mirrors and templates, and collect what does not fit together."""
    variables = reading.converted("env", variable)
    complete_inputs = replace(
        inputs,
        values=reading.converted("values", tree_root),
        # Of two with one name the later counts, so the znode of the other is not read.
        variables=tuple({each.name: each for each in variables}.values()),
        variable_trees=reading.converted("env-tree", variable_tree),
    )
    if not is_given("template", written, reading):
        reading.without_effect("values", reason=_NO_TEMPLATE)
        complete_inputs = replace(complete_inputs, values=())
    elif missing := lacking("templates"):
        reading.mistakes.append(f"{reading.label('template') or '--template'}: {missing}")
    reading.mistakes.extend(_overlaps(complete_inputs, reading, lock))
    return complete_inputs


def template(text: str) -> Template:
    """Read LOCAL_PATH=ZK_PATH or LOCAL_PATH=@FILE, split at the first `=`, and the file."""
    local_path, equals, source = text.partition("=")
    if not local_path or not equals or "\0" in local_path:
        raise ValueError("is not of the form LOCAL_PATH=ZK_PATH or LOCAL_PATH=@FILE")
    if local_path.endswith("/") or source.endswith("/"):
        raise ValueError(
            "has a slash at an end: a template is one file: write LOCAL_PATH=ZK_PATH or "
            "LOCAL_PATH=@FILE"
        )
    if not source.startswith("@"):
        return Template(converters.target_file(local_path), converters.input_path(source))
    if not source[1:] or "\0" in source:
        raise ValueError("has no file after the @: write LOCAL_PATH=@FILE")
    file = converters.make_absolute(source[1:])
    return Template(converters.target_file(local_path), file=file, text=_read_text(file))


def _read_text(path: str) -> bytes:
    def at_once(path: str, flags: int) -> int:
        # A pipe without a writer would block zkexec for ever.
        return os.open(path, flags | os.O_NONBLOCK)

    try:
        with open(path, "rb", opener=at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(_NO_FILE)
            text = file.read(_MOST_BYTES + 1)
    except IsADirectoryError:
        raise ValueError(_NO_FILE) from None
    except OSError as error:
        raise ValueError(f"names a file that cannot be read ({error.strerror})") from None
    if len(text) > _MOST_BYTES:
        raise ValueError("names a file of more than 1 MiB: write a smaller template")
    return text


def tree_root(text: str) -> str:
    """Read the ZK_PATH of a tree, with or without a slash at its end; return its root."""
    return converters.input_path(root_of(text) or text)


def variable(text: str) -> Variable:
    """Read NAME=ZK_PATH, split at the first `=`."""
    name, equals, zk_path = text.partition("=")
    if not equals:
        raise ValueError("is not of the form NAME=ZK_PATH")
    if not (name.isascii() and name.isidentifier()):
        raise ValueError(
            "has a NAME that no variable can have: write letters, digits and _, and no digit first"
        )
    if zk_path.endswith("/") and zk_path != "/":
        raise ValueError("names a tree: write NAME=ZK_PATH, or --env-tree ZK_PATH for all below")
    return Variable(name, converters.input_path(zk_path))


def variable_tree(text: str) -> VariableTree:
    """Read ZK_PATH[=PREFIX], split at the first `=`."""
    zk_path, _, prefix = text.partition("=")
    if prefix[:1].isdigit() or "\0" in prefix:
        raise ValueError("has a PREFIX with which no name of a variable can begin: write a letter")
    return VariableTree(tree_root(zk_path), prefix)


def _overlaps(inputs: InputOptions, reading: OptionReader, lock: str) -> Iterator[str]:
    """Yield a mistake for each tree that contains znodes of zkexec, or is one of them."""
    trees = [
        *(("mirror", root_of(mirror.zk_path)) for mirror in inputs.mirrored_trees),
        *(("values", root) for root in inputs.values),
        *(("env-tree", tree.root) for tree in inputs.variable_trees),
    ]
    places = [_ZKEXEC, group_path(lock)] if lock else [_ZKEXEC]
    for name, root in trees:
        for place in places:
            if f"{root}/".startswith(f"{place}/") or f"{place}/".startswith(f"{root}/"):
                yield (
                    f"{reading.label(name)}: {converters.shown(f'{root}/')} overlaps with the "
                    f"znodes of zkexec in {place}: write a tree that neither contains {place} nor "
                    "is inside it"
                )
                break
