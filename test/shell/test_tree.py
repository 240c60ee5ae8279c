"""Finding processes in /proc and signalling exactly those: shown on real ones."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.marked_programs import MarkedPrograms
from support.processes import is_alive, state
from support.program import Program
from support.waiting import until, until_lines
from zkexec.frozen import replace
from zkexec.process import process_tree
from zkexec.process.descendants import find_descendants, find_session
from zkexec.process.process_tree import ProcessTree, kill_session, send
from zkexec.process.procfs import Process, read_all_processes, read_process, with_descendants

Start = Callable[..., Program]


@pytest.fixture
def start(marked: MarkedPrograms) -> Start:
    """Start programs, each in a session of its own, that are gone after the test."""
    return marked.start


def seen(pid: int) -> Process:
    """A process that is known to be there."""
    process = read_process(pid)
    assert process is not None
    return process


def living(session: int) -> list[Process]:
    """The living processes of a session."""
    return [one for one in read_all_processes().values() if one.session == session and one.alive]


def fabricated(pid: int, parent: int, started: int = 0) -> Process:
    """A process as it might be found."""
    return Process(pid, parent, pid, pid, started, alive=True, stopped=False)


def test_a_process_is_seen_as_it_is(start: Start) -> None:
    """Parent, group and session are those that the kernel tells."""
    process = seen(start("sleep", "1000").pid)

    assert process.parent == os.getpid()
    assert process.group == process.session == process.pid
    assert process.alive
    assert not process.stopped
    assert read_all_processes()[process.pid].identity == process.identity


def test_an_odd_name_hides_nothing(start: Start, tmp_path: Path) -> None:
    """A program whose name holds brackets and spaces is read like any other."""
    odd = tmp_path / "a) Z 1 (b"
    odd.symlink_to("/bin/sleep")
    process = start(str(odd), "1000")
    until(lambda: b"Z 1" in Path(f"/proc/{process.pid}/comm").read_bytes(), "the exec")

    assert seen(process.pid).parent == os.getpid()
    assert seen(process.pid).alive


def test_a_stopped_process_is_known(start: Start) -> None:
    """A process stopped by a signal is alive and stopped."""
    process = start("sleep", "1000")
    process.signal(signal.SIGSTOP)
    until(lambda: state(process.pid) == "T", "the stop")

    assert seen(process.pid).stopped
    assert seen(process.pid).alive


def test_a_zombie_is_not_alive(start: Start) -> None:
    """A process that ended but is not reaped counts as gone."""
    process = start("true")
    until(lambda: state(process.pid) == "Z", "the end")

    assert not seen(process.pid).alive


def test_a_process_without_its_first_thread_is_alive(start: Start) -> None:
    """A process whose first thread has ended looks like a zombie, but the others live on."""
    code = f"""
import ctypes, platform, threading
threading.Thread(target=threading.Event().wait).start()
ctypes.CDLL(None).syscall({60 if os.uname().machine == "x86_64" else 93}, 0)
"""
    process = start(sys.executable, "-c", code)
    until(lambda: state(process.pid) == "Z", "the end of the first thread")

    assert seen(process.pid).alive


def test_who_is_not_there_is_not_seen(start: Start) -> None:
    """A pid that nobody has is None, not an error."""
    process = start("true")
    process.wait()

    assert read_process(process.pid) is None


def test_parents_come_before_children() -> None:
    """Descendants are found at any depth, and come after those they descend from."""
    line = [fabricated(50, 40), fabricated(40, 60), fabricated(60, 7), fabricated(7, 1)]
    aside = [fabricated(70, 8), fabricated(8, 1)]
    everyone = {process.pid: process for process in [*line, *aside]}

    found = with_descendants(everyone, [everyone[40], everyone[7]])
    assert [process.pid for process in found] == [7, 60, 40, 50]


def test_a_circle_is_survived() -> None:
    """A listing that is not of one moment may show a circle; it is no trap."""
    everyone = {1: fabricated(1, 2), 2: fabricated(2, 1)}

    assert {process.pid for process in with_descendants(everyone, [everyone[1]])} == {1, 2}


def test_a_pid_given_away_again_is_not_signalled(start: Start) -> None:
    """A signal meant for a former owner of a pid does not hit the present one."""
    process = start("sleep", "1000")
    now = seen(process.pid)

    send(replace(now, started=now.started - 1), signal.SIGKILL)
    assert is_alive(process.pid)
    send(now, signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM


def test_signalling_the_vanished_is_no_error(start: Start) -> None:
    """A process that vanished between being found and being signalled is passed over."""
    process = start("sleep", "1000")
    found = seen(process.pid)
    process.kill()
    process.wait()

    send(found, signal.SIGTERM)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_signalling_the_forbidden_is_no_error(marked: MarkedPrograms) -> None:
    """A process that zkexec has no right to signal stays as it is, without an error."""
    code = """
import os
from zkexec.process.procfs import read_process
from zkexec.process.process_tree import send
os.setresuid(54321, 54321, 54321)
send(read_process(os.getppid()), 9)
print("fine")
"""
    assert marked.python(code).stdout == b"fine\n"


def test_a_kill_catches_up_with_a_forking_program(start: Start, tmp_path: Path) -> None:
    """Whoever is forked while a session is being killed is killed as well."""
    beat = tmp_path / "beat"
    fork = f"""
import os
os.write(os.open({str(beat)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY), b"up\\n")
for _ in range(5000):
    if os.fork():
        os._exit(0)
    if os.fork() == 0:
        os.setpgid(0, 0)
        os.execvp("sleep", ["sleep", "1000"])
"""
    leader = start("sh", "-c", f'{sys.executable} -c "$1" & sleep 1000; :', "sh", fork)
    until_lines(beat)

    kill_session(leader.pid)
    until(lambda: not living(leader.pid), "the end of all")


def test_the_session_is_the_tree(start: Start, tmp_path: Path) -> None:
    """With a session of its own the child's tree holds orphans and other groups as well."""
    pids = tmp_path / "pids"
    command = start("bash", "-mc", f"(sleep 1000 & echo $! >>{pids}); sleep 1000 & wait")
    orphan = int(until_lines(pids)[0])
    tree = ProcessTree(own_session=True)
    tree.begin(command.pid)

    def members() -> set[int]:
        return {process.pid for process in tree.members()}

    until(lambda: len(members()) == 3, "shell, job and orphan")
    assert {command.pid, orphan} < members()
    assert os.getpid() not in members()


def test_the_kin_are_all_who_matter(start: Start, tmp_path: Path) -> None:
    """Found are descendants, of any thread, and a session with its descendants; nobody else."""
    pids, code = tmp_path / "pids", tmp_path / "code"
    code.write_text(f"""
import subprocess, threading
def fork():
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    open({str(pids)!r}, "a").write(f"{{other.pid}}\\n")
    other.wait()
threading.Thread(target=fork).start()
""")
    # Of the three sleepers the first is orphaned, and so is the parent of the last.
    orphan = f"sleep 1000 & echo $! >>{pids}; {sys.executable} {code} &"
    session = start("bash", "-mc", f"({orphan}); {sys.executable} {code} & wait").pid
    sleepers = {int(pid) for pid in until_lines(pids, 3)}
    stranger = start("sh", "-c", f"(setsid sh -c 'echo $$ >>{pids}; exec sleep 1000' &)")
    stranger.wait()
    (other,) = {int(pid) for pid in until_lines(pids, 4)} - sleepers

    def related() -> set[int]:
        return {*find_descendants(), *find_session(session)}

    assert {session} | sleepers <= related()
    assert other not in related()
    assert len(set(find_descendants()) & sleepers) == 1


def test_an_orphan_from_before_is_in_each_scan(start: Start, tmp_path: Path) -> None:
    """While an orphan is not adopted by zkexec, each scan includes the whole session."""
    pids = tmp_path / "pids"
    forking = f"sh -c 'read line <{tmp_path}/gate; sleep 1000 & echo $! >>{pids}; wait' & echo $!"
    os.mkfifo(tmp_path / "gate")
    command = start("bash", "-mc", f"({forking} >>{pids}); sleep 1000 & wait")
    orphan = int(until_lines(pids)[0])
    tree = ProcessTree(own_session=True)
    tree.begin(command.pid)

    for _ in range(4):
        assert orphan in {process.pid for process in tree.members()}
    (tmp_path / "gate").write_text("open\n")
    forked = int(until_lines(pids, 2)[1])
    assert forked in {process.pid for process in tree.members()}


def test_kin_are_found_in_every_look(start: Start, tmp_path: Path) -> None:
    """Where a session holds none but related, what is forked later is found as well."""
    pids = tmp_path / "pids"
    os.mkfifo(tmp_path / "gate")
    later = f"read line <{tmp_path}/gate; setsid sleep 1000 & echo $! >>{pids}; wait"
    tree = ProcessTree(own_session=True)
    tree.begin(start("sh", "-c", later).pid)

    for _ in range(4):
        assert len(tree.members()) == 1
    (tmp_path / "gate").write_text("open\n")
    until_lines(pids)
    until(lambda: len(tree.members()) == 2, "the later one is found")


def test_what_starts_during_a_search_is_no_outsider(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that the command starts while outsiders are searched for is not one of them."""
    pids = tmp_path / "pids"
    os.mkfifo(tmp_path / "gate")
    later = f"read line <{tmp_path}/gate; setsid sleep 1000 & echo $! >>{pids}; wait"
    orphan = f"(sleep 1000 & echo $! >>{pids})"
    tree = ProcessTree(own_session=True)
    tree.begin(start("sh", "-c", f"{orphan}; {later}").pid)
    (outsider,) = map(int, until_lines(pids))

    def start_then_find(session: int) -> dict[int, Process]:
        (tmp_path / "gate").write_text("open\n")
        until_lines(pids, 2)
        return find_session(session)

    monkeypatch.setattr(process_tree, "find_session", start_then_find)
    assert [process.pid for process in tree.outsiders()] == [outsider]
    monkeypatch.undo()
    assert {outsider, int(until_lines(pids, 2)[1])} <= {one.pid for one in tree.members()}


def test_a_dead_childs_session_is_forgotten_once_empty(start: Start) -> None:
    """When the child leaves nobody behind, its pid stands for nothing any more."""
    leaving = start("sh", "-c", "sleep 1000 & :")
    alone = start("true")
    for command, session in ((leaving, leaving.pid), (alone, 0)):
        tree = ProcessTree(own_session=True)
        tree.begin(command.pid)
        command.wait()
        tree.command_reaped()
        assert tree.session == session


def test_a_reused_session_number_is_nobodys(start: Start) -> None:
    """A process with the reaped child's pid shows that the number belongs to strangers now."""
    stranger = start("sh", "-c", "sleep 1000 & wait")
    tree = ProcessTree(own_session=True)
    tree.begin(stranger.pid)
    tree.command_reaped()  # the child that had this pid has ended, and left somebody

    assert tree.members() == []
    assert tree.session == 0


def test_helpers_from_before_are_foreign(marked: MarkedPrograms) -> None:
    """What was there before, as in `helper & exec zkexec`, is no part of the child's tree."""
    code = """
import os, time
from zkexec.process.process_tree import ProcessTree
for own_session in (True, False):
    tree = ProcessTree(own_session=own_session)
    later = os.posix_spawn("/bin/sleep", ["sleep", "1000"], os.environ, setsid=True)
    print([process.pid == later for process in tree.members()], flush=True)
    os.kill(later, 9)
    os.waitpid(later, 0)
"""
    helper = ("sh", "-c", 'sleep 1000 >/dev/null 2>&1 & exec "$@"', "sh")
    done = marked.python(code, before=helper)
    assert done.stdout == b"[True]\n[True]\n", done.stderr


def test_the_number_of_an_ended_health_check_is_free(marked: MarkedPrograms) -> None:
    """A session is excluded as long as it exists, and not the next one with its number."""
    isolated = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*isolated, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no namespaces")
    code = """
import os
from zkexec.process.process_tree import ProcessTree
tree = ProcessTree(own_session=True)
def start():
    return os.posix_spawn("/bin/sleep", ["sleep", "1000"], os.environ, setsid=True)
def end(pid):
    os.kill(pid, 9)
    os.waitpid(pid, 0)
def pids():
    return [process.pid for process in tree.members()]
check = start()
tree.exclude_session(check)
print(pids())
end(check)
later = start()
tree.exclude_session(later)
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(check - 1))
daemon = start()
print(daemon == check, pids() == [daemon])
end(later)
end(daemon)
"""
    done = marked.python(code, before=isolated)
    assert done.stdout == b"[]\nTrue True\n", done.stderr


def test_nothing_is_seen_of_another_pid_namespace(marked: MarkedPrograms) -> None:
    """Where /proc numbers the processes of another namespace, nobody is taken for a member."""
    isolated = ("unshare", "--user", "--map-root-user", "--pid", "--fork")
    if subprocess.run([*isolated, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no namespaces")
    code = "from zkexec.process.procfs import read_all_processes; print(read_all_processes())"

    assert marked.python(code, before=isolated).stdout == b"{}\n"
