"""A page's sessions are read as a reader does; what differs at each run is not compared."""

from support.session_blocks import blocks, is_shown, redrawn

PAGE = """\
# Page

```sh
$ not played
```

<!-- until: test -e file -->
```console second
$ push \\
    --lock web
write it? [y/N] y # typed
[2026-11-22 16:41:38 -0700] forked 41804
...
^C
```
"""


def test_a_block_is_read_step_by_step() -> None:
    """A block has its terminal, what is awaited before it, and what is typed and appears."""
    [block] = blocks(PAGE)
    command, answer, key = block.steps

    assert (block.terminal, block.until, block.line) == ("second", "test -e file", 8)
    assert (command.kind, command.text, command.output) == (
        "command",
        "push \\\n    --lock web",
        [],
    )
    assert (answer.kind, answer.question, answer.text) == ("typed", "write it? [y/N] ", "y")
    assert answer.output == ["[2026-11-22 16:41:38 -0700] forked 41804", "..."]
    assert answer.may_run_on
    assert (key.kind, key.text) == ("key", "\x03")


def test_what_differs_at_each_run_is_not_compared() -> None:
    """Times, process IDs, digests, durations and addresses can differ, and nothing else."""
    shown = ["[2026-11-22 16:41:38 -0700] forked 41804", "web: 3 of 3 on 7fbc7ad94b27, took 7 s"]
    other = ["[2027-01-02 06:41:38 +0000] forked 7", "web: 3 of 3 on 0a0b0c0d0e0f, took 2.5 s"]

    assert is_shown(shown, other, complete=True)
    assert not is_shown(shown, [other[0], other[1].replace("3 of 3", "2 of 3")], complete=True)
    assert not is_shown(shown, [other[0].replace("forked", "started"), other[1]], complete=True)


def test_dots_are_any_lines() -> None:
    """Three dots match any number of lines, and only what may continue can have more at its end."""
    assert is_shown(["a", "...", "d"], ["a", "b", "c", "d"], complete=True)
    assert is_shown(["a", "...", "d"], ["a", "d"], complete=True)
    assert not is_shown(["a", "...", "d"], ["a", "b"], complete=True)
    assert is_shown(["a"], ["a", "b"], complete=False)
    assert not is_shown(["a"], ["a", "b"], complete=True)


def test_dots_stay_where_they_were() -> None:
    """A regenerated output has its dots, and between them the lines that are most alike."""
    new = ["one", "two: 4 members run", "other", "the end is near"]

    assert redrawn(["...", "two: 4 members ran", "...", "the end"], new) == [
        *("...", "two: 4 members run", "...", "the end is near"),
    ]
    assert redrawn(["old"], new) == new
