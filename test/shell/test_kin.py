"""Finding whose parent has ended, wherever the kernel put them, without a look at all processes."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.marked_programs import MarkedPrograms
from support.program import Program
from support.waiting import until, until_lines
from zkexec.process.descendants import Orphans, find_related
from zkexec.process.process_tree import ProcessTree

# An orphan in another session than the child's, and below it a member of the child's session.
DETACHED = """
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        if os.fork() == 0:
            while os.getsid(os.getppid()) == os.getsid(0) or os.getppid() == int(sys.argv[2]):
                time.sleep(0.01)
            print(os.getppid(), os.getpid(), file=open(sys.argv[1], "a"))
            os.execvp("sleep", ["sleep", "1000"])
        os.setsid()
        os.execvp("sleep", ["sleep", "1000"])
    os._exit(0)
os.execvp("sleep", ["sleep", "1000"])
"""
# Starts a session in which an orphan lives, and prints whether a look finds it.
FINDS_ORPHAN = """
import os, subprocess, sys, time
from zkexec.process.descendants import find_related
asked = subprocess.Popen(["sh", "-c", "(sleep 1000 >/dev/null & echo $!); exec sleep 1000"],
                         start_new_session=True, stdout=subprocess.PIPE)
orphan = int(asked.stdout.readline())
while os.stat(f"/proc/{orphan}") and f") S {asked.pid} " in open(f"/proc/{orphan}/stat").read():
    time.sleep(0.01)
seen = find_related(asked.pid)
print(sys.argv[1:], orphan in seen, asked.pid in seen)
asked.kill()
os.kill(orphan, 9)
"""
# Looks a few times, and prints nothing.
LOOKS = """
from zkexec.process.descendants import Orphans, find_related
orphans = Orphans()
orphans.ignore_present()
for _ in range(5):
    find_related(1000000, orphans, thorough=True)
"""
CROWD = """
import os, signal
for _ in range(300):
    if os.fork() == 0:
        signal.pause()
print("there", flush=True)
signal.pause()
"""


@pytest.fixture
def start(marked: MarkedPrograms) -> Callable[..., Program]:
    """Start programs, each in a session of its own; they are gone after the test."""
    return marked.start


Start = Callable[..., Program]


@pytest.mark.parametrize("others", [0, 130])
def test_below_a_detached_orphan_the_session_is_found(
    start: Start, tmp_path: Path, others: int
) -> None:
    """A member of the session below an orphan that left it is found, also beside many others."""
    tree = ProcessTree(own_session=True)
    tree.prepare()
    pids = tmp_path / "pids"
    command = start(sys.executable, "-c", DETACHED, pids, str(os.getpid()))
    tree.begin(command.pid)
    detached, member = map(int, until_lines(pids)[0].split())
    start("sh", "-c", f"for i in $(seq {others}); do setsid sleep 1000 & done").wait()
    until(lambda: os.getsid(detached) == detached, "it has a session of its own")

    for _ in range(4):
        found = {process.pid for process in tree.members()}
        assert {command.pid, member} <= found
        assert len(found) == 2


def test_a_later_orphan_is_found_although_others_are_known(start: Start, tmp_path: Path) -> None:
    """What is remembered of the ancestors' children hides no orphan that comes later."""
    pids, gate = tmp_path / "pids", tmp_path / "gate"
    os.mkfifo(gate)
    session = start("sh", "-c", f"read line <{gate}; (sleep 1000 & echo $! >{pids}); sleep 1000")
    orphans = Orphans()
    for _ in range(3):
        assert set(find_related(session.pid, orphans)) >= {session.pid}
    gate.write_text("open\n")
    orphan = int(until_lines(pids)[0])

    assert orphan in find_related(session.pid, orphans)


def test_a_look_costs_the_same_beside_many(marked: MarkedPrograms, start: Start) -> None:
    """300 processes elsewhere on the machine add no system call to a look."""
    if not shutil.which("strace"):
        pytest.skip("this machine has no strace")

    def calls() -> list[int]:
        done = marked.python(LOOKS, before=("strace", "-c", "-U", "name,calls"))
        counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stderr.decode(), re.MULTILINE))
        assert int(counts["openat"]) > 0, done.stderr
        return [int(counts.get(name, 0)) for name in ("getsid", "openat", "getdents64")]

    before = calls()
    crowd = start(sys.executable, "-c", CROWD)
    crowd.until("there", on=crowd.stdout)
    # Others on this machine come and go, but not 300 of them.
    assert all(now < then + 150 for now, then in zip(calls(), before, strict=True))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide processes")
def test_hidden_ancestors_hide_no_orphan(marked: MarkedPrograms) -> None:
    """Where /proc shows only one's own processes (hidepid) the orphans are found all the same."""
    hide = "mount -t proc -o hidepid=2 proc /proc"
    unhidden = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
    isolated = ("unshare", "--mount", "sh", "-c", f'{hide} && exec "$@"', "sh")
    seen = subprocess.run(
        [*isolated, *unhidden, "stat", "/proc/1"], check=False, capture_output=True
    )
    if b"No such file" not in seen.stderr:
        pytest.skip("this machine allows no mounts")
    done = marked.python(FINDS_ORPHAN, "hidden", before=(*isolated, *unhidden))

    assert done.stdout == b"['hidden'] True True\n", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can enter a namespace")
def test_a_parent_outside_hides_no_orphan(marked: MarkedPrograms, start: Start) -> None:
    """Below a parent of another pid namespace, as in `docker exec`, orphans are found."""
    inside = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no namespaces")
    outer = start(*inside, "sh", "-c", "echo there; sleep 1000; :")
    outer.until("there", on=outer.stdout)
    first = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().strip()
    done = marked.python(
        FINDS_ORPHAN, "entered", before=("nsenter", f"--target={first}", "--mount", "--pid")
    )

    assert done.stdout == b"['entered'] True True\n", done.stderr
