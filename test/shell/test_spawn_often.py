"""Many starts: with signals at any moment, with a sudden end of zkexec, and without any leak."""

import json
import signal
from collections.abc import Iterator

import pytest

from shell.marked_programs import MARK
from shell.spawning_programs import SpawningPrograms
from support.processes import with_variable
from support.waiting import until

PREPARE = """
from zkexec.process.inheritance import inherit
i = inherit()
import json, os, random, signal, sys, time
from zkexec.process.spawn import SpawnError, SpawnRequest, spawn
def request(*argv, own_session=True):
    return SpawnRequest(argv=argv, environment=i.environment, mask=i.mask, ignored=i.ignored,
                        own_session=own_session, dies_with_parent=True, null_stdin=True,
                        cgroup="/none")
def end(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
# Forks 150 copies of itself, each of which starts processes until it is killed.
KILLED = """
chance, rounds = random.Random(20141128), 0
for _ in range(150):
    reading, writing = os.pipe()
    if not (copy := os.fork()):
        while True:
            pid = spawn(request(b"sleep", b"1000"))
            os.write(writing, b".")
            os.kill(pid, signal.SIGKILL)
            end(pid)
    os.close(writing)
    rounds += len(os.read(reading, 1))  # it has started one
    time.sleep(chance.random() * 0.006)
    os.kill(copy, signal.SIGKILL)
    end(copy)
    os.close(reading)
print(rounds)
"""
# Starts processes while their group gets signals all the time.  This process has a handler for the
# signal, and blocks it.
FLOODED = """
number, calls = int(sys.argv[1]), []
signal.signal(number, lambda *_: calls.append(1))
signal.pthread_sigmask(signal.SIG_BLOCK, {number})
if not (flood := os.fork()):
    while True:
        os.killpg(0, number)
endings = {end(spawn(request(b"sh", b"-c", b"exit 7", own_session=False))) for _ in range(200)}
os.kill(flood, signal.SIGKILL)
end(flood)
print(json.dumps([sorted(endings), len(calls), number in signal.sigpending()]))
"""
LEAKING = """
def used():
    pages = [int(word) for word in open("/proc/self/statm").read().split()[:2]]
    return [*pages, sys.getallocatedblocks(), len(os.listdir("/proc/self/fd"))]
def start(count):
    for number in range(count):
        assert end(spawn(request(b"true"))) == 0
        if number % 10 == 0:
            try:
                spawn(request(b"/dev/null"))
            except SpawnError:
                pass
start(600)  # until Python needs no more memory
before = used()
start(1000)
print(json.dumps([after - first for first, after in zip(before, used())]))
"""
MOST = [2048, 64, 500, 0]
"""Of addresses two pages for each start, of memory 250 bytes, of Python's blocks half a one."""


@pytest.fixture(params=["starter", "fork"])
def marked(request: pytest.FixtureRequest) -> Iterator[SpawningPrograms]:
    """Starts the programs of this test, and kills them by their mark."""
    programs = SpawningPrograms(request.param)
    yield programs
    programs.close()


def test_nothing_outlives_a_zkexec_that_is_killed(marked: SpawningPrograms) -> None:
    """Whenever zkexec is killed around a start, the new process ends with it."""
    done = marked.python(PREPARE + KILLED)
    assert (done.returncode, done.stdout) == (0, b"150\n"), done.stderr

    mark = marked.environment()[MARK]
    until(lambda: not with_variable(MARK, mark), "all processes have ended")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGQUIT, signal.SIGTERM])
def test_no_signal_acts_on_zkexec_in_a_start(marked: SpawningPrograms, number: int) -> None:
    """A signal to the new process ends at most that, and no handler of zkexec runs in it."""
    done = marked.python(PREPARE + FLOODED, str(number))
    assert done.returncode == 0, done.stderr
    endings, calls, pending = json.loads(done.stdout)

    assert -number in endings
    assert set(endings) <= {-number, 7}
    assert (calls, pending) == (0, True)


def test_a_thousand_starts_leave_nothing(marked: SpawningPrograms) -> None:
    """Starts, and starts that fail, keep no memory and no descriptor."""
    done = marked.python(PREPARE + LEAKING)
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)

    assert all(more <= most for more, most in zip(grown, MOST, strict=True)), grown
