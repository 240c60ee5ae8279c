"""`zkexecctl complete-words`: the names in the cluster that a word of a command line can become.

The completion scripts run it with the words of a line up to the cursor.  The rules of this file:

- It prints one word a line, and whole: what is typed and how it goes on.  A path goes on level by
  level; one that ends with a slash or an equals sign is not finished.
- It is silent.  Whatever goes wrong, there are no words: a person who presses a key is not to read
  errors, nor to wait for more than a moment.
- Names are hostile text that a shell is about to read.  Only those without any character that a
  shell or a terminal gives a meaning are offered.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from zkexec.cli import parser
from zkexec.cli.parser import ParsedArguments
from zkexec.ctl.arguments import ClusterOptions, read_cluster_options
from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.exit_status import DONE, SubcommandError
from zkexec.ctl.status.group_reader import GroupRead
from zkexec.ctl.status.group_status import counting_order
from zkexec.ctl.subcommand import SHELLS
from zkexec.ctl.subcommands import OPTION_NAMES, SUBCOMMAND_BY_NAME
from zkexec.ctl.terminal.console import Console
from zkexec.frozen import frozen, replace
from zkexec.group.paths import Paths
from zkexec.znode_paths import group_path
from zkexec.zookeeper.requests import Children, Dialogue, Exists

LONGEST_WAIT_S = 2.0
MOST_WORDS = 2000

_SAFE = re.compile(r"[\w./@%+,:][\w./@%+,:-]*")
_ZKEXEC = "zkexec"
_OWN = f"/{_ZKEXEC}/"
_OF_ZOOKEEPER = (_ZKEXEC, "zookeeper")


@frozen()
class Question:
    """What a word is: the metavar of its argument, the words before it, and what is typed of it."""

    metavar: str
    typed: str
    parsed: ParsedArguments

    @property
    def lock(self) -> str:
        """The group that is named before."""
        return next(iter(self.parsed.stray_words[1:]), "")

    @property
    def takes_own_znodes(self) -> bool:
        """Whether it can be a znode of zkexec itself: `push` and `delete` refuse them."""
        return self.metavar in ("NAME", "ZK_PATH[@N]")


def run(words: Sequence[str], environment: Mapping[str, str], console: Console) -> int:
    """Print what the last of the words can become; print nothing if anything is wrong."""
    with suppress(Exception):
        question = question_of(words)
        found = [] if question is None else _answer(question, environment)
        for word in _offered(found)[:MOST_WORDS]:
            console.out(word)
    return DONE


def question_of(words: Sequence[str]) -> Question | None:
    """Find out what the last word is; None if it is nothing that the cluster knows."""
    if not words:
        return None
    *before, typed = words
    parsed = parser.read(before, OPTION_NAMES)
    missing = [option.name for option in parsed.missing_values]
    if typed.startswith("--lock="):
        return Question("NAME", typed.removeprefix("--lock="), parsed)
    if missing:
        return Question("NAME", typed, parsed) if missing == ["lock"] else None
    if typed.startswith("-") or not parsed.stray_words:
        return None
    subcommand = SUBCOMMAND_BY_NAME.get(parsed.stray_words[0])
    arguments = subcommand.arguments if subcommand else ()
    position = len(parsed.stray_words) - 1
    if arguments and position >= len(arguments) and arguments[-1].is_repeatable:
        position = len(arguments) - 1
    return (
        Question(arguments[position].metavar, typed, parsed) if position < len(arguments) else None
    )


def _answer(question: Question, environment: Mapping[str, str]) -> Iterable[str]:
    """Read the names that the word can become."""
    if question.metavar == "SHELL":
        return [shell for shell in SHELLS if shell.startswith(question.typed)]
    names = _names(question)
    if names is None:
        return []
    options = read_cluster_options(question.parsed, environment)
    wait_s = min(options.connect_timeout_s, LONGEST_WAIT_S)
    options = replace(options, connect_timeout_s=wait_s)
    return _read(options, question)


def _names(question: Question) -> str | None:
    """Return what kind of names the argument takes; None if of no kind that the cluster knows."""
    is_known = question.metavar in ("NAME", "MEMBER") or "ZK_PATH" in question.metavar
    return question.metavar if is_known and "=" not in question.typed else None


def _read(options: ClusterOptions, question: Question) -> Iterable[str]:
    with ClusterConnection(options, lambda _: None) as cluster:

        def steps() -> Dialogue:
            found: list[str] = []
            if question.metavar == "MEMBER":
                return (yield from _members(cluster, question))
            if question.metavar.startswith("NAME") and not question.typed.startswith("/"):
                found += yield from _groups(cluster, question.typed)
            if question.metavar != "NAME" or question.typed.startswith("/"):
                found += yield from _paths(cluster, question)
            return found

        with suppress(SubcommandError):
            found: list[str] = cluster.run(steps)
            return found
    return []


def _groups(cluster: ClusterConnection, typed: str) -> Dialogue:
    read = GroupRead(cluster.chroot, {}, lambda: cluster.lacks_multi_read, watching=False)
    names = (yield from read.groups("")).values()
    return sorted((name for name in names if name.startswith(typed)), key=counting_order)


def _members(cluster: ClusterConnection, question: Question) -> Dialogue:
    """Read the members in flight, and the living ones behind them, of the group."""
    paths = Paths(cluster.chroot, group_path(question.lock))
    outcomes = yield [Children(paths.in_flight), Children(paths.members)]
    found: dict[str, None] = {}
    for outcome in outcomes:
        names = outcome[0] if isinstance(outcome, tuple) else []
        matching = (name for name in names if name.startswith(question.typed))
        found |= dict.fromkeys(sorted(matching, key=counting_order))
    return list(found)


def _paths(cluster: ClusterConnection, question: Question) -> Dialogue:
    """Read the paths of the next level: a znode, and with a slash one that has others below it."""
    above, _, begun = question.typed.rpartition("/")
    if question.typed and not question.typed.startswith("/"):
        return []
    if not question.takes_own_znodes and question.typed.startswith(_OWN):
        return []
    paths = Paths(cluster.chroot, "")
    (listed,) = yield [Children(paths.mirrored(above) if above else paths.mirrored("/"))]
    names = listed[0] if isinstance(listed, tuple) else []
    names = [name for name in names if name.startswith(begun) and (above or begun or _is_own(name))]
    if not (above or question.takes_own_znodes):
        names = [name for name in names if name != _ZKEXEC]
    names = sorted(names, key=counting_order)[:MOST_WORDS]
    stats = yield [Exists(paths.mirrored(f"{above}/{name}")) for name in names]
    equals = "=" if "=" in question.metavar else ""
    is_for_trees = question.metavar == "ZK_PATH/=DIR/"
    found = [f"{above}/{equals}"] if equals and above and not begun else []
    for name, stat in zip(names, stats, strict=True):
        if stat is None or isinstance(stat, Exception):
            continue
        path = f"{above}/{name}"
        is_single = not stat.num_children or stat.data_length
        found += [f"{path}{equals}"] if is_single and not is_for_trees else []
        found += [f"{path}/"] if stat.num_children else []
    return found


def _is_own(name: str) -> bool:
    """Return whether a znode below the root is the operator's, and not that of a tool."""
    return name not in _OF_ZOOKEEPER


def _offered(found: Iterable[str]) -> list[str]:
    """Leave out what a shell could misunderstand."""
    return [word for word in found if _SAFE.fullmatch(word.removesuffix("="))]
