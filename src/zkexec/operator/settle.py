"""What one command line of zkexecctl means, as one frozen Call, or one line with all mistakes.

The same three steps as in `zkexec.cli.settings`: as written, merged, validated.  Nothing is
connected and nothing is written; of files only those of secrets and certificates are read.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from zkexec.cli import converters
from zkexec.cli.option_values import OptionReader, merge
from zkexec.cli.parser import OptionNames, ParsedArguments
from zkexec.cli.security import read_access
from zkexec.operator import parsing
from zkexec.operator.author import author
from zkexec.operator.call import Call, Connection
from zkexec.operator.outcome import WRONG_USAGE, OperatorError
from zkexec.operator.verbs import VOCABULARY
from zkexec.operator.words import CONNECTION, QUESTIONS, Verb
from zkexec.znode_paths import check_zk_path
from zkexec.zookeeper.connect_string import parse_cluster

Value = TypeVar("Value")
_LAST_PORT = 65535


def settle(verb: Verb, written: ParsedArguments, environment: Mapping[str, str]) -> Call:
    """Merge and validate; raise OperatorError where anything is wrong.

    The first of the stray words is the verb, the others are its arguments.
    """
    connecting = CONNECTION if verb.needs_cluster else ()
    options = OptionNames.of((*verb.options, *connecting, *QUESTIONS)).by_name
    _set_strangers_aside(written, options)
    mistakes = written.misspellings(f"zkexecctl {verb.name} --help")
    # The defaults of options that the verb does not have are those of the Call.
    reading = OptionReader(merge(written, environment, options), mistakes, VOCABULARY.by_name)
    arguments = _Arguments(verb, written.stray_words[1:], mistakes)
    call = _read_call(verb, reading, arguments, environment)
    mistakes.extend(_contradictions(call, reading, arguments))
    if verb.name == "pause" and not _is_tried("reason", written):
        mistakes.append("--reason: expected a value (TEXT), got none")
    if mistakes:
        raise OperatorError("; ".join(mistakes), WRONG_USAGE)
    return call


def _set_strangers_aside(written: ParsedArguments, own: Collection[str]) -> None:
    """Count the options of other verbs among the unknown ones."""
    given = [
        *written.values,
        *(option.name for option in written.missing_values),
        *(option.name for option, _ in written.unwanted_values),
    ]
    strangers = [name for name in dict.fromkeys(given) if name not in own]
    written.unknown_options.extend("--" + name for name in strangers)
    written.missing_values = [each for each in written.missing_values if each.name in own]
    written.unwanted_values = [each for each in written.unwanted_values if each[0].name in own]


def _is_tried(name: str, written: ParsedArguments) -> bool:
    """Tell whether an option was given, also where it lacks its value."""
    return name in written.values or any(option.name == name for option in written.missing_values)


class _Arguments:
    """The words behind the verb, given to its arguments from left to right."""

    def __init__(self, verb: Verb, words: Sequence[str], mistakes: list[str]) -> None:
        self._words: dict[str, tuple[str, ...]] = {}
        self._mistakes = mistakes
        rest = tuple(words)
        for argument in verb.arguments:
            count = len(rest) if argument.is_repeatable else 1
            self._words[argument.metavar], rest = rest[:count], rest[count:]
            if argument.is_needed and not self._words[argument.metavar]:
                mistakes.append(f"{verb.name}: expected {argument.spelling}, got none")
        if rest:
            whole = verb.usage.partition(" ")[2]
            expected = f"only {whole}" if whole else "no argument"
            mistakes.append(
                f"{verb.name}: expected {expected}, got {converters.shown(rest[0])} as well"
            )

    def all(self, metavar: str, parse: Callable[[str], Value]) -> tuple[Value, ...]:
        """Return the values of an argument; none where the verb does not have it."""
        found = []
        for text in self._words.get(metavar, ()):
            try:
                found.append(parse(text))
            except ValueError as mistake:
                self._mistakes.append(f"{metavar}: {converters.shown(text)} {mistake}")
        return tuple(found)

    def has(self, metavar: str) -> bool:
        """Tell whether an argument was given, right or wrong."""
        return bool(self._words.get(metavar))

    def one(self, metavar: str, parse: Callable[[str], str]) -> str:
        """Return the value of an argument that can be given once, or ""."""
        return next(iter(self.all(metavar, parse)), "")


def _read_call(
    verb: Verb, reading: OptionReader, arguments: _Arguments, environment: Mapping[str, str]
) -> Call:
    numbered = arguments.all("ZK_PATH[@N]", parsing.numbered_path)
    paths = arguments.all("ZK_PATH", check_zk_path)
    numbers = tuple(each for metavar in "NM" for each in arguments.all(metavar, parsing.number))
    lock = arguments.one("NAME", converters.lock_name)
    return Call(
        verb=verb.name,
        lock=lock or reading.optional("lock", converters.lock_name) or "",
        member=arguments.one("MEMBER", converters.member_id),
        paths=(*paths, *(path for path, _ in numbered)),
        pairs=arguments.all("ZK_PATH=FILE", parsing.pair),
        numbers=(*numbers, *(each for _, found in numbered for each in found)),
        connection=_read_connection(reading),
        by=reading.optional("by", parsing.line) or author(environment),
        reason=reading.optional("reason", parsing.line) or "",
        message=reading.optional("message", parsing.line) or "",
        check=reading.command("check"),
        to=reading.optional("to", parsing.number),
        timeout_s=reading.optional("timeout", converters.seconds()),
        watch=reading.flag("watch"),
        until_done=reading.flag("until-done"),
        json=reading.flag("json"),
        wait=reading.flag("wait"),
        yes=reading.flag("yes"),
        dry_run=reading.flag("dry-run"),
        force=reading.flag("force"),
        port=reading.value("port", parsing.number_between(1, _LAST_PORT)),
        ensemble=reading.value("ensemble", parsing.number_between(1, 9)),
    )


def _read_connection(reading: OptionReader) -> Connection:
    servers, chroot = reading.value("cluster", parse_cluster)
    return Connection(
        hosts_text=reading.value("cluster", str),
        servers=servers,
        chroot=chroot,
        connect_timeout_s=reading.value("connect-timeout", converters.seconds(least=0.1)),
        access=read_access(reading),
    )


def _contradictions(call: Call, reading: OptionReader, arguments: _Arguments) -> list[str]:
    """Say what makes no sense together, although each by itself does."""
    told: list[str] = []
    if call.until_done and not arguments.has("NAME"):
        told.append("--until-done: expected a NAME with it, got none")
    if call.verb in ("push", "undo"):
        if call.wait and not reading.texts("lock"):
            told.append("--wait: expected --lock NAME with it, got none")
        if reading.texts("timeout") and not call.wait:
            told.append("--timeout: expected --wait with it, got none")
        told.extend(_repetitions(call))
    if call.to is not None and len(call.paths) > 1:
        told.append(f"--to: expected only one ZK_PATH with it, got {len(call.paths)}")
    if call.port + call.ensemble - 1 > _LAST_PORT:
        told.append(
            f"--port: expected room for {call.ensemble} ports up to {_LAST_PORT}, got {call.port}"
        )
    return told


def _repetitions(call: Call) -> list[str]:
    paths = [*call.paths, *(path for path, _ in call.pairs)]
    told = [
        f"ZK_PATH: expected each znode once, got {converters.shown(path)} again"
        for path in dict.fromkeys(paths)
        if paths.count(path) > 1
    ]
    if [file for _, file in call.pairs].count(parsing.STDIN) > 1:
        told.append("ZK_PATH=FILE: expected the FILE - only once, got it again")
    return told
