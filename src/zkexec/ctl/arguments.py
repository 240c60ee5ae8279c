"""What one command line of zkexecctl means: one frozen `Invocation`, or all mistakes in one line.

Nothing is connected and nothing is written here.  Of files only those with secrets and
certificates are read.
"""

import os
import pwd
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from zkexec.cli import converters
from zkexec.cli.option_values import OptionReader, merge
from zkexec.cli.options import Option
from zkexec.cli.parser import OptionNames, ParsedArguments, as_word
from zkexec.cli.security import Access, read_access
from zkexec.command_line import CommandLine
from zkexec.core.policy import MaxUnavailable
from zkexec.ctl.exit_status import CANNOT_WORK, WRONG_USAGE, SubcommandError
from zkexec.ctl.history.tree_content import contains, is_tree
from zkexec.ctl.printed_command import connection_words
from zkexec.ctl.subcommand import CONNECTION, QUESTIONS, SHELLS, Subcommand
from zkexec.ctl.subcommands import OPTION_NAMES
from zkexec.frozen import frozen, replace
from zkexec.znode_paths import check_zk_path, group_path
from zkexec.zookeeper.connect_string import parse_cluster

if TYPE_CHECKING:
    from zkexec.ctl.serving_options import ServingOptions

STDIN = "-"
"""The FILE that means the standard input."""
LONGEST_TEXT = 1000

_LAST_PORT = 65535
_OWN = "/zkexec/"
"""The tree of the groups and histories."""
_ALL_ZNODES = "is the tree of all znodes: write the ZK_PATH of a tree below /"

Value = TypeVar("Value")


@frozen(kw_only=True, uncompared=("words",))
class ClusterOptions:
    """How to reach the cluster; `hosts_text` is the cluster as it was written.

    `words` are the options of the command line that commands repeat that are printed.
    """

    hosts_text: str
    servers: tuple[tuple[str, int], ...]
    chroot: str = ""
    connect_timeout_s: float = 30.0
    access: Access = Access()
    words: tuple[str, ...] = ()


@frozen(kw_only=True)
class Invocation:
    """One subcommand with its arguments and options; all else is at its default.

    `lock` is the group's NAME, from the argument or from `--lock`, or "".  A path with a slash at
    its end is a tree.  `pairs` are those of ZK_PATH=FILE and ZK_PATH/=DIR/.  `by` is who does it,
    for the record.  `timeout_s` is None if there is no limit.  `hold` is after how many members a
    push is held, or is to be held from now on; None if `--hold` is not given.  `serving` are the
    options of a server, for `web` and `exporter` only.
    """

    subcommand: str
    connection: ClusterOptions
    lock: str = ""
    member: str = ""
    paths: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    revisions: tuple[int, ...] = ()
    by: str = ""
    reason: str = ""
    message: str = ""
    check: CommandLine | None = None
    to: int | None = None
    timeout_s: float | None = None
    watch: bool = False
    until_done: bool = False
    show_all: bool = False
    events: bool = False
    json: bool = False
    wait: bool = False
    hold: MaxUnavailable | None = None
    undo_on_failure: bool = False
    yes: bool = False
    dry_run: bool = False
    force: bool = False
    group: bool = False
    shell: str = ""
    port: int = 2181
    ensemble: int = 1
    serving: "ServingOptions | None" = None


def read_invocation(
    subcommand: Subcommand, parsed: ParsedArguments, environment: Mapping[str, str]
) -> Invocation:
    """Merge command line and environment, and validate; raise SubcommandError for mistakes.

    The first of the stray words is the subcommand, the others are its arguments.
    """
    connecting = CONNECTION if subcommand.needs_cluster else ()
    options = OptionNames.of((*subcommand.options, *connecting, *QUESTIONS)).by_name
    mistakes = _groups_as_options(subcommand, parsed)
    _reject_foreign_options(parsed, options)
    _require_values(parsed, options)
    mistakes.extend(parsed.misspellings(f"zkexecctl {subcommand.name} --help"))
    mistakes.extend(_loose_values(parsed, options))
    # The defaults of options that the subcommand does not have are those of the Invocation.
    reader = OptionReader(merge(parsed, environment, options), mistakes, OPTION_NAMES.by_name)
    arguments = _PositionalReader(subcommand, parsed.stray_words[1:], mistakes)
    invocation = _read(subcommand, reader, arguments, environment)
    mistakes.extend(_contradictions(invocation, reader, arguments))
    mistakes.extend(
        f"{subcommand.name} needs --{option.name} {option.metavar}"
        for option in subcommand.needed_options
        if not _is_given(option.name, parsed)
    )
    if mistakes:
        raise SubcommandError("; ".join(mistakes), WRONG_USAGE)
    if invocation.serving is not None:
        # Who reads a page is elsewhere, and connects in another way.
        return invocation
    connection = replace(invocation.connection, words=connection_words(parsed))
    return replace(invocation, connection=connection)


def author(environment: Mapping[str, str]) -> str:
    """Name the user and the host, for the record; under sudo also the user who called it."""
    user, host = _user(), os.uname().nodename
    caller = environment.get("SUDO_USER", "")
    if caller and caller != user and caller.isprintable() and len(caller) < 100:
        user = f"{caller} ({user})"
    return f"{user}@{host}"


def _user() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        # In a container there may be no name for the number.
        return str(uid)


def _groups_as_options(subcommand: Subcommand, parsed: ParsedArguments) -> list[str]:
    """Describe a group that was given with --lock, although it is an argument here.

    It becomes this argument, so that no other mistake follows from it.
    """
    takes_name = any(one.metavar.startswith("NAME") for one in subcommand.arguments)
    texts = parsed.values.pop("lock", []) if takes_name else []
    for lock in texts[-1:]:
        if lock not in parsed.stray_words[1:2]:
            parsed.stray_words.insert(1, lock)
        written = shlex.join(["zkexecctl", *parsed.stray_words])
        return [f"--lock: the group is an argument of {subcommand.name}: write {written}"]
    return []


def _reject_foreign_options(parsed: ParsedArguments, own: Collection[str]) -> None:
    """Count the options of other subcommands among the unknown ones."""
    given = [
        *parsed.values,
        *(option.name for option in parsed.missing_values),
        *(option.name for option, _ in parsed.unwanted_values),
    ]
    foreign = [name for name in dict.fromkeys(given) if name not in own]
    parsed.unknown_options.extend("--" + name for name in foreign)
    parsed.missing_values = [each for each in parsed.missing_values if each.name in own]
    parsed.unwanted_values = [each for each in parsed.unwanted_values if each[0].name in own]


def _require_values(parsed: ParsedArguments, own: Mapping[str, Option]) -> None:
    """Count a value as missing that is implied for other subcommands, and not for this one."""
    parsed.missing_values.extend(
        own[option.name]
        for option in parsed.without_value
        if option.name in own and not own[option.name].implied
    )


def _loose_values(parsed: ParsedArguments, own: Mapping[str, Option]) -> list[str]:
    """List the numbers that are not attached to their option: no argument is a number there."""
    left_out = [option.name for option in parsed.without_value if option.name in own]
    numbers = [word for word in parsed.stray_words[1:] if re.fullmatch("[0-9]+%?", word)]
    return [
        f"--{name}: the value has to be attached: write --{name}={number}"
        for name, number in zip(left_out, numbers, strict=False)
        if own[name].implied
    ]


def _is_given(name: str, parsed: ParsedArguments) -> bool:
    """Return whether an option was given, even without its value."""
    return name in parsed.values or any(option.name == name for option in parsed.missing_values)


class _PositionalReader:
    """The words behind the subcommand, assigned to its arguments from left to right."""

    def __init__(self, subcommand: Subcommand, words: Sequence[str], mistakes: list[str]) -> None:
        self._words: dict[str, tuple[str, ...]] = {}
        self._mistakes = mistakes
        rest = tuple(words)
        for argument in subcommand.arguments:
            count = len(rest) if argument.is_repeatable else 1
            self._words[argument.metavar], rest = rest[:count], rest[count:]
            if argument.is_needed and not self._words[argument.metavar]:
                mistakes.append(f"{subcommand.name} needs {argument.spelling}")
        if rest:
            mistakes.append(
                f"unexpected argument {converters.shown(rest[0])}: usage is "
                f"zkexecctl {subcommand.usage}"
            )

    def all(self, metavar: str, parse: Callable[[str], Value]) -> tuple[Value, ...]:
        """Return the values of an argument; none if the subcommand does not have it."""
        found = []
        for text in self._words.get(metavar, ()):
            try:
                found.append(parse(text))
            except ValueError as mistake:
                self._mistakes.append(f"{metavar}: {converters.shown(text)} {mistake}")
        return tuple(found)

    def has(self, metavar: str) -> bool:
        """Return whether an argument was given, right or wrong."""
        return bool(self._words.get(metavar))

    def one(self, metavar: str, parse: Callable[[str], str]) -> str:
        """Return the value of an argument that can be given once, or ""."""
        return next(iter(self.all(metavar, parse)), "")


def _read(
    subcommand: Subcommand,
    reader: OptionReader,
    arguments: _PositionalReader,
    environment: Mapping[str, str],
) -> Invocation:
    with_revision = arguments.all("ZK_PATH[@N]", _path_and_revision)
    name_or_path = arguments.one("NAME|ZK_PATH", _name_or_path)
    paths = arguments.all("ZK_PATH", _path)
    paths += (name_or_path,) if name_or_path.startswith("/") else ()
    revisions = tuple(each for metavar in "NM" for each in arguments.all(metavar, _revision))
    lock = arguments.one("NAME", converters.lock_name)
    lock = lock or ("" if name_or_path.startswith("/") else name_or_path)
    return Invocation(
        subcommand=subcommand.name,
        lock=lock or reader.optional("lock", converters.lock_name) or "",
        member=arguments.one("MEMBER", converters.member_id),
        paths=(*paths, *(path for path, _ in with_revision)),
        pairs=(
            *arguments.all("ZK_PATH=FILE", _path_and_file),
            *arguments.all("ZK_PATH/=DIR/", _path_and_new_folder),
        ),
        revisions=(*revisions, *(each for _, found in with_revision for each in found)),
        connection=_read_cluster_options(reader),
        by=reader.optional("by", _one_line) or author(environment),
        reason=reader.optional("reason", _one_line) or "",
        message=reader.optional("message", _one_line) or "",
        check=reader.command("check"),
        to=reader.optional("to", _revision),
        timeout_s=reader.optional("timeout", converters.seconds()),
        watch=reader.flag("watch"),
        until_done=reader.flag("until-done"),
        show_all=reader.flag("all"),
        events=reader.flag("events"),
        json=reader.flag("json"),
        wait=reader.flag("wait"),
        hold=reader.optional("hold", converters.hold),
        undo_on_failure=reader.flag("undo-on-failure"),
        yes=reader.flag("yes"),
        dry_run=reader.flag("dry-run"),
        force=reader.flag("force"),
        group=reader.flag("group"),
        shell=arguments.one("SHELL", _shell),
        port=reader.value("port", _number_between(1, _LAST_PORT)),
        ensemble=reader.value("ensemble", _number_between(1, 9)),
        serving=_read_serving(subcommand, reader),
    )


def _read_serving(subcommand: Subcommand, reader: OptionReader) -> "ServingOptions | None":
    """Read the options of a server; None for a subcommand that serves nothing."""
    listen = next((option.default for option in subcommand.options if option.name == "listen"), "")
    if not listen:
        return None
    # Only a server needs these two.
    from zkexec.ctl.serving_options import read_serving_options  # noqa: PLC0415 - see above
    from zkexec.extras import lacking_or_old  # noqa: PLC0415 - see above

    # An extra is named as its subcommand.
    if missing := lacking_or_old(subcommand.name):
        raise SubcommandError(f"{subcommand.name} {missing}", CANNOT_WORK)
    return read_serving_options(reader, listen)


def read_cluster_options(parsed: ParsedArguments, environment: Mapping[str, str]) -> ClusterOptions:
    """Read only how to reach the cluster; raise SubcommandError for mistakes in it."""
    options = OptionNames.of(CONNECTION).by_name
    mistakes: list[str] = []
    found = _read_cluster_options(
        OptionReader(merge(parsed, environment, options), mistakes, OPTION_NAMES.by_name)
    )
    if mistakes:
        raise SubcommandError("; ".join(mistakes), WRONG_USAGE)
    return found


def _read_cluster_options(reader: OptionReader) -> ClusterOptions:
    servers, chroot = reader.value("cluster", parse_cluster)
    return ClusterOptions(
        hosts_text=reader.value("cluster", str),
        servers=servers,
        chroot=chroot,
        connect_timeout_s=reader.value("connect-timeout", converters.seconds(least=0.1)),
        access=read_access(reader),
    )


def _contradictions(
    invocation: Invocation, reader: OptionReader, arguments: _PositionalReader
) -> list[str]:
    """List what makes no sense together, although each part by itself does."""
    found: list[str] = []
    found += [
        f"{option} needs the NAME of a group"
        for option, is_given in (
            ("--until-done", invocation.until_done),
            ("--all", invocation.show_all),
            ("--events", invocation.events),
        )
        if is_given and not arguments.has("NAME")
    ]
    if invocation.subcommand in ("push", "undo"):
        found.extend(_lacking(invocation, reader))
        found.extend(_repetitions(invocation))
    if invocation.group and not any(not is_tree(path) for path in invocation.paths):
        found.append("--group is for the NAME of a group that begins with a slash")
    if invocation.to is not None and len(invocation.paths) > 1:
        found.append(f"--to takes one ZK_PATH, not {len(invocation.paths)}")
    if invocation.port + invocation.ensemble - 1 > _LAST_PORT:
        found.append(
            f"--port: {invocation.ensemble} servers need ports {invocation.port} and up, "
            f"but {_LAST_PORT} is the last port"
        )
    return found


def _lacking(invocation: Invocation, reader: OptionReader) -> list[str]:
    """List the options of a push that need other ones."""
    has_lock = bool(reader.texts("lock"))
    needs = (
        (invocation.wait, has_lock, "--wait needs --lock NAME, the group to wait for"),
        (reader.texts("timeout"), invocation.wait, "--timeout needs --wait"),
        (reader.texts("hold"), has_lock, "--hold needs --lock NAME, the group to hold"),
        (
            invocation.undo_on_failure,
            has_lock and invocation.wait,
            "--undo-on-failure needs --lock NAME and --wait, to notice the failure",
        ),
    )
    return [line for is_given, is_met, line in needs if is_given and not is_met]


def _repetitions(invocation: Invocation) -> list[str]:
    paths = [*invocation.paths, *(path for path, _ in invocation.pairs)]
    found = [
        f"ZK_PATH: {converters.shown(path)} is given twice"
        for path in dict.fromkeys(paths)
        if paths.count(path) > 1
    ]
    found += [
        f"ZK_PATH: {converters.shown(inner)} is part of {converters.shown(tree)}: write them one "
        "after the other"
        for tree in filter(is_tree, dict.fromkeys(paths))
        for inner in dict.fromkeys(paths)
        if inner != tree and contains(tree, inner)
    ]
    if invocation.lock:
        base = group_path(invocation.lock)
        found += [
            f"ZK_PATH: {converters.shown(path)} contains znodes of the group {base}: write "
            "the ZK_PATH of another tree"
            for path in dict.fromkeys(paths)
            if contains(path, base) or (is_tree(path) and contains(f"{base}/", path))
        ]
    if [file for _, file in invocation.pairs].count(STDIN) > 1:
        found.append("ZK_PATH=FILE: only one FILE can be - (stdin)")
    return found


def _one_line(text: str) -> str:
    """Read a text for the record: a reason, a message, a name."""
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_TEXT:
        raise ValueError(f"is not one printable line of at most {LONGEST_TEXT} characters")
    return text


def _shell(text: str) -> str:
    if text not in SHELLS:
        raise ValueError(f"is none of {', '.join(SHELLS)}")
    return text


def _revision(text: str) -> int:
    if not _is_number(text):
        raise ValueError("is not a revision such as 3")
    return int(text)


def _number_between(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of numbers between two bounds, both included."""

    def parse(text: str) -> int:
        if not _is_number(text) or not least <= int(text) <= most:
            raise ValueError(f"is not a number from {least} to {most}")
        return int(text)

    return parse


def _path(text: str) -> str:
    """Read the path of a znode, or of a tree: this has a slash at its end."""
    if not text.startswith("/"):
        raise ValueError(
            f"needs a znode path that starts with /: write {as_word(f'/{text}')} "
            "(zkexecctl status NAME shows the inputs of a group)"
        )
    if not is_tree(text):
        return check_zk_path(text)
    if text == "//":
        raise ValueError(_ALL_ZNODES)
    check_zk_path(text[:-1])
    if contains(_OWN, text):
        raise ValueError("contains znodes of zkexec itself: write the ZK_PATH of another tree")
    return text


def _name_or_path(text: str) -> str:
    """Read the NAME of a group, or if it begins with a slash a ZK_PATH, which can be one, too."""
    if not text.startswith("/"):
        return converters.lock_name(text)
    if text == "/":
        raise ValueError("is the root of all znodes: write a path below it")
    if f"{text}/".startswith(f"{converters.HISTORY}/") or f"{text}/" == _OWN:
        raise ValueError("contains znodes of zkexec itself: write a ZK_PATH elsewhere, or a NAME")
    return _path(text)


def _path_and_file(text: str) -> tuple[str, str]:
    """Read ZK_PATH=FILE or ZK_PATH/=DIR/, split at the first `=`."""
    zk_path, equals, file = text.partition("=")
    if not zk_path or not equals or not file:
        raise ValueError("is not of the form ZK_PATH=FILE, or ZK_PATH/=DIR/ for a tree")
    if zk_path == "/" and file.endswith("/"):
        raise ValueError(_ALL_ZNODES)
    if not zk_path.startswith("/"):
        raise ValueError(f"needs a znode path that starts with /: write {as_word(f'/{text}')}")
    path = _path(zk_path)
    if contains(_OWN, path):
        raise ValueError("is a znode of zkexec itself: write a ZK_PATH elsewhere")
    if is_tree(path) != file.endswith("/"):
        bare = f"{path.rstrip('/') or path}={file.rstrip('/') or file}"
        tree = bare.replace("=", "/=", 1) + "/"
        raise ValueError(
            f"has a slash on one side only: write {tree} for a tree, {bare} for a file"
        )
    return path, file


def _path_and_new_folder(text: str) -> tuple[str, str]:
    """Read ZK_PATH/=DIR/ with a folder that is new or empty."""
    zk_path, equals, folder = text.partition("=")
    if not zk_path or not equals or not folder:
        raise ValueError("is not of the form ZK_PATH/=DIR/")
    if zk_path == "/":
        raise ValueError(_ALL_ZNODES)
    if (found := _with_revision(zk_path)) and found[1].strip("/"):
        tree, revision = _path(found[1].rstrip("/") + "/"), found[2]
        raise ValueError(
            f"names a revision, and pull writes only the present tree: write {tree}={folder}, "
            f"perhaps after zkexecctl undo {tree} --to {revision} "
            f"(zkexecctl show {tree}@{revision} lists its files)"
        )
    if not zk_path.endswith("/") or not folder.endswith("/"):
        raise ValueError(f"needs both slashes: write {zk_path.rstrip('/')}/={folder.rstrip('/')}/")
    path = _path(zk_path)
    try:
        return path, converters.new_folder(folder)
    except ValueError as mistake:
        raise ValueError(f"names a folder that {mistake}") from None


def _path_and_revision(text: str) -> tuple[str, tuple[int, ...]]:
    """Read ZK_PATH or ZK_PATH@N, split at the last @ that only digits follow."""
    found = _with_revision(text)
    if found is None:
        return _path(text), ()
    return _path(found[1]), (_revision(found[2]),)


def _with_revision(text: str) -> re.Match[str] | None:
    return re.fullmatch(r"(.*)@([0-9]+)", text, re.DOTALL)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
