"""The language of the stories: one command a line, its outcome indented below it.

    policy /f=/z settle_s=1 start=wait     the settings; /f=/z mirrors, a bare word is a switch
    at 0.5 connected                      an event at this time; due deadlines come first
    at 0.5 quiet                          no event but due deadlines
    at 1 read /z=a@1 /y=missing           the answer to the last read
    at 1 read of 40 /z=missing            the same, from a server whose newest transaction is 40
    at 1 stale-read 1 /z=a@1              the answer to an earlier read
    at 1 burst 300 0.01 /z                300 changes, 0.01 s apart, each touched and read
    next staging fails REASON             also: install; `next start fails 127 REASON`
    next staging waits                    it is done by a later line: at 7 staged
    command wrote LINE                    to stderr: its last line from now on
    next staging takes 4                  the disk delays everything for 4 s
    command ends 12                       by a signal at 12 s, reported as soon as zkexec listens
    next inspections find 2 1 0           how many processes each inspection finds
    cached files /f=a                     the contents of the targets
    command obeys 0.05                    from now on the command ends 0.05 s after a signal
    frozen until 14                       nothing is done before, whatever is due
    at 9 core fails REASON                another core adopts the running command
    at 9 step check failed REASON         the end of the command of a step; also: passed,
                                          `hindered REASON` for a failure of this host
    steps pass check pre-stop             from now on the commands of these steps pass at once

Inputs beside plain mirrors, in the policy and in what is read or pushed:

    policy /d/=/t/                         a tree as a folder
    policy template=/r=/tpl values=/v      a template in a znode, and a tree that it may read
    policy env=ONE=/e env_tree=/et=app_    a variable, and a tree of variables
    at 1 read /t/=a:x@1,sub/b:y@2          a tree: each znode by its path below the root
    at 1 read /t/=:x@1,a:y@1!              the content of the root; `!`: the znode is ephemeral
    at 1 read /t/=a:x@3~                   the znode was created by this transaction
    at 1 read /t/=a:x@1;9                  the same if 9 is the newest zxid: of a removal
    at 1 read /t/=missing                  also: forbidden; `/t/=` is a root without anything
    at 1 rendered /r=x                     the end of the rendering
    at 1 unrendered REASON                 a template has an error
    at 1 value-missing /v/a                a znode that a template needs does not exist
    at 1 render-impossible REASON          this host could not render
    renderings give /r=x                   from now on this is rendered at once
    cached version /t/=a:x@1               the state file describes this; `healthy`: the command was
                                           healthy on it

`check=5`, `pre_stop=5`, `reload=5` and `post_healthy=5` in a policy are the time limits of steps,
`on_change=reload` or `on_change=/f=reload` is a rule.

In a story with `in_group` in its policy the member is m1:

    group has m2 m3                       other members; or while it runs: at 5 group has m4
    at 6 running /z=a@1                   started, connected, read and healthy, without output
    at 5 pushed /z=b@2                    touched and read; a znode's version is its mzxid here
    at 5 pushed /z=b@2 /r=x@3             the same, with restart_path=/r in the policy
    group zones m2=east m3=west           the zones of other members
    group version b@1 succeeded 20        so many members have succeeded on it
    at 5 group m2 queues b@2              also: renews c@3, leaves, joins, disappears, releases;
                                          admitted b@2, readmitted b@2, known-good b@2,
                                          failed b@2 REASON, reclaims m1, requests 2 5%,
                                          unavailable, available
    at 5 group m2 admits m1 m3 b@2        as the head of the queue, which stays there
    at 5 group operator pauses REASON     also: resumes; holds after 2 REASON; approves
    at 5 group node taken by HOLDER       another process has the member's ID; node free
    at 5 group node refused REASON        the ensemble refuses the member's node; node free
    at 5 group queue has notes            a node that no member has made; `queue left over m9`: a
                                          node of m9 that belongs to no session
    group old session ends                its queue nodes go, but for the newest
    group is wiped                        nothing is left of it, as in an ensemble that was wiped
    group znode /z@3                      it has another version, which the member has not read
    next commit lost                      done, but answered by a failure; `not-done`: also not
                                          done; `unanswered`: done, and no answer; `forbidden`:
                                          refused; the same for enrol, join, renew, find, watch,
                                          list, queue (a read of its nodes), leave, read

The host and the group answer each action at once and successfully, unless the story prepares
something else.
"""

from collections.abc import Callable
from typing import Any

from scenarios.group import read_max_failed, read_max_unavailable
from scenarios.host import ScriptedHost, Watch, Writer
from scenarios.lines import line_of
from scenarios.trees import read_result, read_trees
from simulation.transcript import seconds
from zkexec.core import events
from zkexec.core.actions import Action
from zkexec.core.events import Event, ExitStatus
from zkexec.core.input_options import InputOptions, Mirror, Template, Variable, VariableTree
from zkexec.core.policy import ActionRule, ChangeAction, OnFailure, Policy, StartPolicy
from zkexec.core.snapshot import Problem, Znode
from zkexec.core.step import STEP_COMMANDS, Step, StepOutcome
from zkexec.frozen import replace

WORDS: dict[str, Callable[[str], Event]] = {
    "started": lambda _: events.Started(),
    "staged": lambda _: events.FilesStaged(),
    "connect-failed": events.ConnectFailed,
    "all-refused": lambda reason: events.ConnectFailed(reason, is_last=True),
    "touched": events.ZnodeTouched,
    "alert-finished": events.AlertFinished,
}
WORDS_OF_POLICY: dict[str, Callable[[str], object]] = {
    "start": StartPolicy,
    "on_failure": OnFailure,
    "max_unavailable": read_max_unavailable,
    "max_failed": read_max_failed,
    "restart_path": str,
    "zone": str,
}
LIMITED = {step.value: step for step in STEP_COMMANDS}
INPUT_WORDS = ("template", "values", "env", "env_tree")
PROBLEMS = {"missing": Problem.MISSING, "forbidden": Problem.FORBIDDEN}


def policy_of(text: str) -> Policy:
    """Return the settings of a story."""
    lines = [line for line in text.splitlines() if line.startswith("policy")]
    return read_policy(" ".join(lines).replace("policy", "").split())


def play(text: str, watch: Watch | None = None) -> tuple[str, ScriptedHost]:
    """Carry out the commands of a story; return it with its outcomes, and the host at its end."""
    commands = [line for line in text.splitlines() if not line.startswith(" ")]
    host = ScriptedHost(policy_of(text), watch)
    lines = []
    for line in commands:
        lines.append(line)
        if line and not line.startswith(("#", "policy")):
            lines += [f"    {outcome}" for outcome in Command(host).carry_out(line.split())]
    return "\n".join(lines) + "\n", host


def read_policy(words: list[str]) -> Policy:
    """Make a policy from words."""
    inputs = read_inputs(words)
    given: dict[str, Any] = {"on_change": (), "step_limits": {}}
    for word in words:
        name, _, value = word.partition("=")
        if name.startswith("/") or name in INPUT_WORDS:
            continue
        if name in WORDS_OF_POLICY:
            given[name] = WORDS_OF_POLICY[name](value)
        elif name in ("kill_signal", "reload_signal"):
            given[name] = int(value)
        elif name.replace("_", "-") in LIMITED:
            given["step_limits"][LIMITED[name.replace("_", "-")]] = float(value)
        elif name == "on_change":
            path, _, action = value.rpartition("=")
            given["on_change"] += (ActionRule(path, ChangeAction(action)),)
        else:
            given[name] = float(value) if value else True
    return Policy(inputs=inputs, **given)


def read_inputs(words: list[str]) -> InputOptions:
    """Make the inputs from the words of a policy."""
    pairs = [tuple(word.split("=", 1)) for word in words if "=" in word]
    named = [(kind, *value.split("=", 1)) for kind, value in pairs if kind in INPUT_WORDS]
    return InputOptions(
        mirrors=tuple(Mirror(*pair) for pair in pairs if pair[0].startswith("/")),
        templates=tuple(
            Template(rest[0], zk_path=rest[1]) for kind, *rest in named if kind == "template"
        ),
        values=tuple(rest[0] for kind, *rest in named if kind == "values"),
        variables=tuple(Variable(*rest) for kind, *rest in named if kind == "env"),
        variable_trees=tuple(VariableTree(*rest) for kind, *rest in named if kind == "env_tree"),
    )


def read_znodes(words: list[str]) -> dict[str, Znode]:
    """Make znodes from words like /z=content@mzxid; those of trees are left out."""
    znodes = {}
    for word in words:
        path, _, value = word.partition("=")
        if path.endswith("/"):
            continue
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
    """One command of a story, and the lines of its outcome."""

    def __init__(self, host: ScriptedHost) -> None:
        """Begin without any outcome."""
        self._host = host
        self._lines: list[str] = []

    def carry_out(self, words: list[str]) -> list[str]:
        """Carry out the line and return its outcome."""
        if words[0] != "at":
            self._host.prepare(words)
            return []
        time = float(words[1])
        self._host.run_until(time, self._write)
        match words[2:]:
            case ["burst", count, step_s, path]:
                self._burst(int(count), float(step_s), path)
            case ["running", *znodes]:
                self._begin(znodes)
            case ["pushed", *znodes]:
                self._push(znodes, self._write)
            case ["group", *what]:
                for event in self._host.group.happen(what):
                    self._host.happen(event, self._write)
            case ["core", "fails", *reason]:
                self._host.renew_core(" ".join(reason), self._write)
            case [name, *rest] if name != "quiet":
                self._host.happen(self._event(name, rest), self._write)
        due = self._host.deadline
        deadline = "none" if due is None else seconds(due)
        return [*self._lines, f"= {self._host.phase}, deadline {deadline}"]

    def _event(self, name: str, words: list[str]) -> Event:  # noqa: C901, PLR0912 -- one arm each
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
                read = events.ZnodesRead(
                    host.last_read, read_znodes(words), trees=read_trees(words)
                )
                host.group.read(read)
                return read
            case (("rendered" | "unrendered" | "value-missing" | "render-impossible"), _):
                return events.RenderFinished(host.last_rendering, read_result(name, words))
            case "stale-read", [number, *rest]:
                return events.ZnodesRead(int(number), read_znodes(rest), trees=read_trees(rest))
            case "read-failed", _:
                return events.ReadFailed(host.last_read, " ".join(words))
            case "command-exited", _:
                return events.CommandExited(host.generation, read_ending(words))
            case "old-command-exited", _:
                return events.CommandExited(host.generation - 1, read_ending(words))
            case "check", [result, *reason]:
                passed = result == "passed"
                return events.HealthCheckFinished(host.last_check, passed, " ".join(reason))
            case "step", [step, result, *reason]:
                return self._step_end(Step(step), result, " ".join(reason))
            case "signal", [number, *sender]:
                return events.SignalReceived(int(number), sender == ["from", "terminal"])
        return WORDS[name](" ".join(words))

    def _step_end(self, step: Step, result: str, reason: str) -> Event:
        outcome = StepOutcome(result == "passed", reason, result == "hindered")
        return events.StepFinished(step, self._host.last_run[step], outcome)

    def _write(self, event: Event, actions: list[Action]) -> None:
        names = self._host.group.names
        self._lines.append(f"{seconds(self._host.now)} {line_of(event, names)}")
        self._lines += [f"    {line_of(action, names)}" for action in actions]

    def _begin(self, znodes: list[str]) -> None:
        """Make the first start, without its outcome: other stories show it."""
        host, policy = self._host, self._host.policy

        def write_nothing(_: Event, __: list[Action]) -> None:
            return

        passing, host.passing = host.passing, frozenset(STEP_COMMANDS)
        host.happen(events.Started(), write_nothing)
        host.happen(host.connected(), write_nothing)
        host.happen(self._event("read", znodes), write_nothing)
        if policy.checks_health:
            host.run_until(host.now + policy.health_delay_s, write_nothing)
            host.happen(self._event("check", ["passed"]), write_nothing)
        elif policy.runs(Step.POST_HEALTHY):
            host.run_until(host.now + policy.success_s, write_nothing)
        host.passing = passing

    def _push(self, words: list[str], write: Writer) -> None:
        for word in words:
            path = word.partition("=")[0].removesuffix("/")
            self._host.happen(events.ZnodeTouched(path), write)
        self._host.happen(self._event("read", words), write)
        if self._host.policy.inputs.needs_state and len(words) > 1:
            # The second watch has fired during the read, so there is another one.
            self._host.happen(self._event("read", words), write)

    def _burst(self, count: int, step_s: float, path: str) -> None:
        """Reduce the outcome of a burst to how often each action was requested."""
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
