"""A command in a cgroup of its own, where the operator has delegated one as systemd does it."""

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.processes import is_alive
from support.program import Program
from support.sandbox import ZKEXEC, Mirror, Sandbox
from support.waiting import until

# A daemon that leaves the session and loses its parent, beside the service.
DAEMON = "(setsid sleep 1000 &) ; exec sleep 1000"
INTO = 'echo $$ >"$0"/cgroup.procs && exec "$@"'


def _root() -> Path | None:
    """Where the cgroups of version 2 are, if there are any."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    return None


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of this test, removed afterwards with all that is in it."""
    root = _root()
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("this machine has no cgroups that a test may make")
    folder = root / f"zkexec-test-{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir()
        (folder / "cgroup.kill").stat()
    except OSError:
        pytest.skip("this machine has no cgroups that a test may make")
    yield folder
    (folder / "cgroup.kill").write_text("1")
    until(lambda: "populated 0" in (folder / "cgroup.events").read_text(), "nothing is left in it")
    for below, _, _ in os.walk(folder, topdown=False):
        os.rmdir(below)


@pytest.fixture
def delegated(cgroup: Path) -> Path:
    """The same, marked as systemd marks what it delegates."""
    with suppress(OSError):
        os.setxattr(cgroup, "user.delegate", b"1")
        return cgroup
    with suppress(OSError):
        os.setxattr(cgroup, "trusted.delegate", b"1")
        return cgroup
    pytest.skip("cgroups have no attributes here")


def start(sandbox: Sandbox, cgroup: Path, *words: str) -> Program:
    """Start zkexec in a cgroup, on the daemon and the service."""
    folder = sandbox.folder / "runtime"
    folder.mkdir(mode=0o700, exist_ok=True)
    given = sandbox.environment(RUNTIME_DIRECTORY=str(folder))
    command = ("--", "sh", "-c", DAEMON)
    return sandbox.start("sh", "-c", INTO, cgroup, *ZKEXEC, *words, *command, env=given)


def both(sandbox: Sandbox, old: list[int] | None = None) -> list[int]:
    """The daemon and the service, once both run, and none of the old ones."""

    def found() -> list[int]:
        new = [pid for pid in sandbox.sleepers() if pid not in (old or ())]
        return new if len(new) == 2 else []

    return until(found, "daemon and service run")


def folders(cgroup: Path) -> list[Path]:
    """The cgroups below."""
    return [path for path in cgroup.iterdir() if path.is_dir()]


def test_a_restart_takes_all_of_the_cgroup(
    sandbox: Sandbox, mirror: Mirror, delegated: Path
) -> None:
    """A daemon that escaped from session and parent is stopped by a restart, and at the end."""
    process = start(sandbox, delegated, mirror.option)
    first = both(sandbox)
    (below,) = folders(delegated)
    assert set(map(int, (below / "cgroup.procs").read_text().split())) == set(first)
    assert (delegated / "cgroup.procs").read_text().split() == [str(process.pid)]
    mirror.change()
    both(sandbox, first)

    assert not [pid for pid in first if is_alive(pid)]
    process.end()
    sandbox.wait_until_empty()
    assert folders(delegated) == []


def test_what_a_killed_zkexec_left_in_it_is_stopped(sandbox: Sandbox, delegated: Path) -> None:
    """The next zkexec stops the daemon that a killed one left in the cgroup."""
    process = start(sandbox, delegated)
    first = both(sandbox)
    process.kill()
    process.wait()
    until(lambda: sum(map(is_alive, first)) == 1, "the kernel killed the command")
    (left,) = [pid for pid in first if is_alive(pid)]

    again = start(sandbox, delegated)
    both(sandbox, first)
    assert not is_alive(left)
    again.signal(signal.SIGTERM)
    again.wait()
    assert folders(delegated) == []


def test_what_is_not_delegated_is_not_touched(sandbox: Sandbox, cgroup: Path) -> None:
    """In a cgroup without the mark no other is made, although zkexec would be allowed to."""
    process = start(sandbox, cgroup)
    both(sandbox)

    assert folders(cgroup) == []
    assert len((cgroup / "cgroup.procs").read_text().split()) == 3
    process.kill()
    process.wait()
