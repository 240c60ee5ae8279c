"""No process, thread or descriptor to spare: told once, tried again, and the command lives on."""

import resource
import signal

import pytest

from support.mirrored_host import MirroredHost
from support.process_limit import MANY, NONE, can_be_limited, limited_user, spare
from support.program import Program
from support.proxy import Proxy
from support.sandbox import ZKEXEC

CANNOT_WORK = 125

limits_bind = pytest.mark.skipif(not can_be_limited(), reason="no limit of processes binds here")


def start_limited(host: MirroredHost, *options: str, processes: int = MANY) -> Program:
    """Start zkexec as a user to whom limits apply, with this many processes to spare."""
    before = (*limited_user(), "prlimit", f"--nproc={processes}:", "--")
    return host.start(*options, program=(*before, *ZKEXEC))


@limits_bind
def test_a_first_start_without_a_thread(host: MirroredHost) -> None:
    """Without a thread to look up a name the first start ends with 125, and the last line says why.

    Nothing else needs a thread.
    """
    host.create(a=b"one")
    host.hosts = f"localhost:{host.hosts.rpartition(':')[2]}"

    run = start_limited(
        host, "--connect-timeout=0.5", *host.mirrors("a"), "--exec=sleep 1000", processes=NONE
    )

    assert run.wait() == CANNOT_WORK
    assert run.stderr.lines[-1].endswith(
        f"--cluster: no configuration from {host.hosts} within 0.5 s: {host.hosts}: "
        "cannot be resolved (no thread can be started to look it up)"
    )
    assert "Traceback" not in run.stderr.text


@limits_bind
def test_a_first_start_without_a_process(host: MirroredHost) -> None:
    """Without a process for the command the first start ends with 125 and one line."""
    run = start_limited(host, "--silent", "--exec=sleep 1000", processes=NONE)

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert line.endswith("--exec: cannot start sleep: Resource temporarily unavailable")


@limits_bind
def test_a_connection_needs_no_thread(host: MirroredHost, proxy: Proxy) -> None:
    """Where no thread is left, a lost connection is made again, and the command lives on."""
    host.create(a=b"one")
    host.hosts = proxy.hosts
    run = start_limited(
        host, "--session-timeout=1", *host.mirrors("a"), f"--exec={host.recorder('a')}"
    )
    born = host.born()
    spare(run.pid, NONE)
    proxy.cut()

    run.until("connected$", count=2)
    host.only(born)
    spare(run.pid, MANY)
    host.set(a=b"two")

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0


@limits_bind
def test_a_restart_without_a_process(host: MirroredHost) -> None:
    """If there is no process for the new command it is started as soon as there is one."""
    host.create(a=b"one")
    run = start_limited(host, *host.mirrors("a"), f"--exec={host.recorder('a')}")
    host.born()
    spare(run.pid, NONE)
    host.set(a=b"two")

    run.until("no command runs now, next attempt in 1 s")
    assert run.is_running()
    spare(run.pid, MANY)

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0


@limits_bind
def test_the_end_while_a_start_is_waited_for(host: MirroredHost) -> None:
    """A TERM ends zkexec while there is no process for the command."""
    host.create(a=b"one")
    run = start_limited(host, *host.mirrors("a"), f"--exec={host.recorder('a')}")
    host.born()
    spare(run.pid, NONE)
    host.set(a=b"two")
    run.until("no command runs now")

    assert run.end() == -signal.SIGTERM


def test_no_descriptor_to_spare(host: MirroredHost, proxy: Proxy) -> None:
    """A running command lives on where zkexec has no descriptor for a connection; later it has."""
    host.create(a=b"one")
    host.hosts = proxy.hosts
    run = host.wrap()
    born = host.born()
    _, most = resource.prlimit(run.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (3, most))
    proxy.cut()

    run.until("cannot connect to .*: Too many open files")
    host.only(born)
    resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (most, most))
    host.set(a=b"two")

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0
