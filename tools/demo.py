"""A rollout in a minute: `make demo`.

It starts the fleet of `examples/fleet`, and runs `zkexecctl` on it as an operator would.
"""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo_screen import QuitError, Screen
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_events import ClientEvent, Connected
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.connect_string import parse_cluster
from zkexec.zookeeper.errors import NoNodeError, ZooKeeperError
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.requests import Children, Create, Delete, Dialogue
from zkexec.zookeeper.values import OPEN_ACL

FLEET = Path(__file__).resolve().parent.parent / "examples" / "fleet"
_CLUSTER = "ZKEXEC_CLUSTER"
_CONNECT_S = 10.0
_PR_SET_PDEATHSIG = 1


class DemoError(Exception):
    """Why the demo cannot go on, in words for the user."""


class Interrupted(BaseException):
    """A signal requests the end of the demo."""


class Signals:
    """Raises Interrupted at the first signal, but not while something is started or stopped."""

    def __init__(self) -> None:
        self._are_only_noted = False
        self._number = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A signal that the caller ignores, as nohup does, stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._receive)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Raise Interrupted only after the start of something that has to be stopped."""
        self._are_only_noted = True
        yield
        self._are_only_noted = False
        if self._number:
            raise Interrupted

    def note_only(self) -> None:
        """Let the end of the demo, which begins now, be undisturbed."""
        self._are_only_noted = True

    def end_by_signal(self) -> None:
        """End by the signal that came, if one did, as a program without a handler would."""
        if self._number:
            signal.signal(self._number, signal.SIG_DFL)
            signal.raise_signal(self._number)

    def _receive(self, number: int, _frame: object) -> None:
        is_first, self._number = not self._number, self._number or number
        if is_first and not self._are_only_noted:
            raise Interrupted


class Operator:
    """A person in the folder of the fleet, who runs commands and reads their output."""

    def __init__(self, screen: Screen, signals: Signals, cluster: str) -> None:
        self._screen = screen
        self._signals = signals
        self._environment = {**os.environ, _CLUSTER: cluster}

    def run(self, line: str, status: int = 0) -> None:
        """Show a command line and run it; a DemoError if it ends in another way than this."""
        self._screen.command(line)
        self._screen.wait_for_key()
        words = shlex.split(line)
        with ExitStack() as to_stop:
            with self._signals.noted():
                process = subprocess.Popen(
                    words,
                    cwd=FLEET,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    preexec_fn=_end_with_parent,  # noqa: PLW1509 -- the demo has one thread
                )
                to_stop.callback(process.wait)
                to_stop.callback(process.terminate)
            process.wait()
        if process.returncode != status:
            raise DemoError(f"{' '.join(words[:2])} exited with status {process.returncode}")


def play(screen: Screen, signals: Signals) -> None:
    """Show a good push, a bad one, and the way back."""
    screen.prose("""
        zkexec wraps a command: it brings the command's configuration from ZooKeeper, and restarts
        the command when the configuration changes.  With --lock, the members of a group take
        turns, so a bad configuration stops at the first member that tries it.
        """)
    screen.command(
        "zkexec --lock web --member-id web-1 --mirror app.conf=/web/app.conf \\\n"
        "      --health './service --healthy' -- ./service app.conf"
    )
    with own_cluster(signals) as cluster:
        beside = "" if cluster else ", and a ZooKeeper for them"
        screen.prose(f"Starting three such members{beside} ...")
        with running_fleet(signals, cluster) as used:
            operator = Operator(screen, signals, used)
            show_good_push(screen, operator)
            show_bad_push(screen, operator)
            show_undo(screen, operator)
            screen.prose("That was all.  Stopping the fleet ...")
    screen.prose("""
        Nothing of it is left.  To play with the same fleet: examples/fleet/start.  README.md
        explains the rest.
        """)


def show_good_push(screen: Screen, operator: Operator) -> None:
    """Let a configuration reach all members, one after the other."""
    screen.heading("1. A push reaches all members, one after the other")
    screen.prose("""
        `push` shows the diff, writes it to ZooKeeper, and follows the rollout.  Each member waits
        for its turn, restarts, and must be healthy for two seconds before the next one begins.
        """)
    operator.run("zkexecctl push /web/app.conf=app-v2.conf -m 'more cache' --lock web --wait -y")
    operator.run("zkexecctl status web")


def show_bad_push(screen: Screen, operator: Operator) -> None:
    """Let a configuration fail on the first member."""
    screen.heading("2. A bad push stops at the first member")
    screen.prose("""
        `workers = four` is a mistake: with it the service starts, but its health check fails.  The
        first member has five seconds to become healthy.
        """)
    operator.run("zkexecctl push /web/app.conf=app-bad.conf -m 'workers' --lock web --wait -y", 1)
    screen.prose("""
        `push` ends with exit status 1.  The other two members still run what they ran before:
        """)
    operator.run("zkexecctl status web")


def show_undo(screen: Screen, operator: Operator) -> None:
    """Push the content from before the failure."""
    screen.heading("3. Undo")
    screen.prose("""
        `undo` pushes the previous content.  Only the member that failed has to restart.
        """)
    operator.run("zkexecctl undo /web/app.conf --lock web --wait -y")
    operator.run("zkexecctl history /web/app.conf")


@contextmanager
def running_fleet(signals: Signals, cluster: str, count: int = 3) -> Iterator[str]:
    """Run the fleet of the examples, and yield the cluster that it uses."""
    with ExitStack() as to_stop:
        with signals.noted():
            fleet = subprocess.Popen(
                [FLEET / "start", str(count), "--stop-at-eof"],
                env={**os.environ, _CLUSTER: cluster},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # A Ctrl-C at the terminal is for the demo, which then stops the fleet.
                start_new_session=True,
            )
            # This closes its input, which stops it.  A sudden end of the demo would do so, too.
            to_stop.callback(fleet.communicate)
            to_stop.callback(signals.note_only)
        yield _cluster_of(fleet)


def _end_with_parent() -> None:
    """Have the kernel end this process with the demo: it could wait for a cluster that is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _cluster_of(fleet: "subprocess.Popen[str]") -> str:
    """Wait until the fleet runs, and read which cluster it uses."""
    cluster = ""
    for line in fleet.stdout or ():
        _, is_export, text = line.partition(f"export {_CLUSTER}=")
        cluster = shlex.split(text)[0] if is_export else cluster
        if line.startswith("Ctrl-C"):
            return cluster
    raise DemoError("the fleet did not start")


@contextmanager
def own_cluster(signals: Signals) -> Iterator[str]:
    """Yield a chroot of our own in ZKEXEC_CLUSTER, removed afterwards; "" if that is not set."""
    given = os.environ.get(_CLUSTER, "")
    if not given:
        yield ""
        return
    demand_reachable(given)
    with own_chroot(signals, given) as chroot:
        yield given.rstrip("/") + chroot


@contextmanager
def own_chroot(signals: Signals, cluster: str) -> Iterator[str]:
    """Yield the path of a new znode, which is removed with all below it."""
    chroot = f"/zkexec-demo-{uuid.uuid4().hex[:8]}"
    servers, above = parse_cluster(cluster)

    def remove() -> None:
        signals.note_only()
        try:
            run_dialogue(servers, _deleted(above + chroot))
        except (ZooKeeperError, TimeoutError) as error:
            raise DemoError(f"{chroot} is left in {cluster}: {error}") from None

    with ExitStack() as to_stop:
        with signals.noted():
            try:
                run_dialogue(servers, _created(above + chroot))
            except NoNodeError:
                raise DemoError(f"the chroot of {_CLUSTER} does not exist: {cluster}") from None
            except (ZooKeeperError, TimeoutError) as error:
                raise DemoError(f"{cluster}: {error}") from None
            to_stop.callback(remove)
        yield chroot


def run_dialogue(servers: tuple[tuple[str, int], ...], dialogue: Dialogue) -> object:
    """Run a dialogue on a session of its own; raise what it raises, or a TimeoutError."""
    is_connected = False

    def listen(event: ClientEvent) -> None:
        nonlocal is_connected
        is_connected |= isinstance(event, Connected)

    network = Network()
    client = Client(ClientSettings(servers=servers, session_timeout_s=10.0), listen, network)
    until = network.now() + _CONNECT_S
    client.open()
    try:
        while not is_connected:
            if network.now() >= until:
                raise TimeoutError("it cannot be connected to")
            client.wait(until)
        return client.run(dialogue, _CONNECT_S)
    finally:
        client.close(1.0)


def _created(path: str) -> Dialogue:
    (outcome,) = yield [Create(path, b"", OPEN_ACL)]
    if isinstance(outcome, ZooKeeperError):
        raise outcome


def _deleted(path: str) -> Dialogue:
    """Delete a znode and all below it, from the leaves up."""
    (found,) = yield [Children(path)]
    if isinstance(found, NoNodeError):
        return
    if isinstance(found, ZooKeeperError):
        raise found
    for name in found[0]:
        yield from _deleted(f"{path}/{name}")
    (outcome,) = yield [Delete(path)]
    if isinstance(outcome, ZooKeeperError) and not isinstance(outcome, NoNodeError):
        raise outcome


def demand_reachable(cluster: str) -> None:
    """Raise a DemoError if zkexecctl cannot read from this cluster."""
    done = subprocess.run(
        ["zkexecctl", "--connect-timeout", "10", "status"],
        env={**os.environ, _CLUSTER: cluster},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise DemoError(done.stderr.strip().removeprefix("zkexecctl: "))


def main() -> int:
    """Return the exit status: 0, or 1 with a line on stderr."""
    # The zkexec of this environment comes first.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    signals, screen = Signals(), Screen()
    try:
        play(screen, signals)
    except QuitError:
        screen.prose("The demo is over, and nothing of it is left.")
    except Interrupted:
        sys.stderr.write("\ndemo: interrupted; nothing of it is left\n")
    except BrokenPipeError:
        # No one reads any more.  Python must not complain about that at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except DemoError as error:
        sys.stderr.write(f"\ndemo: {error}\n")
        return 1
    signals.end_by_signal()
    return 0


if __name__ == "__main__":
    sys.exit(main())
