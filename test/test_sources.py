"""Where a setting comes from: the command line, the environment, the defaults, in this order.

Also what the words of a command line are: options, their values, and the command behind `--`.
"""

import pytest

from zkexec.cli import parser
from zkexec.cli.options import BY_SHORT, OPTIONS
from zkexec.cli.settings import Settings, UsageError, Verbosity, resolve_settings
from zkexec.cli.shell_command import parse


def settings(*words: str, **environment: str) -> Settings:
    """What zkexec would do for a whole command line and variables."""
    return resolve_settings(parser.read(words), environment)


def mistakes(*words: str, **environment: str) -> str:
    """The line that a wrong command line gets."""
    with pytest.raises(UsageError) as caught:
        settings(*words, **environment)
    return str(caught.value)


def test_the_environment_beats_the_default() -> None:
    """A variable is read where the command line is silent."""
    given = settings(ZKEXEC_EXEC="a b", ZKEXEC_HEALTH_DELAY="5", ZKEXEC_CLUSTER="zk:1")

    assert given.command.argv == (b"a", b"b")
    assert (given.policy.health_delay_s, given.hosts_text) == (5, "zk:1")


def test_the_command_line_beats_the_environment() -> None:
    """A variable of an option that the command line gives is not even looked at."""
    given = settings("-e", "a", "-d", "5", ZKEXEC_EXEC="b 'c", ZKEXEC_HEALTH_DELAY="soon")

    assert (given.command.text, given.policy.health_delay_s) == ("a", 5)


def test_an_empty_variable_is_not_set() -> None:
    """A variable that is empty counts as one that is not there."""
    empty = {option.variable: "" for option in OPTIONS if option.variable}

    assert settings("-e", "a", **empty) == settings("-e", "a")


def test_the_last_of_several_counts() -> None:
    """An option that is given twice has its last value."""
    given = settings("-e", "a", "-d", "1", "--exec=b", "--health-delay=2")

    assert (given.command.text, given.policy.health_delay_s) == ("b", 2)


@pytest.mark.parametrize("text", ["1", "true", "yes", "Yes", "TRUE"])
def test_flags_are_set_by_variables(text: str) -> None:
    """A flag's variable sets it by 1, true or yes."""
    given = settings(
        "-e",
        "a",
        ZKEXEC_SUBREAPER=text,
        ZKEXEC_ALLOW_EMPTY=text,
        ZKEXEC_ALERT_RECOVERY=text,
        ZKEXEC_VERBOSE=text,
    )

    assert given.subreaper
    assert given.policy.allow_empty
    assert given.policy.alert_recovery
    assert given.verbosity is Verbosity.VERBOSE


@pytest.mark.parametrize("text", ["0", "false", "no", "NO"])
def test_flags_are_left_unset_by_variables(text: str) -> None:
    """A flag's variable leaves it unset by 0, false or no."""
    given = settings("-e", "a", ZKEXEC_SUBREAPER=text, ZKEXEC_SILENT=text)

    assert given == settings("-e", "a")


@pytest.mark.parametrize("text", ["2", "on", "maybe", " 1"])
def test_other_words_for_flags_are_mistakes(text: str) -> None:
    """A flag's variable that says anything else is told by its name."""
    line = mistakes("-e", "a", ZKEXEC_SUBREAPER=text)

    assert line == (
        f"ZKEXEC_SUBREAPER: {text!r} is neither yes nor no: write 1, true, yes, 0, false or no"
    )


@pytest.mark.parametrize(
    ("words", "environment", "verbosity"),
    [
        ("-s", {}, Verbosity.SILENT),
        ("-v", {}, Verbosity.VERBOSE),
        ("", {"ZKEXEC_SILENT": "1"}, Verbosity.SILENT),
        ("", {"ZKEXEC_VERBOSE": "1", "ZKEXEC_SILENT": "0"}, Verbosity.VERBOSE),
        ("-s", {"ZKEXEC_VERBOSE": "1"}, Verbosity.SILENT),
        ("-v", {"ZKEXEC_SILENT": "1"}, Verbosity.VERBOSE),
        ("-v", {"ZKEXEC_SILENT": "maybe"}, Verbosity.VERBOSE),
    ],
)
def test_how_much_is_said(words: str, environment: dict[str, str], verbosity: Verbosity) -> None:
    """Verbose or silent on the command line beats the other one in the environment."""
    assert settings("-e", "a", *words.split(), **environment).verbosity is verbosity


def test_verbose_and_silent_exclude_each_other() -> None:
    """Both from one source are a mistake."""
    assert mistakes("-e", "a", "-vs") == "--verbose: contradicts --silent: remove one of them"
    assert mistakes("-e", "a", ZKEXEC_VERBOSE="1", ZKEXEC_SILENT="1") == (
        "ZKEXEC_VERBOSE: contradicts ZKEXEC_SILENT: remove one of them"
    )


def znodes(*words: str, **environment: str) -> list[str]:
    """The znodes that are mirrored."""
    given = settings("-e", "a", *words, **environment)
    return [mirror.zk_path for mirror in given.policy.inputs.mirrors]


def test_a_variable_holds_several_mirrors() -> None:
    """The pairs in ZKEXEC_MIRROR are separated by blanks or newlines, and may be quoted."""
    assert znodes(ZKEXEC_MIRROR="x=/a  'y z=/b c'\n\tw=/d\n") == ["/a", "/b c", "/d"]


def test_mirrors_replace_those_of_the_environment() -> None:
    """Mirrors on the command line are all that there are."""
    assert znodes("-m", "x=/a", "-m", "y=/b", ZKEXEC_MIRROR="z=/c") == ["/a", "/b"]


def test_a_wrong_mirror_of_the_environment_is_told_alone() -> None:
    """Of several pairs in the variable, the wrong one is shown."""
    line = mistakes("-e", "a", ZKEXEC_MIRROR="x=/a y z=/c")

    assert line == "ZKEXEC_MIRROR: 'y' is not of the form LOCAL_PATH=ZK_PATH"


def test_the_command_behind_two_dashes() -> None:
    """What stands behind -- is the command, whatever it looks like, also against the variable."""
    given = settings("-v", "--", "a b", "--silent", "--", "$x", ZKEXEC_EXEC="other")

    assert given.command.argv == (b"a b", b"--silent", b"--", b"$x")
    assert given.verbosity is Verbosity.VERBOSE


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "--exec: no command is given, neither here nor after --"),
        (["--"], "--exec: no command is given, neither here nor after --"),
        (["--exec"], "--exec: the value is missing: write --exec COMMAND"),
        (["-e", "--"], "--exec: the value is missing: write --exec COMMAND"),
    ],
)
def test_no_command(words: list[str], line: str) -> None:
    """Without any command one line names --exec, and the usage is called for."""
    with pytest.raises(UsageError) as caught:
        settings(*words)

    assert str(caught.value) == line
    assert caught.value.lacks_command


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-e", "a", "--", "b"], "--exec: another command is given after --: remove one of them"),
        (["--", ""], "--: '' is not the name of a command"),
        (["-e", "a", "b"], "unexpected argument 'b': the command goes after --"),
        (["-e", "a", "-"], "unexpected argument '-': the command goes after --"),
        (["-e", "a", "-vx"], "unknown option -x (zkexec --help lists all)"),
        (["-e", "a", "--heal=x"], "unknown option --heal (did you mean --health?)"),
        (["-e", "a", "--a\nb"], r"unknown option '--a\nb' (zkexec --help lists all)"),
        (["-e", "a", "--silent=1"], "--silent: takes no value: remove '1'"),
        (["-e", "a", "-d"], "--health-delay: the value is missing: write --health-delay INTERVAL"),
        (
            ["-e", "a", "-d", "--silent"],
            "--health-delay: the value is missing: write --health-delay INTERVAL",
        ),
    ],
)
def test_misspelled_command_lines(words: list[str], line: str) -> None:
    """Words that are no option, or lack or bring a value, are told; the usage stays away."""
    with pytest.raises(UsageError) as caught:
        settings(*words)

    assert str(caught.value) == line
    assert not caught.value.lacks_command


def test_two_dashes_with_nothing_behind_do_not_use_the_variable() -> None:
    """An empty command line behind -- is no command, even where the variable holds one."""
    assert mistakes("--", ZKEXEC_EXEC="a").startswith("--exec: no command is given")


def test_values_may_be_attached() -> None:
    """Long options take =VALUE, short ones VALUE at once, and flags may stand together."""
    given = settings("--exec=a=b", "-d5", "-vi6", "--alert", "-x")

    assert given.command.text == "a=b"
    assert (given.policy.health_delay_s, given.policy.health_interval_s) == (5, 6)
    assert given.verbosity is Verbosity.VERBOSE
    assert given.alert == parse("-x")


def test_short_options_are_those_of_the_tutorial() -> None:
    """The one-letter names are those that the tutorial shows, and -t for templates, each once."""
    short = {option.name: letter for letter, option in BY_SHORT.items()}

    assert short == {
        "exec": "e",
        "cluster": "c",
        "health": "H",
        "health-interval": "i",
        "health-delay": "d",
        "mirror": "m",
        "template": "t",
        "alert": "a",
        "lock": "l",
        "verbose": "v",
        "silent": "s",
        "help": "h",
    }
    assert len(short) == sum(bool(option.short) for option in OPTIONS)
