"""A COMMAND string is split as a POSIX shell splits it, and needs a shell only for shell syntax.

The real /bin/sh is the judge: it prints the words that it would run, and ours must be the same.
"""

import os
import random
import shlex
import subprocess
from pathlib import Path

import pytest

from zkexec.cli.shell_command import from_words, parse

SHELL = b"/bin/sh"

# What the judged strings are made of: everything that matters to a splitter, and some text.
PIECES = [*" \t\n'\"\\$#~=`;&|<>(){}[]*?!^%,.:/-+@", "a", "b1", "_x", "é", "\udcff", "\r", "\x01"]
PLAIN_PIECES = [*" \t'\"\\#~=$,./", "\\\n", "''", '""', "a", "b1", "é", "\udcff"]


def words_of_the_shell(text: str, folder: Path) -> tuple[bytes, ...] | None:
    """The words into which /bin/sh splits a text behind one first word, or None: an error.

    Only for texts that we take for plain words: the shell does execute what it is given, so it
    stands in an empty folder and finds no program.
    """
    run = subprocess.run(
        [SHELL, "-c", b"printf '%s\\0' first " + text.encode("utf-8", "surrogateescape")],
        capture_output=True,
        check=False,
        cwd=folder,
        env={"PATH": ""},
    )
    return tuple(run.stdout.split(b"\0")[1:-1]) if run.returncode == 0 else None


def is_accepted_by_the_shell(text: str) -> bool:
    """Whether /bin/sh can read a text to its end; it executes nothing of it."""
    script = b"first " + text.encode("utf-8", "surrogateescape")
    run = subprocess.run([SHELL, "-n", "-c", script], capture_output=True, check=False)
    return run.returncode == 0


def words_of_ours(text: str) -> tuple[bytes, ...] | None:
    """The words of our own splitter behind one first word; None where it asks the shell."""
    argv = parse(f"first {text}").argv
    return None if argv[0] == SHELL else argv[1:]


@pytest.mark.parametrize(
    "text",
    [
        "sleep 5",
        "  two   words\t",
        "'single quoted' \"double quoted\"",
        "a'b'\"c\"d",
        "'' \"\" x",
        r"back\slash \' \" \\ \  end",
        r'"in \\ \" \a \$ \` double"',
        r"'in \ single'",
        "con\\\ntinued line\\\n",
        '"con\\\ntinued"',
        "'not con\\\ntinued'",
        "mid#dle a# a=b",
        "price$ $",
        '"cost $" "$ x"',
        "a~ a/~",
        "-- -x",
        "[",
        "\\{a \\}",
        "trailing \\",
        "newline at the end\n \n",
        "line\rfeed",
        "\\~ \\# '*' \"?\" \\; \\&",
        "umlaut ä \udcfe",
    ],
)
def test_plain_words_are_split_as_a_shell_splits_them(text: str, tmp_path: Path) -> None:
    """A text without shell syntax is executed directly, with the words that sh would make."""
    assert words_of_ours(text) is not None
    assert words_of_ours(text) == words_of_the_shell(text, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "a; b",
        "a & b",
        "a && b",
        "a || b",
        "a | b",
        "a > b",
        "a < b",
        "a 2>&1",
        "(a)",
        "{ a; }",
        "a {b,c}",
        "a $b",
        'a "$b"',
        "a $(b)",
        'a "$(b)"',
        "a `b`",
        'a "`b`"',
        "a ${b}",
        "a *",
        "a b?",
        "a [bc]",
        "~/a",
        "a ~",
        "a # b",
        "# a",
        "a\nb",
        "a\\\nb\nc",
        "A=b",
        "A=b ''",
        "A=b cd /",
        "A=$b c",
        "A=~/b c",
        "A=b:~ c",
        "A=b; c",
        "A=b\nc",
        "A+=b",
        "A+=b c",
        "é=b c",
        "cd /",
        "'cd' /",
        "exec a",
        "export A",
        ". a",
        ":",
        "if a",
        "for a",
        "while a",
        "! a",
        "set a",
        "trap a",
        "ulimit -n",
        "umask",
        "wait",
        "command a",
        "type a",
        "eval a",
        "exit 3",
        "return",
        "read a",
    ],
)
def test_shell_syntax_goes_to_the_shell(text: str) -> None:
    """A text with shell syntax is handed to /bin/sh -c unchanged."""
    assert parse(text).argv == (SHELL, b"-c", text.encode())


@pytest.mark.parametrize(
    "program", ["test", "[", "echo", "true", "false", "printf", "kill", "pwd", "sleep", "cdx"]
)
def test_programs_need_no_shell(program: str) -> None:
    """A builtin that exists as a program as well is executed directly."""
    assert parse(f"{program} x").argv == (program.encode(), b"x")


@pytest.mark.parametrize("text", ["'A'=b", "1A=b", "A-B=c", "=b", "a A=b", "a cd", "a !"])
def test_what_only_looks_like_shell_syntax_needs_no_shell(text: str) -> None:
    """Assignments and keywords count only as the unquoted first word."""
    assert parse(text).argv[0] != SHELL


def environment_by(run_by: str, text: str) -> dict[bytes, bytes]:
    """What `env` behind this text finds in its environment, run by the shell or by us."""
    script = f"{text} /usr/bin/env -0"
    command = parse(script)
    argv = command.argv if run_by == "us" else (SHELL, b"-c", os.fsencode(script))
    given = {b"PATH": b"/bin", b"INHERITED": b"1", b"KEPT": b"1"}
    if run_by == "us":
        assert command.argv[0] != SHELL, script
        given |= dict(command.variables)
    out = subprocess.run(argv, env=given, capture_output=True, check=True).stdout
    entries = dict(entry.split(b"=", 1) for entry in out.split(b"\0")[:-1])
    entries.pop(b"PWD", None)  # the shell's own
    return entries


@pytest.mark.parametrize(
    "text",
    [
        "A=1",
        "A=1 B='x y'",
        'A="a b"c\\ d',
        "A= B=''",
        "A=b=c",
        "INHERITED=2",
        "A=1 A=2",
        "_a1=x",
        "A\\\n=b",
        "A=a\\\nb  \\\n B=c",
        " A=1",
        "A='~' B=\"~\"",
        "A=a#b",
        "A=\udcff",
        "A='*'",
        "PATH=/usr/bin:/bin",
    ],
)
def test_assignments_are_made_as_a_shell_makes_them(text: str) -> None:
    """Variables before a command reach it without a shell, with the values that sh would make."""
    assert environment_by("us", text) == environment_by("shell", text) != {}


@pytest.mark.parametrize("seed", range(2))
def test_random_assignments_are_made_as_a_shell_makes_them(seed: int) -> None:
    """Whatever is not given to the shell has the variables and the words of the shell."""
    choices = random.Random(seed)
    pieces = [*" '\"\\#=~$,./:+", "A=", "B_2=", " C=", "\\\n", "''", "b1", "é", "\udcff"]
    compared = 0
    for _ in range(600):
        text = "A=" + "".join(choices.choices(pieces, k=choices.randint(1, 10)))
        try:
            command = parse(f"{text} /usr/bin/env -0")
        except ValueError:
            continue
        if command.argv == (b"/usr/bin/env", b"-0"):
            compared += 1
            assert environment_by("us", text) == environment_by("shell", text), (seed, text)
    assert compared > 50


def agreement(pieces: list[str], seed: int, folder: Path) -> tuple[int, list[str]]:
    """How many random texts were split by both, and on which of them the two differ."""
    choices = random.Random(seed)
    compared, differing = 0, []
    for _ in range(400):
        text = "".join(choices.choices(pieces, k=choices.randint(1, 12)))
        try:
            ours = words_of_ours(text)
        except ValueError:
            # Open quotes: the shell must find an error as well.
            if is_accepted_by_the_shell(text):
                differing.append(text)
            continue
        if ours is not None:
            compared += 1
            if ours != words_of_the_shell(text, folder):
                differing.append(text)
    return compared, differing


@pytest.mark.parametrize("seed", range(3))
def test_random_texts_are_split_as_a_shell_splits_them(seed: int, tmp_path: Path) -> None:
    """Whatever is not given to the shell is split exactly as the shell would have done."""
    compared, differing = agreement(PLAIN_PIECES, seed, tmp_path)

    assert not differing, f"seed {seed}"
    assert compared > 50, f"seed {seed}: too few texts were split by both"


def test_random_syntax_is_never_taken_for_words(tmp_path: Path) -> None:
    """A text in which anything can be syntax is split by us only where a shell agrees."""
    compared, differing = agreement(PIECES, 20140428, tmp_path)

    assert not differing
    assert compared > 20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["foo 'bar", 'foo "bar', "'", "a && echo 'x", 'echo "$HOME', "don't; stop"],
)
def test_open_quotes_are_a_mistake(text: str) -> None:
    """A quote that is never closed is told before anything starts."""
    with pytest.raises(ValueError, match=r"has a . quote that is not closed"):
        parse(text)


@pytest.mark.parametrize("text", ["a # don't", "cat <<x\nit's\nx", 'echo $(echo "it\'s")'])
def test_a_lone_quote_may_be_text(text: str) -> None:
    """Where a quote may be part of a comment or a nested command, the shell is the judge."""
    assert parse(text).argv[0] == SHELL


@pytest.mark.parametrize("text", ["", " ", "\t\n ", "''", '"" a', "\\\n", "a\0b"])
def test_a_command_has_a_name(text: str) -> None:
    """Nothing, blanks, an empty name or a NUL character are no command."""
    with pytest.raises(
        ValueError,
        match=r"^(contains no command|contains a NUL character|is not the name of a command)$",
    ):
        parse(text)


def test_a_script_is_no_option_of_the_shell() -> None:
    """A text that starts with a dash reaches the shell as its script."""
    argv = parse("-x; exit 7").argv

    assert subprocess.run(argv, check=False, capture_output=True).returncode == 7


def test_parameters_are_those_of_the_shell(tmp_path: Path) -> None:
    """Words are added as $1 and so on of a shell; a command without one gets none."""
    seen = tmp_path / "seen"
    script = parse(f'printf \'%s|\' "$0" "$1" "$#" "$@" >{seen}')
    subprocess.run(script.with_parameters([b"a b", b"$c", b"-x"]).argv, check=True)

    assert seen.read_text() == "/bin/sh|a b|3|a b|$c|-x|"
    assert script.with_parameters([]).argv == (*script.argv, b"/bin/sh")
    for plain in (parse("nginx -t"), parse("/bin/sh -c true"), from_words(("/bin/sh", "-c", ";"))):
        assert plain.with_parameters([b"a"]).argv == (*plain.argv, b"a")


def test_bytes_pass_unchanged() -> None:
    """Arguments that are no UTF-8 reach the command byte for byte, with and without a shell."""
    assert parse("a \udcff\udc80").argv == (b"a", b"\xff\x80")
    assert parse("a \udcff;").argv == (SHELL, b"-c", b"a \xff;")
    assert from_words(("a", "\udcff")).argv == (b"a", b"\xff")


def test_long_arguments_pass() -> None:
    """A hundred kilobytes of text are split like any other."""
    assert parse("a '" + "x" * 100_000 + "'").argv == (b"a", b"x" * 100_000)


def test_words_are_taken_as_they_are() -> None:
    """Words behind -- are executed as given; the text for the log is what would make them."""
    command = from_words(("a b", "$c", "*", "", "it's"))

    assert command.argv == (b"a b", b"$c", b"*", b"", b"it's")
    assert parse(command.text).argv == command.argv
    everything = ["a", *(f"x{character}y" for character in map(chr, range(1, 256)))]
    assert from_words(everything).text == shlex.join(everything)


def test_the_text_is_what_the_operator_wrote() -> None:
    """The text that is shown is the operator's own, without blanks around it."""
    assert parse(" ./run  'a b' \n").text == "./run  'a b'"
