"""The language of the stories: one command a line, its outcome indented below it.

    terms /f=/z settle_s=1 start=wait     the terms; /f=/z mirrors, a bare word is a switch
    at 0.5 connected                      something happens at this time; due deadlines come first
    at 0.5 quiet                          nothing but deadlines
    at 1 read /z=a@1 /y=missing           the answer to the read that was asked for last
    at 1 stale-read 1 /z=a@1              the answer to an earlier read
    at 1 burst 300 0.01 /z                so many changes, so far apart, each touched and read
    next staging fails REASON             and likewise: install; `next start fails 127 REASON`
    next inspections find 2 1 0           how many processes are left, look by look
    cached files /f=a                     what stands at the targets
    child obeys 0.05                      from now on the child ends so long after a signal

What the host answers to an action is given at once, as it would be where all goes well.
"""

from collections.abc import Callable
from typing import Any

from scenarios.host import ScriptedHost
from simulation.transcript import describe, seconds
from zkexec.core import events
from zkexec.core.actions import Action
from zkexec.core.events import Ending, Event
from zkexec.core.snapshot import Mirror, Problem, Znode
from zkexec.core.terms import StartPolicy, Terms

WORDS: dict[str, Callable[[str], Event]] = {
    "started": lambda _: events.Started(),
    "connected": lambda _: events.SessionConnected(),
    "suspended": events.SessionSuspended,
    "lost": events.SessionLost,
    "closed": events.SessionClosed,
    "connect-failed": events.ConnectFailed,
    "touched": events.ZnodeTouched,
    "alert-finished": events.AlertFinished,
}
PROBLEMS = {"missing": Problem.MISSING, "forbidden": Problem.FORBIDDEN}


def play(text: str) -> tuple[str, ScriptedHost]:
    """Carry out the commands of a story; return it with its outcomes, and the host at the end."""
    commands = [line for line in text.splitlines() if not line.startswith(" ")]
    terms = [line for line in commands if line.startswith("terms")]
    host = ScriptedHost(read_terms(" ".join(terms).replace("terms", "").split()))
    lines = []
    for line in commands:
        lines.append(line)
        if line and not line.startswith(("#", "terms")):
            lines += [f"    {outcome}" for outcome in Command(host).carry_out(line.split())]
    return "\n".join(lines) + "\n", host


def read_terms(words: list[str]) -> Terms:
    """Make terms from words."""
    given: dict[str, Any] = {"mirrors": ()}
    for word in words:
        name, _, value = word.partition("=")
        if name.startswith("/"):
            given["mirrors"] += (Mirror(name, value),)
        elif name == "start":
            given["start"] = StartPolicy(value)
        elif name == "kill_signal":
            given["kill_signal"] = int(value)
        else:
            given[name] = float(value) if value else True
    return Terms(**given)


def read_znodes(words: list[str]) -> dict[str, Znode]:
    """Make znodes from words like /z=content@mzxid."""
    znodes = {}
    for word in words:
        path, _, value = word.partition("=")
        content, _, mzxid = value.partition("@")
        if content in PROBLEMS:
            znodes[path] = Znode(path, problem=PROBLEMS[content])
        else:
            znodes[path] = Znode(path, content.encode(), int(mzxid))
    return znodes


def read_ending(words: list[str]) -> Ending:
    """Make an ending from `code N` or `signal N`."""
    return Ending(**{words[0]: int(words[1])})


class Command:
    """One command, and the lines that tell its outcome."""

    def __init__(self, host: ScriptedHost) -> None:
        """Begin without any outcome."""
        self._host = host
        self._lines: list[str] = []

    def carry_out(self, words: list[str]) -> list[str]:
        """Do what the line says and return its outcome."""
        if words[0] != "at":
            self._host.prepare(words)
            return []
        time = float(words[1])
        self._host.run_until(time, self._tell)
        if words[2] == "burst":
            self._burst(int(words[3]), float(words[4]), words[5])
        elif words[2] != "quiet":
            self._host.happen(self._event(words[2], words[3:]), self._tell)
        due = self._host.deadline
        told = "none" if due is None else seconds(due)
        return [*self._lines, f"= {self._host.phase}, deadline {told}"]

    def _event(self, name: str, words: list[str]) -> Event:
        host = self._host
        match name, words:
            case "read", _:
                return events.ZnodesRead(host.last_read, read_znodes(words))
            case "stale-read", [number, *rest]:
                return events.ZnodesRead(int(number), read_znodes(rest))
            case "read-failed", _:
                return events.ReadFailed(host.last_read, " ".join(words))
            case "child-exited", _:
                return events.ChildExited(host.generation, read_ending(words))
            case "old-child-exited", _:
                return events.ChildExited(host.generation - 1, read_ending(words))
            case "check", [verdict, *reason]:
                passed = verdict == "passed"
                return events.CheckFinished(host.last_check, passed, " ".join(reason))
            case "signal", [number, *sender]:
                return events.SignalReceived(int(number), sender == ["from", "terminal"])
        return WORDS[name](" ".join(words))

    def _tell(self, event: Event, actions: list[Action]) -> None:
        self._lines.append(f"{seconds(self._host.now)} {describe(event)}")
        self._lines += [f"    {describe(action)}" for action in actions]

    def _burst(self, count: int, step_s: float, path: str) -> None:
        """Tell no more of a burst than how often each action was asked for."""
        counts: dict[str, int] = {}

        def add(_: Event, actions: list[Action]) -> None:
            for action in actions:
                name = type(action).__name__
                counts[name] = counts.get(name, 0) + 1

        host, start = self._host, self._host.now
        for number in range(1, count + 1):
            host.run_until(start + number * step_s, add)
            host.happen(events.ZnodeTouched(path), add)
            znode = Znode(path, b"change-%d" % number, 100 + number)
            host.happen(events.ZnodesRead(host.last_read, {path: znode}), add)
        counts.pop("Note", None)
        self._lines += [f"{name}: {counts[name]} times" for name in sorted(counts)]
