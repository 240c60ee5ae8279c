"""Finding processes whose parent has ended, wherever the kernel put them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.marked_programs import MarkedPrograms
from support.program import Program
from support.waiting import until, until_lines
from zkexec.process.descendants import find_session, is_in_use
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
from zkexec.process.descendants import find_session
asked = subprocess.Popen(["sh", "-c", "(sleep 1000 >/dev/null & echo $!); exec sleep 1000"],
                         start_new_session=True, stdout=subprocess.PIPE)
orphan = int(asked.stdout.readline())
while os.stat(f"/proc/{orphan}") and f") S {asked.pid} " in open(f"/proc/{orphan}/stat").read():
    time.sleep(0.01)
seen = find_session(asked.pid)
print(sys.argv[1:], orphan in seen, asked.pid in seen)
asked.kill()
os.kill(orphan, 9)
"""


@pytest.fixture
def start(marked: MarkedPrograms) -> Callable[..., Program]:
    """Start programs, each in a session of its own; they are gone after the test."""
    return marked.start


Start = Callable[..., Program]


def test_below_a_detached_orphan_the_session_is_found(start: Start, tmp_path: Path) -> None:
    """A member of the session below an orphan that left it is found."""
    tree = ProcessTree(own_session=True)
    pids = tmp_path / "pids"
    command = start(sys.executable, "-c", DETACHED, pids, str(os.getpid()))
    tree.begin(command.pid)
    detached, member = map(int, until_lines(pids)[0].split())
    until(lambda: os.getsid(detached) == detached, "it has a session of its own")

    for _ in range(4):
        found = {process.pid for process in tree.members()}
        assert {command.pid, member} <= found
        assert len(found) == 2


def test_an_orphan_is_found_in_its_session(start: Start, tmp_path: Path) -> None:
    """A search of a session finds a member whose parent has ended, and nothing but members."""
    pids = tmp_path / "pids"
    session = start("sh", "-c", f"(sleep 1000 & echo $! >{pids}); exec sleep 1000").pid
    orphan = int(until_lines(pids)[0])

    until(lambda: set(find_session(session)) == {session, orphan}, "both are found")


def test_a_number_is_in_use_while_anything_has_it(start: Start, tmp_path: Path) -> None:
    """The number of an ended leader is in use while its session or its group has a member."""
    pids = tmp_path / "pids"
    for interpreter in (["sh", "-c"], ["bash", "-mc"]):  # the same group, and one of its own
        pids.unlink(missing_ok=True)
        leader = start(*interpreter, f"sleep 1000 & echo $! >{pids}; exit")
        assert is_in_use(leader.pid)
        leader.wait()
        member = int(until_lines(pids)[0])
        assert os.getsid(member) == leader.pid
        assert is_in_use(leader.pid)
        os.kill(member, signal.SIGKILL)
        until(lambda pid=leader.pid: not is_in_use(pid), "the end of the session")  # type: ignore[misc]


def test_without_a_descriptor_every_number_counts_as_used(marked: MarkedPrograms) -> None:
    """A host that is short of descriptors hides no session."""
    code = """
import os, resource
from zkexec.process.descendants import is_in_use
child = os.posix_spawn("/bin/true", ["true"], os.environ)
os.waitpid(child, 0)
print(is_in_use(child))
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
print(is_in_use(child))
"""
    assert marked.python(code).stdout == b"False\nTrue\n"


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
