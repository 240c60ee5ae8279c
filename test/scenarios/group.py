"""The group of the stories: its record, its queue and its members.

Each request is answered at once, by the rules of a real group.  A commit is refused if the record,
a znode of the inputs or the queue node is not as it was read.  A watch fires once, and only if it
was set.  The other members follow the story, by the record's own rules: a story in which they break
one is a mistake.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from string import ascii_lowercase

from scenarios.trees import snapshot_of
from zkexec.core.actions import Action
from zkexec.core.events import Event, ZnodesRead
from zkexec.core.input_options import InputOptions
from zkexec.core.inputs import restart_name
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rendering_result import Rendered
from zkexec.core.rollout import group_actions
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Conflict,
    Enrolled,
    EnrolmentOccupied,
    GroupPart,
    GroupRequestFailed,
    GroupTouched,
    QueueJoined,
    QueueLeft,
    QueueListed,
    QueueNodeRead,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.record import (
    AS_COMMITTED,
    InFlightEntry,
    Pause,
    Refusal,
    RolloutRecord,
    VersionState,
)
from zkexec.core.rollout.version import ConfigVersion, version_of
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import replace

MEMBER = "m1"
"""The member that each story is about."""

EPOCH = 1000.0
"""The time of the group's own clock when a story begins."""

REQUESTS: Mapping[str, type[Action]] = {
    "enrol": group_actions.Enrol,
    "join": group_actions.JoinQueue,
    "list": group_actions.ListQueue,
    "watch": group_actions.WatchQueueNode,
    "leave": group_actions.LeaveQueue,
    "read": group_actions.ReadRecord,
    "commit": group_actions.CommitRecord,
}


def read_width(word: str) -> MaxUnavailable:
    """Make a max unavailable from `2` or `50%`."""
    return MaxUnavailable(int(word.removesuffix("%")), word.endswith("%"))


class ScriptedGroup:
    """The znodes that all members of a group share."""

    def __init__(self, inputs: InputOptions, restart_path: str = "") -> None:
        """Begin without any member."""
        self._restart_path = restart_path
        self.now = 0.0
        self.names: dict[str, str] = {}
        """The content of each digest, so that a story shows contents."""
        self.versions: dict[str, int] = {}
        """The versions of the znodes of the inputs."""
        self._inputs = inputs
        self.name(Snapshot({}))
        self._record = RolloutRecord()
        self._version = -1
        self._queue: dict[str, str] = {}
        self._left_over: set[str] = set()
        self._sequence = 0
        self._alive: set[str] = set()
        self._holder = self._refusal = ""
        self._watched: set[GroupPart | str] = set()
        self._mishaps: dict[type[Action], str] = {}
        self._words = iter(ascii_lowercase)

    @property
    def _clock(self) -> float:
        return EPOCH + self.now

    def new_token(self) -> str:
        """Return a new word that is not the beginning of another one."""
        return f"{MEMBER}-{next(self._words)}"

    def version_of(self, word: str) -> ConfigVersion:
        """Make a version from content.restart@mzxid: all inputs have this content."""
        text, _, mzxid = word.partition("@")
        content, _, restart = text.partition(".")
        if self._inputs.needs_state:
            return self._known_version(content, restart, int(mzxid))
        files = {mirror.local_path: content.encode() for mirror in self._inputs.mirrors}
        snapshot = Snapshot(files, int(mzxid), restart=restart)
        self.name(snapshot)
        return version_of(snapshot, self._inputs)

    def _known_version(self, content: str, restart: str, zxid: int) -> ConfigVersion:
        """Return a version by its name: one that was read before, or another one."""
        known = [digest for digest, name in self.names.items() if name == content]
        digest = known[0] if known else sha256(content.encode()).hexdigest()
        self.names[digest] = content
        return version_of(Snapshot({}, zxid, digest=digest, restart=restart), self._inputs)

    def read(self, event: ZnodesRead) -> None:
        """Take over what the member reads from its inputs."""
        znodes = event.znodes
        self.versions.update({path: znode.version for path, znode in znodes.items()})
        for root, tree in event.trees.items():
            if "" in tree.znodes:
                self.versions[root] = tree.znodes[""].version
        if self._inputs.needs_state:
            found = snapshot_of(self._inputs, dict(znodes), dict(event.trees), Rendered({}))
            asked = znodes.get(self._restart_path)
            name = restart_name(asked.content) if asked is not None and asked.content else ""
            self._name_version(found.digest, event, name or "")
            return
        contents = {m.local_path: znodes[m.zk_path].content for m in self._inputs.mirrors}
        self.name(Snapshot(contents))
        asked = znodes.get(self._restart_path)
        if asked is not None and asked.content:
            self.name(Snapshot(contents, restart=restart_name(asked.content) or ""))

    def name(self, snapshot: Snapshot) -> None:
        """Show a snapshot as the contents of its files, and the restart that was requested."""
        if self._inputs.needs_state:
            return
        words = (content.decode() for content in snapshot.files.values())
        name = "+".join(dict.fromkeys(words)) or "nothing"
        name += f".{snapshot.restart}" if snapshot.restart else ""
        self.names[version_of(snapshot, self._inputs).digest] = name

    def _name_version(self, digest: str, read: ZnodesRead, restart: str) -> None:
        """Show a version as the contents of its inputs."""
        contents = [read.znodes[path].content for path in self._inputs.znodes]
        below = (znode for tree in read.trees.values() for znode in tree.znodes.values())
        contents += [znode.content for znode in below if znode.content]
        name = "+".join(content.decode() for content in contents if content) or "nothing"
        self.names[digest] = name
        if restart:
            self.names[f"{digest}.{restart}"] = f"{name}.{restart}"

    def prepare_mishap(self, request: str, kind: str) -> None:
        """Let the next request of this kind be `lost`, `not-done` or `unanswered`."""
        self._mishaps[REQUESTS[request]] = kind

    def end_session(self) -> list[Event]:
        """End the session of the story's member, with its watches and ephemeral nodes."""
        self._watched.clear()
        return self._vanish(MEMBER)

    def disconnect(self) -> None:
        """Drop the watches of the connection."""
        self._watched.clear()

    # The requests of the story's member.

    def answer(self, request: Action) -> list[Event]:
        """Carry out a request, unless the story has prepared a mishap for it."""
        number: int = getattr(request, "number", 0)
        mishap = self._mishaps.pop(type(request), "")
        failed = GroupRequestFailed(number, "no answer in time")
        if mishap == "not-done":
            return [failed]
        done = self._carry_out(request, number)
        if mishap:
            touched: list[Event] = [event for event in done if isinstance(event, GroupTouched)]
            return touched + ([failed] if mishap == "lost" else [])
        return done

    def _carry_out(self, request: Action, number: int) -> list[Event]:
        match request:
            case group_actions.Enrol():
                return [self._enrol(number)]
            case group_actions.JoinQueue(ticket=ticket):
                return [QueueJoined(number, self._join(ticket, MEMBER))]
            case group_actions.ListQueue():
                return [QueueListed(number, tuple(self._queue))]
            case group_actions.WatchQueueNode(name=name):
                self._watched.add(name)
                member = self._queue.get(name)
                return [QueueNodeRead(number, member, name in self._left_over)]
            case group_actions.LeaveQueue(name=name):
                self._queue.pop(name, None)
                return [QueueLeft(number)]
            case group_actions.ReadRecord():
                return [self._read(request)]
            case group_actions.CommitRecord():
                return self._commit(request)
        return []

    def _enrol(self, number: int) -> Event:
        if self._refusal:
            return GroupRequestFailed(number, self._refusal, is_refused=True)
        if self._holder:
            return EnrolmentOccupied(number, self._holder)
        self._alive.add(MEMBER)
        self._version = max(self._version, 0)
        return Enrolled(number)

    def _join(self, ticket: str, member: str) -> str:
        name = f"{ticket}-{self._sequence:010d}"
        self._sequence += 1
        self._queue[name] = member
        return name

    def _read(self, request: group_actions.ReadRecord) -> Event:
        record, asks = self._record, request.requested
        if request.watch:
            self._watched |= {GroupPart.RECORD, GroupPart.IN_FLIGHT}
        known = record.max_unavailable.limit if record.max_unavailable else None
        flying = record.in_flight if request.watch else {}
        askers = [record.max_unavailable.by] if record.max_unavailable and known != asks else []
        alive = frozenset(self._alive & {*flying, *askers})
        is_counted = asks is None or asks.percent or (known is not None and known.percent)
        population = len(self._alive) if is_counted else 0
        return RecordRead(request.number, record, self._version, alive, population)

    def _commit(self, request: group_actions.CommitRecord) -> list[Event]:
        number = request.number
        if request.queue_node and request.queue_node not in self._queue:
            return [CommitRefused(number, Conflict.QUEUE_NODE)]
        if any(self.versions[path] != version for path, version in request.checks.items()):
            return [CommitRefused(number, Conflict.CONFIGURATION)]
        if request.znode_version != self._version or request.znode_version < 0:
            return [CommitRefused(number, Conflict.RECORD)]
        self._queue.pop(request.queue_node, None)
        return [*self._write(request.record), RecordCommitted(number)]

    # The other members.

    def happen(self, words: list[str]) -> list[Event]:  # noqa: C901 -- one arm for each
        """Let something happen to the group; return the events for the story's member."""
        match words:
            case ["has", *members]:
                return [event for member in members for event in self._appear(member)]
            case ["znode", word]:
                path, _, version = word.partition("@")
                self.versions[path] = int(version)
                return []
            case ["operator", "pauses", *reason]:
                return self._write(
                    replace(self._record, paused=Pause("operator", " ".join(reason)))
                )
            case ["operator", "resumes"]:
                return self._write(replace(self._record, paused=None))
            case ["queue", "has", name]:
                self._queue[name] = "notes"
                return []
            case ["queue", "left", "over", owner]:
                self._left_over.add(self._join(owner, owner))
                return []
            case ["is", "wiped"]:
                self._record, self._version, self._sequence = RolloutRecord(), -1, 0
                self._queue.clear()
                self._alive.clear()
                return []
            case ["old", "session", "ends"]:
                own = [name for name, owner in self._queue.items() if owner == MEMBER]
                return self._take_away(own[:-1])
            case ["node", *what]:
                return self._change_node(what)
            case [member, verb, *rest]:
                return self._act(member, verb, rest)
        raise ValueError(f"nothing of a group: {' '.join(words)}")

    def _change_node(self, words: list[str]) -> list[Event]:
        self._holder = self._refusal = ""
        match words:
            case ["taken", "by", *holder]:
                self._holder = " ".join(holder)
            case ["refused", *reason]:
                self._refusal = " ".join(reason)
            case _:
                return []
        return self._fire([GroupPart.OWN_NODE])

    def _act(self, member: str, verb: str, words: list[str]) -> list[Event]:  # noqa: C901 -- one arm for each verb
        record, token = self._record, f"{member}-turn"
        match verb, words:
            case "joins", []:
                return self._appear(member)
            case "disappears", []:
                return self._vanish(member)
            case "queues", []:
                self._join(member, member)
                return []
            case "leaves", []:
                return self._leave(member)
            case "admitted", [word]:
                return self._admit(member, self.version_of(word))
            case "readmitted", [word]:
                version = self.version_of(word)
                entry = InFlightEntry(token, version.digest, version.zxid)
                return self._write(record.readmit(member, entry, version.scope))
            case "known-good", [word]:
                return self._write(record.release(member, self.version_of(word)))
            case "releases", []:
                return self._write(record.release(member, None))
            case "failed", [word, *reason]:
                return self._write(
                    record.fail(member, token, self.version_of(word), " ".join(reason))
                )
            case "reclaims", [other]:
                return self._write(record.reclaim(other, record.in_flight[other].token))
            case "requests", [word]:
                known = record.max_unavailable
                lives = known is not None and known.by in self._alive
                agreed = record.with_max_unavailable(
                    member, read_width(word), len(self._alive), lives
                )
                return self._write(agreed)
        raise ValueError(f"no member does this: {member} {verb} {' '.join(words)}")

    def _appear(self, member: str) -> list[Event]:
        self._alive.add(member)
        self._version = max(self._version, 0)
        return self._fire([GroupPart.IN_FLIGHT]) if member in self._record.in_flight else []

    def _vanish(self, member: str) -> list[Event]:
        touched = self._leave(member)
        was_alive = member in self._alive
        self._alive.discard(member)
        in_flight = was_alive and member in self._record.in_flight and member != MEMBER
        return touched + (self._fire([GroupPart.IN_FLIGHT]) if in_flight else [])

    def _leave(self, member: str) -> list[Event]:
        return self._take_away([name for name, owner in self._queue.items() if owner == member])

    def _take_away(self, names: list[str]) -> list[Event]:
        for name in names:
            del self._queue[name]
        return self._fire(names)

    def _admit(self, member: str, version: ConfigVersion) -> list[Event]:
        entry = InFlightEntry(f"{member}-turn", version.digest, version.zxid)
        names = [name for name, owner in self._queue.items() if owner == member]
        seq = int(names[0][-10:]) if names else self._record.last_admitted
        population = len(self._alive)
        admitted = self._record.admit(member, entry, version.scope, population, seq)
        return self._write(admitted) + self._leave(member)

    def _write(self, record: RolloutRecord | Refusal) -> list[Event]:
        if isinstance(record, Refusal):
            raise ValueError(f"by the rules of the record this is not possible: {record.value}")
        self._version = max(self._version, 0) + 1
        self._record = _stamped(record, self._clock)
        return self._fire([GroupPart.RECORD])

    def _fire(self, watches: Iterable[GroupPart | str]) -> list[Event]:
        fired: list[Event] = []
        for watch in watches:
            if watch in self._watched or watch is GroupPart.OWN_NODE:
                self._watched.discard(watch)
                part = watch if isinstance(watch, GroupPart) else GroupPart.PREDECESSOR
                fired.append(GroupTouched(part))
        return fired


def _stamped(record: RolloutRecord, now: float) -> RolloutRecord:
    """Return the record as it is read back: with the time of the commit, in the order of names."""

    def entry(found: InFlightEntry) -> InFlightEntry:
        return replace(found, since=now) if found.since == AS_COMMITTED else found

    def state(found: VersionState) -> VersionState:
        return replace(found, at=now) if found.at == AS_COMMITTED else found

    pause = record.paused
    if pause is not None and pause.at == AS_COMMITTED:
        pause = replace(pause, at=now)
    return replace(
        record,
        in_flight={name: entry(found) for name, found in sorted(record.in_flight.items())},
        versions={name: state(found) for name, found in sorted(record.versions.items())},
        paused=pause,
    )
