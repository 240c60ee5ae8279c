"""The difference of two contents: right, harmless, and there in time."""

import random

import pytest

from zkexec.ctl.terminal.text_diff import is_text, text_diff

NAMES = ("old", "new")
BARE = "\\ No newline at end of file"


def diff_of(old: bytes | None, new: bytes | None) -> list[str]:
    """The lines without their styles and without the names."""
    return [line for _, line in text_diff(old, new, NAMES)][2:]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (b"a\nb\n", b"a\nc\n", ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]),
        (b"a\n", b"", ["@@ -1 +0,0 @@", "-a"]),
        (None, b"a\n", ["@@ -0,0 +1 @@", "+a"]),
        (None, b"", ["(empty)"]),
        (
            b"a",
            b"a\n",
            ["@@ -1 +1 @@", "-a", BARE, "+a"],
        ),
        (
            b"tab\there\n",
            "dots … and \u202e turns\n".encode(),
            ["@@ -1 +1 @@", "-tab\there", "+dots … and \\u202e turns"],
        ),
        (b"dos\r\n", b"unix\n", ["@@ -1 +1 @@", "-dos\\r", "+unix"]),
        (
            "one\u2028line\n".encode(),
            b"",
            ["@@ -1 +0,0 @@", "-one\\u2028line"],
        ),
    ],
)
def test_text(old: bytes | None, new: bytes, lines: list[str]) -> None:
    """Texts are shown as a unified diff, with all that does not print as escapes."""
    assert diff_of(old, new) == lines


@pytest.mark.parametrize("content", [b"\xff", b"\0", b"a\x1b[2Jb\n", b"\xc2\x9b1m"])
def test_binary(content: bytes) -> None:
    """Of what is no text, or could move a cursor, only sizes and digests are shown."""
    assert not is_text(content)
    old, new = diff_of(b"text\n", content)

    assert old.startswith("- text, 5 bytes, sha256 ")
    assert new.startswith(f"+ binary, {len(content)} byte")
    assert "\x1b" not in new


def test_names_are_harmless() -> None:
    """A name of a file that could move a cursor is shown with escapes."""
    lines = [line for _, line in text_diff(b"a", b"b", ("o\x1b[2J", "n\r"))]

    assert lines[:2] == ["--- o\\x1b[2J", "+++ n\\r"]


def applied(old: bytes, lines: list[str]) -> bytes:
    """What a reader of unified diffs makes of the old content."""
    source = old.decode().splitlines(keepends=True)
    made: list[str] = []
    taken = 0
    sign = ""
    for line in lines:
        if line.startswith("@@"):
            start, _, length = line.split()[1][1:].partition(",")
            begin = int(start) - (length != "0")
            made += source[taken:begin]
            taken = begin
        elif line == BARE:
            if sign != "-":
                made[-1] = made[-1].removesuffix("\n")
        else:
            sign = line[0]
            if sign != "+":
                assert source[taken].removesuffix("\n") == line[1:]
                taken += 1
            made += [line[1:] + "\n"] * (sign != "-")
    return "".join(made + source[taken:]).encode()


def test_a_reader_comes_to_the_new_content() -> None:
    """What is shown of any two texts leads from the one to the other, and to nothing else."""
    dice = random.Random(4)
    for _ in range(300):
        old, new = (
            b"\n".join(b"%d" % dice.randrange(6) for _ in range(dice.randrange(1, 40)))
            + b"\n" * dice.randrange(2)
            for _ in range(2)
        )
        assert applied(old, diff_of(old, new)) == new


def test_large_contents() -> None:
    """Two large texts with very many equal lines are compared all the same."""
    dice = random.Random(5)
    old, new = (b"".join(b"%d\n" % dice.randrange(300) for _ in range(200_000)) for _ in range(2))
    same = b"".join(b"line %d\n" % number for number in range(5_000))

    lines = diff_of(same + old + same, same + new + same)

    assert applied(same + old + same, lines) == same + new + same
    assert "-line 4000" not in lines
