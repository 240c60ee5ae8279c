"""The datagrams of `--notify zkexec`: what is sent when, and what a failure to send costs."""

import socket
from pathlib import Path

import pytest

from zkexec.cli.parser import read
from zkexec.cli.settings import Settings, resolve_settings
from zkexec.core.actions import Note
from zkexec.core.policy import Policy
from zkexec.core.service_state import ServiceReport, ServiceState
from zkexec.core.turn import MemberStatus
from zkexec.runtime.log import Log
from zkexec.runtime.notify_socket import NotifySocket, watchdog_interval_s
from zkexec.runtime.service_notifier import AWAITING_S, ServiceNotifier, notifier_of

STARTING, AWAITING, READY, APPLYING, ENDING = ServiceState
RUNNING = MemberStatus("running")


def settings() -> Settings:
    """The settings of a plain zkexec."""
    return resolve_settings(read(["--cluster=zk:1", "--", "true"]), {})


class Receiver:
    """A manager that takes everything, unless it has a reason not to."""

    name = "/run/notify"

    def __init__(self) -> None:
        self.taken: list[list[str]] = []
        self.tried = 0
        self.failure = ""

    def send(self, assignments: str) -> str:
        """Take a datagram, or fail."""
        self.tried += 1
        if not self.failure:
            self.taken.append(assignments.split("\n"))
        return self.failure


class Sender:
    """A notifier, its receiver, and the time."""

    def __init__(self, watchdog_s: float | None = None) -> None:
        """Begin at 100 s."""
        self.now = 100.0
        self.receiver = Receiver()
        log = Log(settings())
        self.notifier = ServiceNotifier(
            Policy(), self.receiver, watchdog_s, log, clock=lambda: self.now
        )

    def report(
        self,
        state: ServiceState,
        status: MemberStatus = RUNNING,
        awaited: Note | None = None,
        limit_s: float = 60.0,
    ) -> list[str]:
        """Report, and return what was sent for it; the time of the clock is left out."""
        before = len(self.receiver.taken)
        self.notifier.report(ServiceReport(state, status, awaited, limit_s))
        sent = [line for datagram in self.receiver.taken[before:] for line in datagram]
        return [line for line in sent if not line.startswith("MONOTONIC_USEC=")]

    def advance_to(self, time: float) -> list[list[str]]:
        """Let the loop go on at this time, and return the datagrams that follow."""
        before, self.now = len(self.receiver.taken), time
        self.notifier.advance()
        return self.receiver.taken[before:]


@pytest.fixture
def sender() -> Sender:
    """One without a watchdog."""
    return Sender()


def test_only_what_has_changed_is_sent(sender: Sender) -> None:
    """Each state, each limit and each status comes once."""
    limit = "EXTEND_TIMEOUT_USEC=60000000"
    not_ready = "STATUS=running: the command is not known to be healthy yet"
    assert sender.report(STARTING) == [limit, not_ready]
    assert sender.report(STARTING) == []
    assert sender.report(READY) == ["READY=1", "STATUS=running"]
    assert sender.report(READY) == []
    stopping, verifying = MemberStatus("stopping", step="stop"), MemberStatus("verifying")
    assert sender.report(APPLYING, stopping) == ["RELOADING=1", limit, "STATUS=stopping (stop)"]
    assert sender.report(APPLYING, verifying) == [limit, "STATUS=verifying"]
    assert sender.report(STARTING) == ["READY=1", not_ready]
    exiting = MemberStatus("exiting")
    assert sender.report(ENDING, exiting) == ["STOPPING=1", limit, "STATUS=exiting"]
    sender.notifier.end()
    assert sender.report(ENDING, exiting) == []


def test_a_reload_comes_with_the_time_of_the_monotonic_clock(sender: Sender) -> None:
    """systemd needs it for Type=notify-reload."""
    sender.report(READY)
    sender.report(APPLYING)
    (line,) = [line for line in sender.receiver.taken[-1] if line.startswith("MONOTONIC_USEC=")]
    assert int(line.partition("=")[2]) > 0


def test_a_wait_without_a_limit_is_extended_again_and_again(sender: Sender) -> None:
    """Each half of the time that was requested; a service that is ready needs none."""
    awaited = Note("waiting-for-znodes", {"problems": "/z does not exist"})
    loading = MemberStatus("loading")
    assert sender.report(AWAITING, loading, awaited) == [
        "STATUS=loading: waiting (--start wait): /z does not exist",
        "EXTEND_TIMEOUT_USEC=60000000",
    ]
    assert sender.notifier.deadline == 100 + AWAITING_S / 2
    assert sender.advance_to(129) == []
    assert sender.advance_to(131) == [["EXTEND_TIMEOUT_USEC=60000000"]]
    assert sender.advance_to(161) == [["EXTEND_TIMEOUT_USEC=60000000"]]
    sender.report(READY)
    assert sender.notifier.deadline is None
    assert sender.report(AWAITING, MemberStatus("waiting")) == ["STATUS=waiting"]
    assert sender.notifier.deadline is None


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (MemberStatus("running", health="healthy"), "running"),
        (MemberStatus("running", health="unhealthy"), "running: the last health check failed"),
        (
            MemberStatus("failed", step="check", reason="exit status 1"),
            "failed (check): exit status 1; waiting for new content",
        ),
        (MemberStatus("blocked", reason="disk full"), "blocked: disk full"),
        (MemberStatus("blocked", reason="a\nREADY=1\x1b[2J"), r"blocked: a\nREADY=1\x1b[2J"),
        (MemberStatus("blocked", reason="\udcff" + 2000 * "x"), r"blocked: \udcff" + 987 * "x"),
    ],
)
def test_the_status_is_one_line(sender: Sender, status: MemberStatus, text: str) -> None:
    """It has the phase, the step, and the reason, which can be hostile."""
    (line,) = [line for line in sender.report(READY, status) if line.startswith("STATUS=")]
    assert line.removeprefix("STATUS=")[:1000] == text[:1000]
    assert len(line) < 1100


def test_the_watchdog_gets_a_sign_of_life_from_the_loop() -> None:
    """At each interval, if the loop comes round; a loop that hangs sends nothing."""
    sender = Sender(watchdog_s=5)
    assert sender.advance_to(100) == [["WATCHDOG=1"]]
    assert sender.notifier.deadline == 105
    assert sender.advance_to(104) == []
    assert sender.advance_to(105) == [["WATCHDOG=1"]]
    # Nothing is sent for the time in which the loop was blocked.
    assert sender.advance_to(200) == [["WATCHDOG=1"]]
    assert sender.notifier.deadline == 205
    sender.notifier.end()
    assert sender.receiver.taken[-1] == ["STOPPING=1"]
    assert sender.notifier.deadline is None


def test_what_could_not_be_sent_is_tried_again(
    sender: Sender, capfd: pytest.CaptureFixture[str]
) -> None:
    """The pause grows; what is outdated by then is not sent; one warning is logged."""
    sender.receiver.failure = "its queue is full"
    sender.report(READY)
    sender.report(APPLYING)
    tried, due = sender.receiver.tried, sender.notifier.deadline
    assert due is not None
    pauses = []
    for _ in range(9):
        pauses.append(due - sender.now)
        sender.advance_to(due)
        due = sender.notifier.deadline
        assert due is not None
    assert pauses[-3:] == [60, 60, 60]
    assert sender.receiver.tried == tried + 9
    sender.receiver.failure = ""
    ((*lines,),) = sender.advance_to(due)
    names = [line.partition("=")[0] for line in lines]
    assert sorted(names) == ["EXTEND_TIMEOUT_USEC", "MONOTONIC_USEC", "RELOADING", "STATUS"]
    assert sender.notifier.deadline is None
    assert capfd.readouterr().err.count("--notify: cannot notify /run/notify: its queue") == 1


def test_a_lost_sign_of_life_is_not_sent_later() -> None:
    """It would report a life that was long ago."""
    sender = Sender(watchdog_s=5)
    sender.receiver.failure = "its queue is full"
    assert sender.advance_to(100) == []
    assert sender.notifier.deadline == 105
    sender.receiver.failure = ""
    assert sender.advance_to(104) == []


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({b"WATCHDOG_USEC": b"30000000"}, 15.0),
        ({b"WATCHDOG_USEC": b"30000000", b"WATCHDOG_PID": b"7"}, 15.0),
        ({b"WATCHDOG_USEC": b"30000000", b"WATCHDOG_PID": b"8"}, None),
        ({b"WATCHDOG_USEC": b"0", b"WATCHDOG_PID": b"7"}, None),
        ({b"WATCHDOG_USEC": b"-1"}, None),
        ({b"WATCHDOG_USEC": b"9" * 19}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_one_process(
    environment: dict[bytes, bytes], interval_s: float | None
) -> None:
    """Half of its time, if it means zkexec."""
    assert watchdog_interval_s(environment, 7) == interval_s


def test_without_a_socket_there_is_no_notifier() -> None:
    """zkexec that was not started by a service manager notifies none."""
    assert notifier_of({}, Policy(), Log(settings())) is None
    assert notifier_of({b"NOTIFY_SOCKET": b""}, Policy(), Log(settings())) is None


def test_a_socket_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    """Each kind of failure is returned in words, and nothing is raised."""
    path = tmp_path / "notify"
    assert NotifySocket(bytes(path)).send("READY=1") == "No such file or directory"
    assert "too long" in NotifySocket(b"/" + 200 * b"x").send("READY=1")
    assert "neither a path" in NotifySocket(b"vsock:2:1").send("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        known = NotifySocket(bytes(path))
        assert known.send("READY=1") == ""
        assert listening.recv(100) == b"READY=1"
        while not (failure := known.send("WATCHDOG=1")):
            pass
        assert failure == "its queue is full"
    assert known.send("READY=1") == "Connection refused"
