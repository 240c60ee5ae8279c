"""No process, thread or descriptor to spare: told once, tried again, and the command lives on."""

import resource
import signal

import pytest

from e2e.scene import Running, Scene
from e2e.stage import ZKEXEC
from proxy import Fate, Proxy, pass_all
from shortage import MANY, NONE, can_be_limited, limited_user, spare

CANNOT_WORK = 125

limits_bind = pytest.mark.skipif(not can_be_limited(), reason="no limit of processes binds here")


class Limited(Running):
    """A zkexec of a user to whom limits apply."""

    def __init__(self, scene: Scene, *options: str, processes: int = MANY) -> None:
        """Start it on the scene's cluster, with so many processes to spare."""
        before = (*limited_user(), "prlimit", f"--nproc={processes}:", "--")
        super().__init__(
            scene.stage, f"--cluster={scene.hosts}", *options, program=(*before, *ZKEXEC)
        )


@limits_bind
def test_a_first_start_without_threads(scene: Scene) -> None:
    """Without a thread for the client the first start ends with 125, and the last line says why."""
    scene.create(a=b"one")

    run = Limited(
        scene, "--connect-timeout=0.5", *scene.mirrors("a"), "--exec=sleep 1000", processes=NONE
    )

    assert run.wait() == CANNOT_WORK
    assert run.lines[-1].endswith(
        f"--cluster: no configuration from {scene.hosts} within 0.5 s: the client cannot run: "
        "no process or thread to spare"
    )
    assert "Traceback" not in run.said


@limits_bind
def test_a_first_start_without_a_process(scene: Scene) -> None:
    """Without a process for the command the first start ends with 125 and one line."""
    run = Limited(scene, "--silent", "--exec=sleep 1000", processes=NONE)

    assert run.wait() == CANNOT_WORK
    (line,) = run.lines
    assert line.endswith("--exec: cannot start sleep: Resource temporarily unavailable")


@limits_bind
def test_a_client_that_cannot_be_replaced(scene: Scene, proxy: Proxy) -> None:
    """A running command lives on where no thread is left for a new client; later there is one."""
    scene.create(a=b"one")
    scene.hosts = proxy.hosts
    run = Limited(
        scene, "--session-timeout=1", *scene.mirrors("a"), f"--exec={scene.recorder('a')}"
    )
    born = scene.born()
    spare(run.pid, NONE)
    # An answer that nobody understands ends the client, which has to be replaced.
    proxy.on_request = lambda _: Fate.CONFUSE
    scene.set(a=b"two")

    run.line("cannot connect to .*: the client cannot run: no process or thread to spare")
    scene.only(born)
    proxy.on_request = pass_all
    spare(run.pid, MANY)

    assert scene.born(2).files == {"a": "two"}
    assert len(run.all("no process or thread to spare")) == 1
    assert run.end() == 0


@limits_bind
def test_a_restart_without_a_process(scene: Scene) -> None:
    """If there is no process for the new command it is started as soon as there is one."""
    scene.create(a=b"one")
    run = Limited(scene, *scene.mirrors("a"), f"--exec={scene.recorder('a')}")
    scene.born()
    spare(run.pid, NONE)
    scene.set(a=b"two")

    run.line("nothing runs now, next try in 1 s")
    assert run.process.poll() is None
    spare(run.pid, MANY)

    assert scene.born(2).files == {"a": "two"}
    assert run.end() == 0


@limits_bind
def test_the_end_while_a_start_is_waited_for(scene: Scene) -> None:
    """A TERM ends zkexec while there is no process for the command."""
    scene.create(a=b"one")
    run = Limited(scene, *scene.mirrors("a"), f"--exec={scene.recorder('a')}")
    scene.born()
    spare(run.pid, NONE)
    scene.set(a=b"two")
    run.line("nothing runs now")

    assert run.end() == -signal.SIGTERM


def test_no_descriptor_to_spare(scene: Scene, proxy: Proxy) -> None:
    """A running command lives on where zkexec has no descriptor for a connection; later it has."""
    scene.create(a=b"one")
    scene.hosts = proxy.hosts
    run = scene.wrap()
    born = scene.born()
    _, most = resource.prlimit(run.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (3, most))
    proxy.cut()

    run.line("cannot connect to .*: Too many open files")
    scene.only(born)
    resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (most, most))
    scene.set(a=b"two")

    assert scene.born(2).files == {"a": "two"}
    assert run.end() == 0
