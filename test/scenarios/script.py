"""The language of the stories: one command a line, its outcome indented below it.

    policy /f=/z settle_s=1 start=wait     the terms; /f=/z mirrors, a bare word is a switch
    at 0.5 connected                      something happens at this time; due deadlines come first
    at 0.5 quiet                          nothing but deadlines
    at 1 read /z=a@1 /y=missing           the answer to the read that was asked for last
    at 1 read of 40 /z=missing            likewise, from a server whose newest transaction that is
    at 1 stale-read 1 /z=a@1              the answer to an earlier read
    at 1 burst 300 0.01 /z                so many changes, so far apart, each touched and read
    next staging fails REASON             and likewise: install; `next start fails 127 REASON`
    next staging waits                    it is done as soon as the story says: at 7 staged
    next staging takes 4                  so long does the disk keep all else waiting
    child ends 12                         by itself, of a signal, told as soon as zkexec listens
    next inspections find 2 1 0           how many processes are left, look by look
    cached files /f=a                     what stands at the targets
    child obeys 0.05                      from now on the child ends so long after a signal
    frozen until 14                       nothing is done before, whatever is due
    at 9 core fails REASON                another core takes over the running command

Of a story with `in_group` among its terms the member is m1:

    group has m2 m3                       others are there; or while it runs: at 5 group has m4
    at 6 under way /z=a@1                 started, connected, read and healthy: not told again
    at 5 pushed /z=b@2                    touched and read; a znode's version is its mzxid here
    at 5 pushed /z=b@2 /r=x@3             likewise, with restart_path=/r among the terms
    at 5 group m2 queues                  likewise: joins, dies, leaves, releases; admitted b@2,
                                          goes-on b@2, proven b@2, failed b@2 REASON,
                                          reaps m1, wants 2
    at 5 group operator pauses REASON     likewise: operator resumes
    at 5 group node taken by HOLDER       another process has the member's name; node free
    at 5 group node refused REASON        the ensemble lets the member write none; node free
    at 5 group queue has notes            what no member has put there; `queue left over m9`: a node
                                          of m9 that lasts, and belongs to nobody
    group old session ends                its queue nodes go, but for the newest
    group is wiped                        nothing is left of it, as in an ensemble that was wiped
    group znode /z@3                      it has another version, of which the member was not told
    next commit lost                      done, but answered by a failure; `undone`: not done
                                          either; `unanswered`: done, and no answer; so for
                                          enrol, join, list, look, leave, read

What the host and the group answer to an action is given at once, as it would be where all goes
well.
"""

from collections.abc import Callable
from typing import Any

from scenarios.description import describe_step
from scenarios.group import read_width
from scenarios.host import ScriptedHost, Teller
from simulation.transcript import seconds
from zkexec.core import events
from zkexec.core.actions import Action
from zkexec.core.events import Event, ExitStatus
from zkexec.core.policy import OnFailure, Policy, StartPolicy
from zkexec.core.snapshot import Mirror, Problem, Znode
from zkexec.frozen import replace

WORDS: dict[str, Callable[[str], Event]] = {
    "started": lambda _: events.Started(),
    "staged": lambda _: events.FilesStaged(),
    "closed": events.SessionClosed,
    "connect-failed": events.ConnectFailed,
    "all-refused": lambda reason: events.ConnectFailed(reason, is_last=True),
    "touched": events.ZnodeTouched,
    "alert-finished": events.AlertFinished,
}
PROBLEMS = {"missing": Problem.MISSING, "forbidden": Problem.FORBIDDEN}


def play(text: str) -> tuple[str, ScriptedHost]:
    """Carry out the commands of a story; return it with its outcomes, and the host at the end."""
    commands = [line for line in text.splitlines() if not line.startswith(" ")]
    policy = [line for line in commands if line.startswith("policy")]
    host = ScriptedHost(read_terms(" ".join(policy).replace("policy", "").split()))
    lines = []
    for line in commands:
        lines.append(line)
        if line and not line.startswith(("#", "policy")):
            lines += [f"    {outcome}" for outcome in Command(host).carry_out(line.split())]
    return "\n".join(lines) + "\n", host


def read_terms(words: list[str]) -> Policy:
    """Make terms from words."""
    given: dict[str, Any] = {"mirrors": ()}
    for word in words:
        name, _, value = word.partition("=")
        if name.startswith("/"):
            given["mirrors"] += (Mirror(name, value),)
        elif name == "start":
            given["start"] = StartPolicy(value)
        elif name == "on_failure":
            given["on_failure"] = OnFailure(value)
        elif name == "max_unavailable":
            given["max_unavailable"] = read_width(value)
        elif name == "restart_path":
            given["restart_path"] = value
        elif name == "kill_signal":
            given["kill_signal"] = int(value)
        else:
            given[name] = float(value) if value else True
    return Policy(**given)


def read_znodes(words: list[str]) -> dict[str, Znode]:
    """Make znodes from words like /z=content@mzxid."""
    znodes = {}
    for word in words:
        path, _, value = word.partition("=")
        content, _, mzxid = value.partition("@")
        if content in PROBLEMS:
            znodes[path] = Znode(path, problem=PROBLEMS[content])
        else:
            znodes[path] = Znode(path, content.encode(), int(mzxid), version=int(mzxid))
    return znodes


def read_ending(words: list[str]) -> ExitStatus:
    """Make an ending from `code N` or `signal N`."""
    return ExitStatus(**{words[0]: int(words[1])})


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
        match words[2:]:
            case ["burst", count, step_s, path]:
                self._burst(int(count), float(step_s), path)
            case ["under", "way", *znodes]:
                self._begin(znodes)
            case ["pushed", *znodes]:
                self._push(znodes, self._tell)
            case ["group", *what]:
                for event in self._host.group.befall(what):
                    self._host.happen(event, self._tell)
            case ["core", "fails", *reason]:
                self._host.renew_core(" ".join(reason), self._tell)
            case [name, *rest] if name != "quiet":
                self._host.happen(self._event(name, rest), self._tell)
        due = self._host.deadline
        told = "none" if due is None else seconds(due)
        return [*self._lines, f"= {self._host.phase}, deadline {told}"]

    def _event(self, name: str, words: list[str]) -> Event:  # noqa: C901 -- one arm for each word
        host = self._host
        match name, words:
            case "connected", _:
                return host.connected()
            case "suspended", _:
                host.group.disconnect()
                return events.SessionSuspended(" ".join(words))
            case "lost", _:
                host.lose_session()
                return events.SessionLost(" ".join(words))
            case "read", ["of", zxid, *rest]:
                return replace(self._event("read", rest), zxid=int(zxid))
            case "read", _:
                znodes = read_znodes(words)
                host.group.read(znodes)
                return events.ZnodesRead(host.last_read, znodes)
            case "stale-read", [number, *rest]:
                return events.ZnodesRead(int(number), read_znodes(rest))
            case "read-failed", _:
                return events.ReadFailed(host.last_read, " ".join(words))
            case "child-exited", _:
                return events.CommandExited(host.generation, read_ending(words))
            case "old-child-exited", _:
                return events.CommandExited(host.generation - 1, read_ending(words))
            case "check", [version_state, *reason]:
                passed = version_state == "passed"
                return events.HealthCheckFinished(host.last_check, passed, " ".join(reason))
            case "signal", [number, *sender]:
                return events.SignalReceived(int(number), sender == ["from", "terminal"])
        return WORDS[name](" ".join(words))

    def _tell(self, event: Event, actions: list[Action]) -> None:
        names = self._host.group.names
        self._lines.append(f"{seconds(self._host.now)} {describe_step(event, names)}")
        self._lines += [f"    {describe_step(action, names)}" for action in actions]

    def _begin(self, znodes: list[str]) -> None:
        """Make the first start, as all other stories tell it, and do not tell it again."""
        host, policy = self._host, self._host.policy

        def in_silence(_: Event, __: list[Action]) -> None:
            return

        host.happen(events.Started(), in_silence)
        host.happen(host.connected(), in_silence)
        host.happen(self._event("read", znodes), in_silence)
        if policy.checks_health:
            host.run_until(host.now + policy.health_delay_s, in_silence)
            host.happen(self._event("check", ["passed"]), in_silence)

    def _push(self, words: list[str], tell_of: Teller) -> None:
        for path in read_znodes(words):
            self._host.happen(events.ZnodeTouched(path), tell_of)
        self._host.happen(self._event("read", words), tell_of)

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
