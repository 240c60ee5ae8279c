"""The three streams and all other descriptors: the command sees them as without zkexec."""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.sandbox import BARE, REPORTER, WRAPPED, ZKEXEC, Mirror, Sandbox, born
from support.waiting import lines, until, until_line

# What a shell writes to close descriptor 0, 1 or 2 of what it executes.
CLOSE = {"0": "exec 0<&-;", "1": "exec 1>&-;", "2": "exec 2>&-;"}


def opened(pid: int) -> dict[str, str]:
    """The descriptors of a process and what they are of."""
    return {one.name: str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()}


def descriptors(sandbox: Sandbox, prefix: Sequence[str], before: str) -> dict[str, str]:
    """The descriptors of a command, where a shell opens and closes some before."""
    script = f'{before} exec "$@"'
    # Two runs can be compared only if they inherit the same outputs, those of the tests.
    outputs = {"stdout": None, "stderr": None}
    process = sandbox.start("bash", "-c", script, "bash", *prefix, "sleep", "1000", **outputs)
    seen = opened(until(sandbox.sleepers, "the command runs")[0])
    process.end()
    return seen


def test_bytes_pass_unchanged(sandbox: Sandbox) -> None:
    """Any bytes go through stdin, stdout and stderr as they are."""
    every = bytes(range(256)) * 400

    assert sandbox.run(*WRAPPED, "cat", input=every) == (0, every, b"")
    assert sandbox.run(*WRAPPED, "sh", "-c", "cat >&2", input=every) == (0, b"", every)


def test_the_streams_are_the_callers_own(sandbox: Sandbox) -> None:
    """The command's stdin, stdout and stderr are the very files that zkexec was given."""
    given = [sandbox.folder / name for name in ("in", "out", "err")]
    given[0].write_bytes(b"")
    script = "readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2"
    with given[0].open("rb") as stdin, given[1].open("wb") as out, given[2].open("wb") as err:
        streams = {"stdin": stdin, "stdout": out, "stderr": err}
        assert sandbox.start(*WRAPPED, "sh", "-c", script, **streams).wait() == 0

    assert lines(given[1]) == [str(path) for path in given]


def test_what_the_command_leaves_of_stdin_is_for_the_next(sandbox: Sandbox) -> None:
    """zkexec reads nothing from stdin: what follows it in a script gets all that is left."""
    script = '"$@" sh -c "read one; echo [\\$one]"; cat'
    seen = [
        sandbox.run("sh", "-c", script, "sh", *prefix, input=b"first\nsecond\nthird\n")
        for prefix in (BARE, WRAPPED)
    ]

    assert seen == [(0, b"[first]\nsecond\nthird\n", b"")] * 2


def test_stdout_is_for_the_command_alone(sandbox: Sandbox) -> None:
    """zkexec says everything on stderr and nothing on stdout."""
    status, out, err = sandbox.run(*ZKEXEC, "--verbose", "--", "echo", "only this")

    assert (status, out) == (0, b"only this\n")
    assert b"forking echo 'only this'\n" in err


def test_no_stream_is_made_nonblocking(sandbox: Sandbox) -> None:
    """The flags of the open files that zkexec shares with its caller stay what they were."""
    ends = [os.pipe() for _ in range(3)]
    shared = [ends[0][0], ends[1][1], ends[2][1]]
    before = [fcntl.fcntl(one, fcntl.F_GETFL) for one in shared]
    streams = dict(zip(("stdin", "stdout", "stderr"), shared, strict=True))
    process, _ = sandbox.start_reporter((*ZKEXEC, "--"), **streams)
    meanwhile = [fcntl.fcntl(one, fcntl.F_GETFL) for one in shared]
    process.end()
    after = [fcntl.fcntl(one, fcntl.F_GETFL) for one in shared]
    for one in [descriptor for pair in ends for descriptor in pair]:
        os.close(one)

    assert before == meanwhile == after


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1", "0 2", "1 2", "0 1 2"])
def test_closed_streams_stay_closed(sandbox: Sandbox, closed: str) -> None:
    """A command that would start with closed streams does so; nothing takes their place."""
    before = "".join(CLOSE[number] for number in closed.split())
    bare = descriptors(sandbox, BARE, before)

    assert descriptors(sandbox, WRAPPED, before) == bare
    assert set(bare) == {"0", "1", "2"} - set(closed.split())


@pytest.mark.parametrize("closed", ["0 1 2", "2"])
def test_the_log_goes_into_nobody_elses_descriptor(
    sandbox: Sandbox, mirror: Mirror, closed: str
) -> None:
    """With closed streams zkexec keeps its connection, says nothing into it, and restarts."""
    before = "".join(CLOSE[number] for number in closed.split())
    words = (*ZKEXEC, "--verbose", mirror.option, "--", REPORTER, str(sandbox.report))
    process = sandbox.start("sh", "-c", f'{before} exec "$@"', "sh", *words)
    born(sandbox.report)
    for number in closed.split():
        assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
    mirror.change()
    born(sandbox.report, 2)

    assert process.end() == 0


def test_only_the_callers_descriptors_are_inherited(sandbox: Sandbox) -> None:
    """Descriptors that the caller left open reach the command, and none of zkexec's own."""
    (sandbox.folder / "five").write_text("fifth\n")
    before = "exec 5<five 9>nine;"
    bare = descriptors(sandbox, BARE, before)

    assert descriptors(sandbox, WRAPPED, before) == bare
    assert set(bare) == {"0", "1", "2", "5", "9"}


def test_inherited_descriptors_are_there_after_a_restart(sandbox: Sandbox, mirror: Mirror) -> None:
    """After a restart the command has the same descriptors, and not one more."""
    (sandbox.folder / "five").write_text("fifth\n")
    words = (*ZKEXEC, "--silent", mirror.option, "--", REPORTER, str(sandbox.report))
    process = sandbox.start("bash", "-c", 'exec 5<five; exec "$@"', "bash", *words)

    first = opened(born(sandbox.report))
    mirror.change()
    second = opened(born(sandbox.report, 2))
    process.end()

    assert first == second
    assert first["5"] == str(sandbox.folder / "five")


def test_process_substitution_works(sandbox: Sandbox) -> None:
    """`<(...)` in the shell that calls zkexec is readable by the command."""
    seen = [
        sandbox.run("bash", "-c", '"$@" cat <(echo from there)', "bash", *prefix)
        for prefix in (BARE, WRAPPED)
    ]

    assert seen == [(0, b"from there\n", b"")] * 2


def test_a_reader_of_the_log_that_leaves_ends_nothing(sandbox: Sandbox, mirror: Mirror) -> None:
    """`zkexec 2>&1 | head -1` shows one line, and the service goes on and restarts."""
    words = (*ZKEXEC, "--verbose", mirror.option, "--", REPORTER, str(sandbox.report))
    script = '"$@" 2>&1 >/dev/null | head -n 1'
    process = sandbox.start("sh", "-c", script, "sh", *words)
    assert "connecting to" in process.until("", on=process.stdout)
    service = born(sandbox.report)
    zkexec = int(Path(f"/proc/{service}/stat").read_text().rpartition(")")[2].split()[1])
    mirror.change()
    born(sandbox.report, 2)
    os.kill(zkexec, 15)

    assert process.wait() == 0
    until_line(sandbox.report, "got TERM", 2)


def test_a_full_disk_under_the_log_ends_nothing(sandbox: Sandbox, mirror: Mirror) -> None:
    """A log that cannot be written for want of space is no reason to end a service."""
    with open("/dev/full", "wb") as full:
        process, _ = sandbox.start_reporter(
            (*ZKEXEC, "--verbose", mirror.option, "--"), stderr=full
        )
        mirror.change()
        born(sandbox.report, 2)

        assert process.end() == 0


def test_a_log_that_nobody_reads_at_all_is_no_failure_of_the_command(sandbox: Sandbox) -> None:
    """With stderr closed from the other end the command's status is still the status."""
    reading, writing = os.pipe()
    os.close(reading)
    process = sandbox.start(*ZKEXEC, "--verbose", "--", "sh", "-c", "exit 5", stderr=writing)
    os.close(writing)

    assert process.wait() == 5


def check_of_itself(sandbox: Sandbox) -> str:
    """A health check that tells where its streams go and which session it leads."""
    told = sandbox.folder / "check"
    script = sandbox.folder / "check.sh"
    script.write_text(
        f"readlink /proc/$$/fd/0 >{told}.new; ps -o sid= -p $$ >>{told}.new\n"
        f"echo $$ >>{told}.new; mv {told}.new {told}; echo out; echo err >&2\n"
    )
    return f"sh {script}"


def test_a_health_check_keeps_to_itself(sandbox: Sandbox) -> None:
    """A check has no input, a session of its own, and all its output on zkexec's stderr."""
    words = ("--silent", "--health", check_of_itself(sandbox), "-d", "0", "-i", "0.1", "--")
    process, _ = sandbox.start_reporter((*ZKEXEC, *words))
    until(lambda: lines(sandbox.folder / "check"), "a check has run")
    process.end()
    stdin, session, pid = lines(sandbox.folder / "check")

    assert (stdin, session.strip()) == ("/dev/null", pid)
    assert process.stdout.raw == b""
    assert process.stderr.raw.startswith(b"out\nerr\n")


def test_an_alert_prints_where_zkexec_would(sandbox: Sandbox) -> None:
    """`--alert 'echo FOO'` prints FOO on zkexec's stderr, from a command without input."""
    alert = "echo FOO; readlink /proc/self/fd/0; echo BAR >&2"

    assert sandbox.run(*ZKEXEC, "-s", "-a", alert, "-e", "false", input=b"typed") == (
        1,
        b"",
        b"FOO\n/dev/null\nBAR\n",
    )
