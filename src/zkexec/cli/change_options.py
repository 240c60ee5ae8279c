"""Read the options that decide how a change is applied: actions, the check, the reload, the hooks.

What can have no effect is a mistake only if it is typed: a variable can be that of a whole fleet.
"""

from __future__ import annotations

from zkexec.cli import converters
from zkexec.cli.input_reader import NO_FILES, NamedInputs, check_target_name
from zkexec.cli.option_values import OptionReader, is_given
from zkexec.cli.options import BY_NAME
from zkexec.cli.parser import ParsedArguments
from zkexec.command_line import CommandLine
from zkexec.core.policy import ActionRule, ChangeAction
from zkexec.core.step import STEP_COMMANDS, Step
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHORTEST_LIMIT_S = 0.1


@frozen(kw_only=True)
class ChangeOptions:
    """How a change is applied; `limits` has the time limit of each of the `commands`."""

    rules: tuple[ActionRule, ...]
    reload_signal: int
    commands: Mapping[Step, CommandLine]
    limits: Mapping[Step, float]

    @property
    def reloads_by_signal(self) -> bool:
        """Whether a change can send the reload signal."""
        return _reloads(self.rules) and Step.RELOAD not in self.commands

    def warnings(self, command: CommandLine, label: str) -> list[str]:
        """Warn if the reload signal can miss the program; `label` is the option of the command."""
        is_shell = command.is_script and "exec " not in command.text
        warning = (
            f"{label}: runs through a shell, which gets the reload signal instead of the program: "
            "write exec before the program, or use --reload COMMAND"
        )
        return [warning] if self.reloads_by_signal and is_shell else []


def read_change_options(
    written: ParsedArguments, reading: OptionReader, named: NamedInputs
) -> ChangeOptions:
    """Read all options of this kind, and collect what does not fit together."""
    rules = _read_rules(reading, named) if named.has_files else None
    commands = {step: reading.command(step.value) for step in STEP_COMMANDS}
    limit = converters.seconds(least=_SHORTEST_LIMIT_S)
    limits = {step: reading.value(f"{step.value}-timeout", limit) for step in STEP_COMMANDS}
    if not named.has_any:
        reading.without_effect("check", reason=NO_FILES)
    if not named.has_files:
        reading.without_effect("on-change", "reload", "reload-signal", reason=NO_FILES)
    elif rules is not None and BY_NAME["on-change"] not in written.missing_values:
        _collect_mistakes_of_reload(written, reading, rules)
    needed = {Step.CHECK: named.has_any, Step.RELOAD: _reloads(rules or ())}
    kept = {step: each for step, each in commands.items() if each and needed.get(step, True)}
    return ChangeOptions(
        rules=rules or (converters.action_rule(BY_NAME["on-change"].default),),
        reload_signal=reading.value("reload-signal", converters.reload_signal),
        commands=kept,
        limits={step: limits[step] for step in kept},
    )


_NO_RELOAD = "no change reloads: add --on-change reload"


def _reloads(rules: Sequence[ActionRule]) -> bool:
    return any(rule.action is ChangeAction.RELOAD for rule in rules)


def _read_rules(reading: OptionReader, named: NamedInputs) -> tuple[ActionRule, ...] | None:
    """Read `--on-change`; return None if a text is wrong."""

    def rule(text: str) -> ActionRule:
        found = converters.action_rule(text)
        check_target_name(found.path, named.targets)
        return found

    before = len(reading.mistakes)
    rules = reading.converted("on-change", rule)
    return rules if len(reading.mistakes) == before else None


def _collect_mistakes_of_reload(
    written: ParsedArguments, reading: OptionReader, rules: Sequence[ActionRule]
) -> None:
    by_command = is_given("reload", written, reading)
    if not _reloads(rules):
        reading.without_effect("reload", "reload-signal", reason=_NO_RELOAD)
    elif by_command and reading.label("reload-signal"):
        reading.mistakes.append(
            f"{reading.label('reload') or '--reload'}: contradicts "
            f"{reading.label('reload-signal')}: remove one of them"
        )
    elif reading.label("lock") and not by_command and not is_given("check", written, reading):
        reading.mistakes.append(
            f"{reading.label('on-change')}: with --lock, reload by a signal needs a check, because "
            "a signal does not report whether the configuration was accepted: add --check COMMAND, "
            "or --reload COMMAND"
        )
