"""Resolve the settings of zkexec: one frozen value, or one line with all mistakes.

The command line is parsed (`parser.py`), merged with the environment (`option_values.py`), and
validated here.  Nothing is created or started, and only files of secrets and certificates are read.
"""

from __future__ import annotations

from zkexec.cli import converters, shell_command
from zkexec.cli.change_options import ChangeOptions, read_change_options
from zkexec.cli.input_reader import NamedInputs, read_inputs
from zkexec.cli.option_values import OptionReader, is_given, merge
from zkexec.cli.options import BY_NAME, OPTIONS
from zkexec.cli.parser import ParsedArguments, as_word, suggestion
from zkexec.cli.security import Access, read_access
from zkexec.command_line import CommandLine
from zkexec.core.policy import Notify, OnFailure, Policy, StartPolicy
from zkexec.core.step import STEP_COMMANDS, Step
from zkexec.enumeration import Enum
from zkexec.frozen import frozen, replace
from zkexec.znode_paths import RESTART, group_path
from zkexec.zookeeper.connect_string import parse_cluster

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from zkexec.core.target_attributes import TargetAttributes


REARM_S = 60.0
"""How often all watches are armed again: a change whose watch was dropped waits this long."""


_PREFIX = "ZKEXEC_"
OTHER_VARIABLES = frozenset(
    ("EVENT", "REASON", "STEP", "MEMBER", "EXIT_STATUS", "PID", "STAGED", "BY", "DEBUG")
)
"""Variables of alerts, of the other commands, and of zkexecctl.  They can be inherited."""

_OF_ZKEXECCTL = ("BY", "DEBUG")
"""Variables of zkexecctl that an operator sets."""


class Verbosity(Enum):
    """How much is logged."""

    SILENT = "silent"
    NORMAL = "normal"
    VERBOSE = "verbose"


class LogFormat(Enum):
    """The value of `--log-format`."""

    TEXT = "text"
    JSON = "json"


@frozen(kw_only=True)
class Settings:
    """All settings of one zkexec; the times are in `policy`.

    `hosts_text` is the cluster as the operator wrote it, `chroot` is "" or like "/a/b".  `lock`
    is the group's NAME as written, "" without a group; `member_id` is "" if it is automatic.
    `step_commands` are the check, the reload and the hooks that are configured.  `stage_only` is
    the folder of `--stage-only`, "" if zkexec is to start the command.  `check_targets` are the
    targets in the order in which a check gets them, folders of trees with a slash.  `state_dir` is
    "" for the default.  If `pristine`, the command inherits no variables.  If `keep_stderr`, the
    last line of its stderr is part of the reason of a failure.  `metrics_file` is "" if there is
    none.  `warnings` are mistakes that do not prevent a start.
    """

    command: CommandLine
    hosts_text: str
    servers: tuple[tuple[str, int], ...]
    chroot: str
    policy: Policy
    health: CommandLine | None
    alert: CommandLine | None
    verbosity: Verbosity
    log_format: LogFormat
    subreaper: bool
    lock: str = ""
    member_id: str = ""
    access: Access = Access()
    step_commands: Mapping[Step, CommandLine] = {}
    stage_only: str = ""
    attributes: TargetAttributes | None = None
    check_targets: tuple[str, ...] = ()
    template_timeout_s: float = 10.0
    state_dir: str = ""
    pristine: bool = False
    keep_stderr: bool = False
    metrics_file: str = ""
    warnings: tuple[str, ...] = ()


class UsageError(Exception):
    """All mistakes of a command line and its environment, in one line.

    `lacks_command` is true if there is no command at all; then the usage should follow.
    """

    def __init__(self, mistakes: list[str], lacks_command: bool) -> None:
        super().__init__("; ".join(mistakes))
        self.lacks_command = lacks_command


def resolve_settings(written: ParsedArguments, environment: Mapping[str, str]) -> Settings:
    """Merge and validate the options; raise UsageError if anything is wrong."""
    reading = OptionReader(merge(written, environment), _misspellings(written))
    chosen = _choose_command(written, reading)
    health, alert = reading.command("health"), reading.command("alert")
    lock = reading.optional("lock", converters.lock_name) or ""
    member_id = reading.optional("member-id", converters.member_id) or ""
    named = read_inputs(written, reading, lock)
    changes = read_change_options(written, reading, named)
    policy = _read_terms(reading, named, changes)
    policy = replace(policy, restart_path=f"{group_path(lock)}/{RESTART}" if lock else "")
    stage_only = _read_stage_only(reading, named)
    _check_group(written, reading, policy)
    shown_to_cluster = read_access(reading)
    servers, chroot = reading.value("cluster", parse_cluster)
    log_format = reading.value("log-format", converters.choice(LogFormat))
    verbosity, keep_stderr = _read_verbosity(reading), reading.flag("keep-stderr")
    metrics_file = _read_metrics_file(reading, named)
    subreaper, exec_label = reading.flag("subreaper"), reading.label("exec")
    if chosen is None or reading.mistakes:
        raise UsageError(reading.mistakes, _lacks_command(written, reading))
    return Settings(
        command=chosen,
        hosts_text=reading.value("cluster", str),
        servers=servers,
        chroot=chroot,
        policy=policy,
        health=health,
        alert=alert,
        verbosity=verbosity,
        log_format=log_format,
        subreaper=subreaper,
        lock=lock,
        member_id=member_id if lock else "",
        access=shown_to_cluster,
        step_commands=changes.commands,
        stage_only=stage_only,
        attributes=named.attributes,
        check_targets=named.targets,
        template_timeout_s=named.template_timeout_s,
        state_dir=named.state_dir,
        pristine=named.pristine,
        keep_stderr=keep_stderr,
        metrics_file=metrics_file,
        warnings=(
            *unknown_variables(environment),
            *_warnings_of_conditions(written, reading),
            *_warnings_of_metrics(metrics_file, reading),
            *changes.warnings(chosen, exec_label),
        ),
    )


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Name each variable of zkexec that no option reads, with the nearest one that exists."""
    names = [option.variable.removeprefix(_PREFIX) for option in OPTIONS if option.variable]
    known, settable = OTHER_VARIABLES.union(names), [*names, *_OF_ZKEXECCTL]
    unknown = sorted(
        name
        for name in environment
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in known
    )
    return [
        f"unknown variable {as_word(name)} {suggestion(name, _PREFIX, settable, 'zkexec --help')}"
        for name in unknown
    ]


def _misspellings(written: ParsedArguments) -> list[str]:
    return [
        *written.misspellings("zkexec --help"),
        *(
            f"unexpected argument {converters.shown(word)}: the command goes after --"
            for word in written.stray_words
        ),
    ]


def _lacks_command(written: ParsedArguments, reading: OptionReader) -> bool:
    is_needed = not reading.label("stage-only")
    return is_needed and not written.command and not reading.texts("exec")


_NO_COMMAND = CommandLine("", ())
"""What `--stage-only` does not start."""


def _choose_command(written: ParsedArguments, reading: OptionReader) -> CommandLine | None:
    parsed = reading.command("exec")
    if _lacks_command(written, reading):
        # A bare --exec is already a mistake, as an option without its value.
        if BY_NAME["exec"] not in written.missing_values:
            reading.mistakes.append("--exec: no command is given, neither here nor after --")
    elif written.command and reading.texts("exec"):
        reading.mistakes.append("--exec: another command is given after --: remove one of them")
    elif written.command:
        try:
            return shell_command.from_words(written.command)
        except ValueError as mistake:
            reading.mistakes.append(f"--: {converters.shown(written.command[0])} {mistake}")
    return _NO_COMMAND if parsed is None and reading.label("stage-only") else parsed


def _read_verbosity(reading: OptionReader) -> Verbosity:
    verbose, silent = reading.flag("verbose"), reading.flag("silent")
    if verbose and silent:
        reading.mistakes.append(
            f"{reading.label('verbose')}: contradicts {reading.label('silent')}: remove one of them"
        )
    if silent:
        return Verbosity.SILENT
    return Verbosity.VERBOSE if verbose else Verbosity.NORMAL


def _read_stage_only(reading: OptionReader, named: NamedInputs) -> str:
    folder = reading.optional("stage-only", converters.new_folder) or ""
    if folder and not named.has_any:
        reading.mistakes.append(
            f"{reading.label('stage-only')}: there are no files: add --mirror LOCAL_PATH=ZK_PATH"
        )
    return folder


def _read_metrics_file(reading: OptionReader, named: NamedInputs) -> str:
    path = reading.optional("metrics-file", converters.metrics_file) or ""
    if path and named.targets:
        from zkexec.cli.target_clashes import clashes  # noqa: PLC0415 - seldom needed

        targets = [("", target) for target in named.targets]
        # The targets clash with each other only if that is a mistake already.
        reading.mistakes.extend(clashes([*targets, (reading.label("metrics-file"), path)])[-1:])
    return path


def _read_terms(reading: OptionReader, named: NamedInputs, changes: ChangeOptions) -> Policy:
    seconds = converters.seconds()
    positive = converters.seconds(least=0.1)
    return Policy(
        inputs=named.inputs,
        start=reading.value("start", converters.choice(StartPolicy)),
        allow_empty=reading.flag("allow-empty"),
        connect_timeout_s=reading.value("connect-timeout", positive),
        session_timeout_s=reading.value("session-timeout", converters.seconds(1, 3600)),
        settle_s=reading.value("settle", seconds),
        kill_signal=reading.value("kill-signal", converters.signal_number),
        kill_timeout_s=reading.value("kill-timeout", seconds),
        checks_health=bool(reading.label("health")),
        health_delay_s=reading.value("health-delay", seconds),
        health_interval_s=reading.value("health-interval", seconds),
        health_timeout_s=reading.value("health-timeout", converters.seconds_or_none(0.1)),
        notify=reading.value("notify", converters.choice(Notify)),
        raises_alerts=bool(reading.label("alert")),
        alert_interval_s=reading.value("alert-interval", seconds),
        alert_recovery=reading.flag("alert-recovery"),
        in_group=bool(reading.label("lock")),
        max_unavailable=reading.value("max-unavailable", converters.max_unavailable),
        max_failed=reading.value("max-failed", converters.max_failed),
        zone=reading.optional("zone", converters.zone_name) or "",
        min_healthy_s=reading.optional("min-healthy", seconds),
        on_failure=reading.value("on-failure", converters.choice(OnFailure)),
        on_change=changes.rules,
        reload_signal=changes.reload_signal,
        step_limits=changes.limits,
        rearm_s=REARM_S,
    )


_CONDITIONS = (
    *((f"{step.value}-timeout", step.value) for step in STEP_COMMANDS),
    ("health-interval", "health"),
    ("health-timeout", "health"),
    ("alert-interval", "alert"),
    ("alert-recovery", "alert"),
)
"""Options that describe the command of another one."""


def _warnings_of_conditions(written: ParsedArguments, reading: OptionReader) -> list[str]:
    """Warn of typed options that describe a command that does not exist."""
    return [
        f"--{name} has no effect without --{needed}: add --{needed} COMMAND"
        for name, needed in _CONDITIONS
        if reading.is_typed(name) and not is_given(needed, written, reading)
    ]


def _warnings_of_metrics(path: str, reading: OptionReader) -> list[str]:
    """Warn of a name that node_exporter passes over."""
    if not path or path.endswith(".prom"):
        return []
    name = converters.shown(path.rpartition("/")[2])
    reason = f"{name} does not end with .prom, so node_exporter does not read it"
    return [f"{reading.label('metrics-file')}: {reason}: write another name"]


_OF_GROUPS = (
    "max-unavailable",
    "max-failed",
    "zone",
    "min-healthy",
    "on-failure",
    "member-id",
)


def _check_group(written: ParsedArguments, reading: OptionReader, policy: Policy) -> None:
    """Collect what makes no sense without a group, or makes every turn in it fail.

    The variables of these options need no lock: they can be those of a whole fleet.
    """
    if not policy.in_group and BY_NAME["lock"] not in written.missing_values:
        reading.mistakes.extend(
            f"--{name}: has a meaning only in a group: add --lock NAME"
            for name in _OF_GROUPS
            if reading.is_typed(name)
        )
    lacks_zone = not is_given("zone", written, reading)
    if policy.in_group and policy.max_unavailable.per_zone and lacks_zone:
        reading.mistakes.append(
            f"{reading.label('max-unavailable')}: {policy.max_unavailable} counts the members "
            "of a zone: add --zone NAME"
        )
    if policy.in_group and policy.checks_health and not policy.health_delay_s:
        reading.mistakes.append(
            f"{reading.label('health-delay')}: 0 leaves a restarted command no time to become "
            "healthy: with --lock, write more than 0"
        )
