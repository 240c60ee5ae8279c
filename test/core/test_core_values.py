"""The values of the core: endings, snapshots, plans, and the notes about files."""

import pytest

from zkexec.core.actions import Note, notes_on_files
from zkexec.core.events import CommandExited, ExitStatus
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.inputs import restart_name
from zkexec.core.rollout.version import contents_of, short, version_of
from zkexec.core.snapshot import Plan, Snapshot, plan, short_digest
from zkexec.core.step import STEP_COMMANDS, Step, failed_in


@pytest.mark.parametrize(
    ("ending", "failed", "status", "words"),
    [
        (ExitStatus(), False, 0, "exit status 0"),
        (ExitStatus(code=3), True, 3, "exit status 3"),
        (ExitStatus(signal=15), True, 143, "killed by SIGTERM"),
        (ExitStatus(signal=40), True, 168, "killed by signal 40"),
    ],
)
def test_an_ending_is_told_as_a_shell_would(
    ending: ExitStatus, failed: bool, status: int, words: str
) -> None:
    """An ending knows whether it is a failure, its status in a shell, and its words."""
    assert (ending.failed, ending.shell_status, str(ending)) == (failed, status, words)


def test_the_reason_of_an_end_has_the_last_line() -> None:
    """Why a command ended is its status, and behind it the last line that it wrote, if known."""
    ending = ExitStatus(code=1)

    assert CommandExited(1, ending).reason == "exit status 1"
    assert CommandExited(1, ending, "bad line 3").reason == 'exit status 1: "bad line 3"'


def test_a_failure_names_the_step_of_a_command() -> None:
    """A rendering and the four commands of an operator are named; other steps are clear."""
    assert [failed_in(step.value) for step in STEP_COMMANDS] == [
        "failed in its check",
        "failed in its pre-stop command",
        "failed in its reload",
        "failed in its post-healthy command",
    ]
    assert failed_in("render") == "failed in its rendering"
    named = (Step.RENDER, *STEP_COMMANDS)
    others = [step.value for step in Step if step not in named]
    assert {failed_in(step) for step in ("", "unknown", *others)} == {"failed"}


def test_a_process_does_not_end_in_two_ways() -> None:
    """An ending has a code or a signal, never both."""
    with pytest.raises(ValueError, match="not by both"):
        ExitStatus(code=1, signal=15)


def test_snapshots_are_equal_by_content() -> None:
    """The revision and the order of the files make no difference, the bytes do."""
    one = Snapshot({"/a": b"1", "/b": b"2"}, zxid=1)
    same = Snapshot({"/b": b"2", "/a": b"1"}, zxid=9)
    assert one == same
    assert len({one, same}) == 1
    assert one != Snapshot({"/a": b"1", "/b": b""})
    assert one != "no snapshot"


@pytest.mark.parametrize(
    "other",
    [{"/a": b"1/b"}, {"/a": b"", "/b": b"1"}, {"/ab": b"1"}, {"/a1": b""}, {}],
)
def test_bytes_do_not_wander_between_names_and_contents(other: dict[str, bytes]) -> None:
    """No two different sets of files are equal because their bytes would join alike."""
    assert Snapshot(other) != Snapshot({"/a": b"1"})


def test_names_that_are_no_text_are_told_apart() -> None:
    """A path with bytes that are not UTF-8 is a path like any other."""
    assert Snapshot({"/\udcff": b""}) != Snapshot({"/\udcfe": b""})


def test_a_plan_names_what_differs() -> None:
    """Changed, new and vanished files are in the plan, in the order of their names."""
    applied = Snapshot({"/same": b"1", "/other": b"1", "/gone": b"1"})
    wanted = Snapshot({"/same": b"1", "/other": b"2", "/new": b"1"})
    assert plan(applied, wanted) == Plan(("/gone", "/new", "/other"))
    assert plan(applied, wanted)
    assert not plan(applied, applied)


def test_notes_on_files_tell_no_content() -> None:
    """A file is told of by path, size and short digest."""
    (note,) = notes_on_files("installed", ["/a"], Snapshot({"/a": b"secret", "/b": b""}))
    digest = short_digest(b"secret")
    assert note == Note("installed", {"path": "/a", "size": 6, "sha256": digest})
    assert len(digest) == 12


def test_a_restart_makes_another_target_of_the_same_contents() -> None:
    """A command that was started before the restart was asked for runs something else."""
    files = {"/f": b"a"}
    before, after = Snapshot(files, 1), Snapshot(files, 2, restart="a1b2c3d4")
    assert before != after
    assert plan(before, after) == Plan((), restarts=True)
    assert plan(before, after)
    inputs = InputOptions(mirrors=(Mirror("/f", "/z"),))
    old, new = version_of(before, inputs), version_of(after, inputs)
    assert new.digest == f"{old.digest}.a1b2c3d4"
    assert contents_of(new.digest) == old.digest
    assert (short(old.digest), short(new.digest)) == (old.digest[:12], f"{old.digest[:12]}.a1b2")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", ""),
        (b"-", ""),
        (b" - 77\n", ""),
        (b"a1b2 77", "a1b2"),
        (b"x" * 16, "x" * 16),
        (b"x" * 17, None),
        (b"a\xff", None),
        (b"\0\0", None),
        ("ä".encode(), None),
        (b"[" * 400_000, None),
    ],
)
def test_the_name_of_a_restart(content: bytes, name: str | None) -> None:
    """The first word names it, where an operator can have written that."""
    assert restart_name(content) == name
