"""How a change is applied, as the options say it: actions, the check, the reload and the hooks.

Nothing here starts a process; every command line is resolved to settings, or to its mistakes.
"""

import signal
from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.options import OPTIONS
from zkexec.cli.settings import OTHER_VARIABLES, Settings, UsageError, resolve_settings
from zkexec.cli.shell_command import parse
from zkexec.core.policy import ActionRule, ChangeAction
from zkexec.core.step import STEP_COMMANDS, Step
from zkexec.frozen import replace

NONE, RELOAD, RESTART = ChangeAction.NONE, ChangeAction.RELOAD, ChangeAction.RESTART
DEFAULT = (ActionRule("", RESTART),)
MIRROR = ("-m", "/t/conf/app.conf=/a")
WITHOUT_FILES = "as there are no files that could change: add --mirror LOCAL_PATH=ZK_PATH"
WITHOUT_RELOAD = "as no change reloads: add --on-change reload"
NO_TARGET = (
    "names no target: write the LOCAL_PATH or DIR/ of a --mirror or --template, a path below a "
    "DIR/, or a folder above one with / at its end"
)
NEEDS_CHECK = (
    "with --lock, reload by a signal needs a check, because a signal does not report whether the "
    "configuration was accepted: add --check COMMAND, or --reload COMMAND"
)


def settings(*words: str, command: str = "app", **environment: str) -> Settings:
    """Return the settings of a command line, to which a command is added, and of variables."""
    return resolve_settings(parser.read([*words, "--exec", command]), environment)


def mistakes(*words: str, **environment: str) -> str:
    """Return the line that a wrong command line gets."""
    with pytest.raises(UsageError) as caught:
        settings(*words, **environment)
    return str(caught.value)


def rules(*words: str, **environment: str) -> tuple[ActionRule, ...]:
    """Return the actions of changes that a command line asks for."""
    return settings(*words, **environment).policy.on_change


def test_every_option_of_a_change_reaches_the_settings() -> None:
    """Actions, the reload signal, the commands and their limits are what was typed."""
    words = """
        --on-change none --on-change /t/conf/app.conf=reload --reload-signal USR2
        --check look --check-timeout 9 --pre-stop drain --pre-stop-timeout 10
        --post-healthy warm --post-healthy-timeout 0.1
    """
    given = settings(*MIRROR, *words.split())

    assert given.policy.on_change == (ActionRule("", NONE), ActionRule("/t/conf/app.conf", RELOAD))
    assert given.policy.reload_signal == signal.SIGUSR2
    assert given.policy.step_limits == {Step.CHECK: 9, Step.PRE_STOP: 10, Step.POST_HEALTHY: 0.1}
    assert given.step_commands == {
        Step.CHECK: parse("look"),
        Step.PRE_STOP: parse("drain"),
        Step.POST_HEALTHY: parse("warm"),
    }


def test_every_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative PATH belongs to the working directory, and a folder keeps its slash."""
    monkeypatch.chdir(tmp_path)
    given = rules(
        *("-m", "conf//app.conf=/a", "-m", "x=/b"),
        *("--on-change", "./conf/app.conf=reload"),
        *("--on-change", "conf/=none"),
        *("--on-change", "./=restart"),
        *("--on-change", f"{tmp_path}/conf//=none"),
        *("--on-change", "/=reload"),
        "--on-change=x=reload",
        *("--reload", "true"),
    )

    assert given == (
        ActionRule(f"{tmp_path}/conf/app.conf", RELOAD),
        ActionRule(f"{tmp_path}/conf/", NONE),
        ActionRule(f"{tmp_path}/", RESTART),
        ActionRule(f"{tmp_path}/conf/", NONE),
        ActionRule("/", RELOAD),
        ActionRule(f"{tmp_path}/x", RELOAD),
    )


def test_a_variable_has_several_actions() -> None:
    """The variable contains actions separated by blanks, with quotes as in a shell."""
    given = rules(
        *MIRROR, "-m", "/t/a b=/b", ZKEXEC_ON_CHANGE="none '/t/a b=restart' /t/conf/=none"
    )

    assert given == (
        ActionRule("", NONE),
        ActionRule("/t/a b", RESTART),
        ActionRule("/t/conf/", NONE),
    )
    assert rules(*MIRROR, "--on-change", "restart", ZKEXEC_ON_CHANGE="none") == DEFAULT
    assert mistakes(*MIRROR, ZKEXEC_ON_CHANGE="'none") == (
        'ZKEXEC_ON_CHANGE: "\'none" has a quote that is not closed'
    )


@pytest.mark.parametrize(
    "path",
    ["/t/conf/app", "/t/conf/app.conf/", "/t/conf/app.conf/x", "/t/con/", "x", "x=none"],
)
def test_a_path_names_a_target(path: str) -> None:
    """A PATH that is neither a target nor a folder above one is a mistake."""
    text = f"{path}=none"

    assert rules(*MIRROR, "--on-change", "/t/conf/=none") == (ActionRule("/t/conf/", NONE),)
    assert mistakes(*MIRROR, "--on-change", text) == f"--on-change: '{text}' {NO_TARGET}"
    assert mistakes(*MIRROR, ZKEXEC_ON_CHANGE=text) == f"ZKEXEC_ON_CHANGE: '{text}' {NO_TARGET}"


def test_a_folder_without_its_slash() -> None:
    """A folder that lacks its slash is shown with it."""
    assert mistakes(*MIRROR, "--on-change", "/t/conf=none") == (
        "--on-change: '/t/conf=none' names a folder without its slash: write /t/conf/"
    )
    assert mistakes("-m", "/t/tree/=/a/", "--on-change", "/t/tree=none") == (
        "--on-change: '/t/tree=none' names a folder without its slash: write /t/tree/"
    )


@pytest.mark.parametrize("path", ["/t/conf/", "/t/conf/a", "/t/conf/a/b", "/t/conf/a/", "/t/", "/"])
def test_a_path_below_a_tree_names_a_target(path: str) -> None:
    """A PATH may be the folder of a tree, and anything below or above it."""
    words = ("-m", "/t/conf/=/conf/", "--reload", "true")

    assert rules(*words, "--on-change", f"{path}=reload") == (ActionRule(path, RELOAD),)
    for other in ("/t/config", "/t/con/", "/x"):
        line = mistakes(*words[:2], "--on-change", f"{other}=none")
        assert line == f"--on-change: '{other}=none' {NO_TARGET}"


@pytest.mark.parametrize("step", STEP_COMMANDS, ids=lambda step: step.value)
def test_a_command_has_its_limit(step: Step) -> None:
    """A command of a step has its time limit; a limit without its command is a warning."""
    name, variable = f"--{step.value}", f"ZKEXEC_{step.value.upper().replace('-', '_')}"
    needed = [*MIRROR, *(["--on-change", "reload"] if step is Step.RELOAD else [])]
    plain = settings(*needed)
    typed = settings(*needed, name, "a b", f"{name}-timeout", "7")

    assert (plain.step_commands, plain.policy.step_limits) == ({}, {})
    lonely = settings(*needed, f"{name}-timeout", "7")
    assert lonely.warnings == (f"{name}-timeout has no effect without {name}: add {name} COMMAND",)
    assert replace(lonely, warnings=()) == plain
    assert settings(*needed, **{f"{variable}_TIMEOUT": "7"}) == plain
    assert (typed.step_commands, typed.policy.step_limits) == ({step: parse("a b")}, {step: 7})
    assert typed == settings(*needed, **{variable: "a b", f"{variable}_TIMEOUT": "7"})
    assert settings(*needed, name, "a b").policy.step_limits == {step: 30}


def test_the_grace_period_has_room_for_the_commands() -> None:
    """The grace period grows by the limits of the commands that are configured."""
    commands = ("--check", "x", "--pre-stop", "x", "--pre-stop-timeout", "0.5")
    plain, longer = settings(*MIRROR).policy, settings(*MIRROR, *commands).policy

    assert longer.grace_s == plain.grace_s + 30.5


@pytest.mark.parametrize("name", ["check", "on-change"])
def test_without_files_there_is_no_change(name: str) -> None:
    """A check and an action are mistakes without a file; their variables can be a fleet's."""
    text = "restart" if name == "on-change" else "true"
    variable = f"ZKEXEC_{name.upper().replace('-', '_')}"

    assert mistakes(f"--{name}", text) == f"--{name}: has no effect, {WITHOUT_FILES}"
    assert settings(**{variable: text}) == settings()
    assert settings(f"--{name}", text, ZKEXEC_MIRROR="/t/x=/a").warnings == ()


@pytest.mark.parametrize("words", [("--env", "A=/a"), ("--env-tree", "/a")])
def test_variables_can_be_checked(words: tuple[str, ...]) -> None:
    """A check has something to examine if there are only variables, and no action has a choice."""
    given = settings(*words, "--check", "true")

    assert given.step_commands == {Step.CHECK: parse("true")}
    assert mistakes(*words, "--on-change", "none") == (
        f"--on-change: has no effect, {WITHOUT_FILES}"
    )


@pytest.mark.parametrize(("name", "text"), [("reload", "true"), ("reload-signal", "HUP")])
def test_a_reload_needs_a_change_that_reloads(name: str, text: str) -> None:
    """How to reload is a mistake if nothing reloads; its variable can be a fleet's."""
    variable = f"ZKEXEC_{name.upper().replace('-', '_')}"
    line = f"--{name}: has no effect, {WITHOUT_RELOAD}"

    assert mistakes(*MIRROR, f"--{name}", text) == line
    assert mistakes(*MIRROR, f"--{name}", text, "--on-change", "none") == line
    assert settings(*MIRROR, **{variable: text}) == settings(*MIRROR)
    assert rules(*MIRROR, f"--{name}", text, ZKEXEC_ON_CHANGE="reload") == (ActionRule("", RELOAD),)


def test_a_reload_is_a_signal_or_a_command() -> None:
    """Both are a mistake if they come from one source; the command line wins over a variable."""
    words = (*MIRROR, "--on-change", "reload")
    by_signal, command = ("--reload-signal", "USR1"), ("--reload", "true")

    line = "--reload: contradicts --reload-signal: remove one of them"
    assert mistakes(*words, *by_signal, *command) == line
    line = "ZKEXEC_RELOAD: contradicts ZKEXEC_RELOAD_SIGNAL: remove one of them"
    assert mistakes(*words, ZKEXEC_RELOAD="true", ZKEXEC_RELOAD_SIGNAL="USR1") == line
    assert settings(*words, *command, ZKEXEC_RELOAD_SIGNAL="USR1") == settings(*words, *command)
    assert settings(*words, *by_signal, ZKEXEC_RELOAD="true") == settings(*words, *by_signal)


def test_a_group_reloads_by_a_signal_only_with_a_check() -> None:
    """In a group, only a check or a command can report that a configuration is not accepted."""
    words = (*MIRROR, "--lock", "x")

    assert mistakes(*words, "--on-change", "/t/conf/=reload") == f"--on-change: {NEEDS_CHECK}"
    assert mistakes(*words, ZKEXEC_ON_CHANGE="reload") == f"ZKEXEC_ON_CHANGE: {NEEDS_CHECK}"
    for more in (("--check", "true"), ("--reload", "true")):
        assert rules(*words, "--on-change", "reload", *more) == (ActionRule("", RELOAD),)
    assert rules(*words, "--on-change", "none") == (ActionRule("", NONE),)
    assert rules(*MIRROR, "--on-change", "reload") == (ActionRule("", RELOAD),)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--mirror", "x", "--on-change", "y=reload", "--check", "true"],
            "--mirror: 'x' is not of the form LOCAL_PATH=ZK_PATH",
        ),
        (
            [*MIRROR, "--mirror", "x", "--on-change", "x=reload"],
            "--mirror: 'x' is not of the form LOCAL_PATH=ZK_PATH",
        ),
        (["--check", "true", "--mirror"], "--mirror: the value is missing: write --mirror "),
        ([*MIRROR, "--reload", "x", "--on-change"], "--on-change: the value is missing: write "),
        (
            [*MIRROR, "--lock", "x", "--on-change", "reload", "--check"],
            "--check: the value is missing: write --check COMMAND",
        ),
        (
            [*MIRROR, "--reload-signal", "USR1", "--on-change", "relaod"],
            "--on-change: 'relaod' has an unknown action: write ",
        ),
        (
            [*MIRROR, "--lock", "x", "--on-change", "reload", "--check", ""],
            "--check: '' contains no command",
        ),
    ],
)
def test_one_mistake_is_named_once(words: list[str], line: str) -> None:
    """A mistake brings no other that would go away with it."""
    found = mistakes(*words)

    assert found.startswith(line)
    assert "; " not in found


def test_a_shell_would_get_the_reload_signal() -> None:
    """A command that runs through a shell is a warning, if changes send it a signal."""
    words = (*MIRROR, "--on-change", "/t/conf/=reload")
    line = (
        "runs through a shell, which gets the reload signal instead of the program: write exec "
        "before the program, or use --reload COMMAND"
    )
    from_variable = resolve_settings(parser.read(words), {"ZKEXEC_EXEC": "a && b"})

    assert settings(*words, command="ulimit -n 9; app").warnings == (f"--exec: {line}",)
    assert from_variable.warnings == (f"ZKEXEC_EXEC: {line}",)
    assert settings(*words, command="ulimit -n 9; exec app").warnings == ()
    assert settings(*words, command="app -n 9").warnings == ()
    assert settings(*words, "--reload", "true", command="a && b").warnings == ()
    assert settings(*MIRROR, command="a && b").warnings == ()


def test_no_option_has_the_variable_of_a_command() -> None:
    """What zkexec sets for its commands is read by no option of a zkexec that they start."""
    variables = {option.variable for option in OPTIONS}

    assert {"PID", "STAGED", "STEP", "EVENT"} <= OTHER_VARIABLES
    assert "ZKEXEC_CHECK" in variables
    assert not variables & {f"ZKEXEC_{name}" for name in OTHER_VARIABLES}
