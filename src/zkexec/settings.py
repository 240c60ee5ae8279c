"""What the operator wants, as one frozen value, or one line with all mistakes.

Three steps: as written (`arguments.read`), merged (the command line before the environment
before the defaults), validated.  What one text may be is told by `values`, `cluster` and
`command`; what options mean together is told here.  Nothing is opened, created or started;
targets are only looked at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from zkexec import command, values
from zkexec.arguments import Written
from zkexec.cluster import parse_cluster
from zkexec.command import Command
from zkexec.core.snapshot import Mirror
from zkexec.core.terms import StartPolicy, Terms
from zkexec.options import BY_NAME, OPTIONS

Value = TypeVar("Value")


class Verbosity(Enum):
    """How much is said on stderr."""

    SILENT = "silent"
    NORMAL = "normal"
    VERBOSE = "verbose"


class LogFormat(Enum):
    """`--log-format`: how it is said."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that zkexec is told at its start; times in seconds, inside `terms`.

    `hosts_text` is the cluster as the operator wrote it, `chroot` is "" or like "/a/b".
    """

    command: Command
    hosts_text: str
    servers: tuple[tuple[str, int], ...]
    chroot: str
    terms: Terms
    health: Command | None
    alert: Command | None
    verbosity: Verbosity
    log_format: LogFormat
    subreaper: bool


class UsageError(Exception):
    """The operator's mistakes: all of them, in one line.

    `lacks_command` is true where there is no command at all, and the usage should follow.
    """

    def __init__(self, mistakes: list[str], lacks_command: bool) -> None:
        super().__init__("; ".join(mistakes))
        self.lacks_command = lacks_command


@dataclass(frozen=True, slots=True)
class _Given:
    """The texts that an option got, and the name under which a mistake in them is told."""

    label: str
    texts: tuple[str, ...]


def settle(written: Written, environment: Mapping[str, str]) -> Settings:
    """Merge and validate; raise UsageError where anything is wrong."""
    reading = _Reading(_merge(written, environment), _misspellings(written))
    chosen = _choose_command(written, reading)
    health, alert = reading.command("health"), reading.command("alert")
    terms = _read_terms(reading, checks_health=health is not None, raises_alerts=alert is not None)
    servers, chroot = reading.value("cluster", parse_cluster)
    log_format = reading.value("log-format", values.choice(LogFormat))
    verbosity = _read_verbosity(reading)
    subreaper = reading.flag("subreaper")
    if chosen is None or reading.mistakes:
        raise UsageError(reading.mistakes, _lacks_command(written, reading))
    return Settings(
        command=chosen,
        hosts_text=reading.value("cluster", str),
        servers=servers,
        chroot=chroot,
        terms=terms,
        health=health,
        alert=alert,
        verbosity=verbosity,
        log_format=log_format,
        subreaper=subreaper,
    )


def _misspellings(written: Written) -> list[str]:
    return [
        *(
            f"expected an option that zkexec --help lists, got {values.shown(name)}"
            for name in written.unknown_options
        ),
        *(
            f"--{option.name}: expected a value ({option.metavar}), got none"
            for option in written.missing_values
        ),
        *(
            f"--{option.name}: expected no value, got {values.shown(text)}"
            for option, text in written.unwanted_values
        ),
        *(
            f"expected the command behind -- or in --exec, got the word {values.shown(word)}"
            for word in written.stray_words
        ),
    ]


def _merge(written: Written, environment: Mapping[str, str]) -> dict[str, _Given]:
    """Give each option the texts of its best source; the defaults have none here."""
    merged = {}
    for option in OPTIONS:
        from_environment = environment.get(option.variable, "") if option.variable else ""
        if option.name in written.values:
            texts = written.values[option.name]
            # The last one counts, so that a script can add to a command line that it was given.
            kept = tuple(texts if option.repeatable else texts[-1:])
            merged[option.name] = _Given("--" + option.name, kept)
        elif from_environment and not _is_overruled(option.name, written):
            merged[option.name] = _Given(option.variable, (from_environment,))
    return merged


def _is_overruled(name: str, written: Written) -> bool:
    """Tell whether the command line answers this option's question by another option."""
    if name == "exec":
        return written.command is not None
    if name in ("verbose", "silent"):
        return not written.values.keys().isdisjoint(("verbose", "silent"))
    return False


class _Reading:
    """Turns merged texts into values; a mistake is noted, and the default stands in for it."""

    def __init__(self, merged: dict[str, _Given], mistakes: list[str]) -> None:
        self._merged = merged
        self.mistakes = mistakes

    def label(self, name: str) -> str:
        """Name the option as the operator gave it, or "" where it was not given."""
        return self._merged[name].label if name in self._merged else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return what was written, before any check."""
        return self._merged[name].texts if name in self._merged else ()

    def attempt(self, name: str, parse: Callable[[str], Value], text: str) -> Value | None:
        """Parse one text; on a mistake note it under the option's name and return None."""
        try:
            return parse(text)
        except ValueError as mistake:
            self.mistakes.append(f"{self.label(name)}: {mistake}, got {values.shown(text)}")
            return None

    def value(self, name: str, parse: Callable[[str], Value]) -> Value:
        """Return the value of an option that has a default."""
        for text in self.texts(name):
            value = self.attempt(name, parse, text)
            if value is not None:
                return value
        return parse(BY_NAME[name].default)

    def flag(self, name: str) -> bool:
        """Return whether a flag is set."""
        return any(self.attempt(name, values.flag, text) for text in self.texts(name))

    def command(self, name: str) -> Command | None:
        """Return the command of an option, None where there is none."""
        for text in self.texts(name):
            return self.attempt(name, command.parse, text)
        return None


def _lacks_command(written: Written, reading: _Reading) -> bool:
    return not written.command and not reading.texts("exec")


def _choose_command(written: Written, reading: _Reading) -> Command | None:
    parsed = reading.command("exec")
    if _lacks_command(written, reading):
        # A bare --exec is told already, as an option without its value.
        if BY_NAME["exec"] not in written.missing_values:
            reading.mistakes.append("--exec: expected a command, here or behind --, got none")
    elif written.command and reading.texts("exec"):
        reading.mistakes.append("--exec: expected only one command, got another one behind --")
    elif written.command:
        try:
            return command.from_words(written.command)
        except ValueError as mistake:
            reading.mistakes.append(f"--: {mistake}, got {values.shown(written.command[0])}")
    return parsed


def _read_verbosity(reading: _Reading) -> Verbosity:
    verbose, silent = reading.flag("verbose"), reading.flag("silent")
    if verbose and silent:
        reading.mistakes.append(
            f"{reading.label('verbose')}: expected one of the two, "
            f"got {reading.label('silent')} as well"
        )
    if silent:
        return Verbosity.SILENT
    return Verbosity.VERBOSE if verbose else Verbosity.NORMAL


def _read_mirrors(reading: _Reading) -> tuple[Mirror, ...]:
    texts = reading.texts("mirror")
    if reading.label("mirror") == BY_NAME["mirror"].variable:
        texts = reading.attempt("mirror", values.shell_words, texts[0]) or ()
    mirrors = []
    for text in texts:
        mirror = reading.attempt("mirror", values.mirror, text)
        if mirror is not None:
            mirrors.append(mirror)
    reading.mistakes.extend(
        f"{reading.label('mirror')}: {clash}"
        for clash in values.clashes([mirror.local_path for mirror in mirrors])
    )
    return tuple(mirrors)


def _read_terms(reading: _Reading, checks_health: bool, raises_alerts: bool) -> Terms:
    seconds = values.seconds()
    positive = values.seconds(least=0.1)
    return Terms(
        mirrors=_read_mirrors(reading),
        start=reading.value("start", values.choice(StartPolicy)),
        allow_empty=reading.flag("allow-empty"),
        connect_timeout_s=reading.value("connect-timeout", positive),
        session_timeout_s=reading.value("session-timeout", values.seconds(1, 3600)),
        settle_s=reading.value("settle", seconds),
        kill_signal=reading.value("kill-signal", values.signal_number),
        kill_timeout_s=reading.value("kill-timeout", seconds),
        checks_health=checks_health,
        health_delay_s=reading.value("health-delay", seconds),
        health_interval_s=reading.value("health-interval", seconds),
        health_timeout_s=reading.value("health-timeout", values.seconds_or_none(0.1)),
        raises_alerts=raises_alerts,
        alert_interval_s=reading.value("alert-interval", seconds),
        alert_recovery=reading.flag("alert-recovery"),
    )
