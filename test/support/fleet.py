"""A fleet: the members of one group, each a whole zkexec with a moody server of its own.

- Each member has its own folder for the mirrored files, its own Link, and its own log.  They share
  the znodes, the lock, and the journal.
- Times are short: see `PACE`.  A test that needs others gives the option again; the last counts.
- What a test does to a zkexec is in the journal before it is done.
- Every test ends with `at_rest`: all members healthy on one content, none in flight or queued.
"""

import json
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient
from kazoo.retry import KazooRetry

from support.journal import (
    ENDING,
    KILLED,
    STARTED,
    Entry,
    Journal,
    as_text,
    peak_of,
    ran,
    unavailable_at_once,
)
from support.link import Link
from support.mirrored_host import quoted
from support.processes import is_alive
from support.program import Program, Word
from support.sandbox import LIBEXEC, ZKEXEC, Sandbox
from support.stored_group import StoredGroup
from support.waiting import lines, until

FULL = bool(os.environ.get("ZKEXEC_FULL_FAULTS"))
"""Whether the heavy variants of the fault tests are wanted: the counts of the issue in full."""
PATIENCE_S = 600.0 if FULL else 60.0
SESSION_TIMEOUT_S = 2.0
PACE = {
    "session-timeout": f"{SESSION_TIMEOUT_S:g}",
    "health-delay": "2.5",
    "health-interval": "0.3",
    "kill-timeout": "2",
    "settle": "0.05",
    "log-format": "json",
}
SLOW_TO_FAIL = ("--health-delay=60", "--post-healthy=true")
"""A turn fails no sooner than that.  With the hook, health checks begin at once after any start."""
GAVE_UP = 125
"""How zkexec ends where it could not do its work."""
CHATTER = ("health-check-started", "health-check-passed", "health-check-failed")
"""Events that would fill a story with nothing."""
# A server and its check are started often, so they are made to start fast.
_PYTHON = (sys.executable, "-IS")


def _last_object(line: str) -> dict[str, Any]:
    """Read a line of a JSON log; before it there can be a part of one whose writer was killed."""
    found: dict[str, Any] = json.loads(line[line.rindex('{"time"') :])
    return found


class FleetMember:
    """One zkexec with its server; `name` is its `--member-id`."""

    def __init__(self, fleet: "Fleet", name: str, link: Link, options: Sequence[str]) -> None:
        self.name = name
        self.link = link
        self.folder = fleet.sandbox.folder / name
        self.folder.mkdir()
        self.is_kept = False
        """Whether it is started again each time it ends, as an init system does."""
        self.program: Sequence[Word] = ZKEXEC
        self.process: Program | None = None
        self._fleet = fleet
        self._options = options
        self._log = self.folder / "log"

    @property
    def pid(self) -> int:
        """The process id of zkexec."""
        assert self.process is not None
        return self.process.pid

    def words(self) -> list[str]:
        """The whole command line."""
        fleet = self._fleet
        files = [self.folder / f"file{number}" for number in range(len(fleet.znodes))]
        state, journal = self.folder / "state", fleet.journal.path
        return [
            *map(str, self.program),
            f"--cluster={self.link.hosts}",
            f"--lock={fleet.lock}",
            f"--member-id={self.name}",
            *(f"--{option}={value}" for option, value in PACE.items()),
            *(f"--mirror={file}={node}" for file, node in zip(files, fleet.znodes, strict=True)),
            f"--health={quoted(LIBEXEC / 'moodcheck', self.name, journal, state)}",
            *self._options,
            "--verbose",
            f"--exec={quoted(*_PYTHON, LIBEXEC / 'moody', self.name, journal, state, *files)}",
        ]

    def start(self) -> None:
        """Start zkexec; it may have run before."""
        self._write(STARTED)
        with self._log.open("ab") as log:
            self.process = self._fleet.sandbox.start(*self.words(), stderr=log, stdout=log)

    def kill(self) -> None:
        """Kill zkexec without a warning."""
        self._write(KILLED)
        self.signal(signal.SIGKILL)
        self.wait()

    def end(self) -> int:
        """Ask zkexec to end, and wait for that."""
        self.is_kept = False
        self._write(ENDING)
        self.signal(signal.SIGTERM)
        return self.wait()

    def signal(self, number: int) -> None:
        """Send zkexec a signal."""
        os.kill(self.pid, number)

    def freeze(self) -> None:
        """Stop zkexec as by Ctrl-Z; its server lives on."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let zkexec go on."""
        self.signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait for the end of zkexec, and return its status."""
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def is_running(self) -> bool:
        """Whether zkexec lives."""
        return self.process is not None and self.process.is_running()

    def _write(self, word: str) -> None:
        pid = self.process.pid if self.process else 0
        self._fleet.journal.write(word, self.name, pid, time.time())

    def entries(self, *words: str) -> list[Entry]:
        """The entries of the journal about it."""
        return self._fleet.journal.of(self.name, *words)

    def newest(self) -> Entry | None:
        """The last start of its server."""
        return next(reversed(self.entries("born")), None)

    def is_healthy_on(self, content: str) -> bool:
        """Whether its newest server lives, has this content, and has been healthy."""
        newest = self.newest()
        if newest is None or newest.content != content or not is_alive(newest.pid):
            return False
        return any(entry.pid == newest.pid for entry in self.entries("healthy"))

    def log(self, event: str = "") -> list[dict[str, Any]]:
        """The lines of its log, or those about one event."""
        objects = [_last_object(line) for line in lines(self._log) if line.startswith("{")]
        return [line for line in objects if event in ("", line["event"])]

    def become_ill(self) -> None:
        """Let each health check of the present server fail, from now on."""
        self._show("unhealthy")

    def recover(self) -> None:
        """Let the health checks of the present server succeed, from now on."""
        self._show("healthy")

    def _show(self, answer: str) -> None:
        newest = self.newest()
        assert newest is not None
        new = self.folder / "state.test"
        new.write_text(f"{newest.pid} {answer}\n", encoding="ascii")
        new.rename(self.folder / "state")

    def until_logged(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait until its log contains this event `count` times; the last of these lines."""
        self.until(lambda: len(self.log(event)) >= count, f"{count} x {event}")
        return self.log(event)[count - 1]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Poll until a generous deadline; AssertionError, with the story of the fleet, after it."""
        self._fleet.until(condition, f"{self.name}: {what}")


class Fleet:
    """The members, the znodes they mirror, and the operator's client."""

    def __init__(self, sandbox: Sandbox, client: KazooClient, ports: Sequence[int]) -> None:
        """Let the members connect to the servers at these ports."""
        self.sandbox = sandbox
        self.client = client
        self.ports = tuple(ports)
        self.lock = f"fleet-{uuid.uuid4().hex[:12]}"
        self.root = f"/{self.lock}"
        self.znodes = [f"{self.root}/first"]
        self.options: tuple[str, ...] = ()
        self.journal = Journal(sandbox.folder / "journal")
        self.members: list[FleetMember] = []
        self._over = threading.Event()
        self._init: threading.Thread | None = None
        self._ask = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5, deadline=PATIENCE_S)
        self._ask(client.ensure_path, self.root)

    def __getitem__(self, index: int) -> FleetMember:
        return self.members[index]

    def named(self, name: str) -> FleetMember:
        """The member of this name; LookupError if there is none."""
        for member in self.members:
            if member.name == name:
                return member
        raise LookupError(name)

    @property
    def stored(self) -> StoredGroup:
        """The znodes of the group."""
        return StoredGroup(self.client, f"/zkexec/{self.lock}", self._ask)

    def mirror(self, count: int) -> None:
        """Mirror this many znodes, instead of one."""
        self.znodes = [f"{self.root}/znode{number}" for number in range(count)]

    def add(self, ports: Sequence[int] = (), options: Sequence[str] = ()) -> FleetMember:
        """Add a member, that is not yet started; it may know only some of the servers.

        `options` are its own, beside those of the fleet.
        """
        name, link = f"m{len(self.members)}", Link(ports or self.ports)
        self.members.append(FleetMember(self, name, link, (*self.options, *options)))
        return self.members[-1]

    def launch(self, count: int, content: str = "good 0") -> None:
        """Start this many members on this content, and wait until all are at rest."""
        self.launch_each([()] * count, content)

    def launch_each(self, options: Iterable[Sequence[str]], content: str = "good 0") -> None:
        """Start a member with each of these options, and wait until all are at rest."""
        self.push(content)
        for own in options:
            self.add(options=own).start()
        self.at_rest(content)

    def push(self, *contents: str) -> None:
        """Write the znodes in one transaction: each its own content, or all the same."""
        texts = contents if len(contents) > 1 else contents * len(self.znodes)
        self._ask(self._write, dict(zip(self.znodes, texts, strict=True)))

    def _write(self, texts: dict[str, str]) -> None:
        transaction = self.client.transaction()
        are_new = self.client.exists(self.znodes[0]) is None
        for znode, text in texts.items():
            (transaction.create if are_new else transaction.set_data)(znode, text.encode())
        for result in transaction.commit():
            if isinstance(result, Exception):
                raise result

    @property
    def _gate(self) -> Path:
        return self.journal.path.with_name(f"{self.journal.path.name}.gate")

    def open_gate(self) -> None:
        """Let the servers with the mood `gated` become healthy, from now on."""
        self._gate.touch()

    def close_gate(self) -> None:
        """Let servers with the mood `gated` that start from now on not become healthy."""
        self._gate.unlink()

    def living(self) -> list[FleetMember]:
        """The members whose zkexec lives."""
        return [member for member in self.members if member.is_running()]

    def record(self) -> dict[str, Any]:
        """The decisions of the group, as the cluster has them."""
        return self.stored.decisions()

    def in_flight(self) -> dict[str, Any]:
        """The members in flight with their entries."""
        return self.stored.in_flight()

    def phase_of(self, member: FleetMember) -> str:
        """The phase of a member's turn; empty if it is not in flight."""
        return str(self.in_flight().get(member.name, {}).get("phase", ""))

    def children(self, name: str) -> list[str]:
        """The nodes below one of the group's."""
        return self.stored.children(name)

    def queued(self) -> set[str]:
        """The members that have a queue node."""
        return set(self.stored.queued())

    def all_run(self, content: str, members: Iterable[FleetMember]) -> None:
        """Wait until these members are healthy on the content.

        If there are several znodes, each of them contains `content`.
        """
        whole = "|".join([content] * len(self.znodes))
        for member in members:
            self.until(partial(member.is_healthy_on, whole), f"{member.name} runs {whole!r}")

    def at_rest(self, content: str, members: Iterable[FleetMember] = ()) -> None:
        """Wait until these members, or all that live, run the content, and no turn is left.

        No member in flight may be missing: only a member that waits for a turn reclaims one.
        """
        chosen = list(members) or self.living()
        assert chosen
        self.all_run(content, chosen)
        self.until(lambda: not self.in_flight(), "no member in flight")
        self.until(lambda: not self.children("queue"), "no member in the queue")
        names = {member.name for member in chosen}
        self.until(lambda: names <= set(self.children("members")), f"members {names}")

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Poll until a generous deadline; AssertionError, with the story of the fleet, after it."""

        def met() -> object:
            gave_up = [m.name for m in self.members if m.process and m.process.status == GAVE_UP]
            assert not gave_up, f"{gave_up} gave up, waiting for: {what}\n{self.story()}"
            return condition()

        try:
            until(met, what, PATIENCE_S)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def story(self) -> str:
        """What the members did, logged, and left in the cluster."""
        parts = [as_text(self.journal.entries()), self.stored.as_text()]
        for member in self.members:
            logged = [line for line in member.log() if line["event"] not in CHATTER]
            last = [f"{line['time'][11:23]} {line['message']}" for line in logged[-60:]]
            parts.append("\n".join([f"-- {member.name}, alive: {member.is_running()}", *last]))
        return "\n".join(parts)

    def reclaimed(self) -> list[tuple[float, str]]:
        """When which members lost their turn to another, by the logs."""
        found = [line for member in self.members for line in member.log("turn-reclaimed")]
        return [(_seconds(line["time"]), line["member"]) for line in found]

    def keeps_max_unavailable(self, allowed: int = 1) -> None:
        """Demand that at most this many members were ever unavailable at once."""
        peak = peak_of(self.journal.entries(), self.reclaimed())
        assert peak.count <= allowed, f"{peak.story}\n{self.story()}"

    def failing(self, content: str) -> FleetMember:
        """Wait until a member has tried the content and failed, and return it."""
        self.until(lambda: self.ran(content), f"a member tries {content!r}")
        self.until(lambda: "failed" in map(self.phase_of, self.members), "a failure is recorded")
        return next(one for one in self.members if self.phase_of(one) == "failed")

    def has_failure(self) -> bool:
        """Whether a failure is recorded."""
        return bool(self.stored.failures())

    def unavailable_at_once(self) -> list[list[str]]:
        """The members that were unavailable at once, after each entry of the journal."""
        return unavailable_at_once(self.journal.entries(), self.reclaimed())

    def ran(self, content: str) -> set[str]:
        """The members whose server was started on this content."""
        return ran(self.journal.entries(), content)

    def keep(self, members: Iterable[FleetMember]) -> None:
        """Let an init system start these members again whenever they end."""
        for member in members:
            member.is_kept = True
        if self._init is None:
            self._init = threading.Thread(target=self._watch, daemon=True)
            self._init.start()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for member in self.members:
                if member.is_kept and not member.is_running() and not self._over.is_set():
                    member.start()

    def close(self) -> None:
        """End the init system and the links; the sandbox kills the rest."""
        self._over.set()
        if self._init is not None:
            self._init.join()
        for member in self.members:
            if member.is_running():
                member.thaw()
            member.link.close()


@contextmanager
def fleet_on(sandbox: Sandbox, client: KazooClient, *ports: int) -> Iterator[Fleet]:
    """A fleet on the servers at these ports, ended when the test is over."""
    fleet = Fleet(sandbox, client, ports)
    try:
        yield fleet
    finally:
        fleet.close()


def _seconds(stamp: str) -> float:
    """The seconds of the epoch of a time in the log."""
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
