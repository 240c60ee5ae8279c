"""The group of the stories: its record, its queue and its members.

Each request is answered at once, by the rules of a real group.  A commit is refused if the record,
a znode of the inputs or a queue node is not as it was read.  A watch fires once, and only if it was
set.  The other members follow the story, by the record's own rules: a story in which they break one
is a mistake.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from string import ascii_lowercase

from scenarios.scripted_record import ScriptedRecord
from scenarios.trees import snapshot_of
from zkexec.core.actions import Action
from zkexec.core.events import Event, ZnodesRead
from zkexec.core.input_options import InputOptions
from zkexec.core.inputs import restart_name
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rendering_result import Rendered
from zkexec.core.rollout import group_actions
from zkexec.core.rollout.group_actions import Watch
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Conflict,
    Enrolled,
    EnrolmentOccupied,
    GroupPart,
    GroupRequestFailed,
    GroupRequestForbidden,
    GroupTouched,
    QueueJoined,
    QueueLeft,
    QueueListed,
    QueueNodeFound,
    QueueNodeRenewed,
    QueueNodesRead,
    QueueRead,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.queued_member import QueuedMember, QueueNode
from zkexec.core.rollout.record import (
    ActingHead,
    Hold,
    InFlightEntry,
    Pause,
    Refusal,
    RolloutRecord,
)
from zkexec.core.rollout.version import ConfigVersion, version_of
from zkexec.core.snapshot import Snapshot
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace

MEMBER = "m1"
"""The member that each story is about."""

EPOCH = 1000.0
"""The time of the group's own clock when a story begins."""

REQUESTS: Mapping[str, type[Action]] = {
    "enrol": group_actions.Enrol,
    "join": group_actions.JoinQueue,
    "renew": group_actions.RenewQueueNode,
    "find": group_actions.FindQueueNode,
    "watch": group_actions.WatchQueueNodes,
    "list": group_actions.ListQueue,
    "queue": group_actions.ReadQueue,
    "leave": group_actions.LeaveQueue,
    "read": group_actions.ReadRecord,
    "commit": group_actions.CommitRecord,
}


NO_DIGEST = "?"
"""The digest in a queue node of a member whose version the story does not give."""


def read_max_unavailable(word: str) -> MaxUnavailable:
    """Make a max unavailable from `2`, `50%` or `50%/zone`."""
    amount, _, zone = word.partition("/")
    return MaxUnavailable(int(amount.removesuffix("%")), amount.endswith("%"), bool(zone))


def read_max_failed(word: str) -> MaxFailed:
    """Make a max failed from `2` or `5%`."""
    return MaxFailed(int(word.removesuffix("%")), word.endswith("%"))


class ScriptedGroup:
    """The znodes that all members of a group share."""

    def __init__(self, inputs: InputOptions, restart_path: str = "", zone: str = "") -> None:
        """Begin without any member; `zone` is that of the story's member."""
        self._restart_path = restart_path
        self.now = 0.0
        self.names: dict[str, str] = {}
        """The content of each digest, so that a story shows contents."""
        self.versions: dict[str, int] = {}
        """The versions of the znodes of the inputs."""
        self._inputs = inputs
        self.name(Snapshot({}))
        self._record = ScriptedRecord()
        self._queue: dict[int, QueueNode] = {}
        self._left_over: set[int] = set()
        self._unknown: list[str] = []
        self._sequence = 0
        self._alive: set[str] = set()
        self._unavailable: set[str] = set()
        self._zones = {MEMBER: zone}
        self._holder = self._refusal = ""
        self._watched: set[GroupPart | int] = set()
        self._mishaps: dict[type[Action], str] = {}
        self._words = iter(ascii_lowercase)

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
        """Let the next request of this kind be `lost`, `not-done`, `unanswered` or `forbidden`."""
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
        if mishap == "forbidden":
            return [GroupRequestForbidden(number, "/g/state: no permission")]
        self._record.clock = EPOCH + self.now
        done = self._carry_out(request, number)
        if mishap:
            touched: list[Event] = [event for event in done if isinstance(event, GroupTouched)]
            return touched + ([failed] if mishap == "lost" else [])
        return done

    def _carry_out(self, request: Action, number: int) -> list[Event]:
        match request:
            case group_actions.Enrol(status=status):
                return self._enrol(number, status)
            case group_actions.PublishStatus(status):
                return self._publish(status)
            case group_actions.ReadRecord():
                return [self._read(request)]
            case group_actions.CommitRecord():
                return self._commit(request)
        return self._use_queue(request, number)

    def _use_queue(self, request: Action, number: int) -> list[Event]:
        match request:
            case group_actions.JoinQueue(queued=queued, status=status):
                return [*self._publish(status), QueueJoined(number, self._join(queued))]
            case group_actions.RenewQueueNode(queue_number=own, queued=queued):
                if (known := self._queue.get(own)) is not None:
                    self._queue[own] = QueueNode(own, known.version + 1, queued)
                return [QueueNodeRenewed(number)]
            case group_actions.FindQueueNode(token=token):
                found = [
                    n for n in self._numbers_of(MEMBER) if self._queue[n].queued.token == token
                ]
                return [QueueNodeFound(number, found[-1] if found else None)]
            case group_actions.WatchQueueNodes():
                return [self._watch(request)]
            case group_actions.ListQueue():
                return [QueueListed(number, tuple(self._queue), tuple(self._unknown))]
            case group_actions.ReadQueue(known=known_numbers):
                nodes = [node for n, node in self._queue.items() if n not in self._left_over]
                new = tuple(node for node in nodes if node.number not in known_numbers)
                return [QueueRead(number, frozenset(self._queue), new)]
            case group_actions.LeaveQueue(queue_number=own):
                was_there = own in self._queue
                return [*self._take_away([own]), QueueLeft(number, was_there)]
        return []

    def _enrol(self, number: int, status: MemberStatus) -> list[Event]:
        if self._refusal:
            return [GroupRequestFailed(number, self._refusal, is_refused=True)]
        if self._holder:
            return [EnrolmentOccupied(number, self._holder)]
        self._alive.add(MEMBER)
        self._record.create()
        return [*self._publish(status), Enrolled(number, len(self._alive))]

    def _publish(self, status: MemberStatus | None) -> list[Event]:
        if status is None:
            return []
        return self._note_available(MEMBER, is_available=not status.unavailable)

    def _join(self, queued: QueuedMember) -> int:
        number = self._sequence
        self._sequence += 1
        self._queue[number] = QueueNode(number, 0, queued)
        return number

    def _numbers_of(self, member: str) -> list[int]:
        return [n for n, node in self._queue.items() if node.queued.member == member]

    def _watch(self, request: group_actions.WatchQueueNodes) -> Event:
        own, before = request.queue_number, request.before
        is_own_there, is_before_there = own in self._queue, before in self._queue
        self._watched |= {number for number in (own, before) if number in self._queue}
        is_left_over = before in self._left_over and is_before_there
        return QueueNodesRead(request.number, is_own_there, is_before_there, is_left_over)

    def _read(self, request: group_actions.ReadRecord) -> Event:
        if request.watch in (Watch.ROOM, Watch.BOTH):
            self._watched.add(GroupPart.IN_FLIGHT)
        if request.watch in (Watch.DECISIONS, Watch.BOTH):
            self._watched.add(GroupPart.RECORD)
        record, basis = self._record.read_by(MEMBER, survey=request.survey)
        zones = {zone: self._population_of(zone) for zone in sorted(request.zones)}
        record = replace(
            record,
            population=Population(len(self._alive), zones),
            unavailable=frozenset(self._unavailable),
        )
        shown = set(record.in_flight) if request.survey else set()
        if request.limits:
            limits = (record.max_unavailable, record.max_failed)
            shown |= {limit.by for limit in limits if limit is not None}
        return RecordRead(request.number, record, basis, frozenset(self._alive & shown))

    def _population_of(self, zone: str) -> int:
        return sum(self._zones.get(member, "") == zone for member in self._alive)

    def _commit(self, request: group_actions.CommitRecord) -> list[Event]:
        number = request.number
        if any(self.versions[path] != version for path, version in request.checks.items()):
            return [CommitRefused(number, Conflict.CONFIGURATION)]
        for node in request.admitted:
            if not self._may_admit(node):
                return [CommitRefused(number, Conflict.QUEUE_NODE, node.number)]
        if (conflict := self._record.conflict_of(request)) is not None:
            return [CommitRefused(number, conflict)]
        touched, basis = self._record.commit(request)
        gone = [node.number for node in request.admitted]
        fired = [*self._publish(request.status), *self._fire(touched), *self._take_away(gone)]
        return [*fired, RecordCommitted(number, basis)]

    def _may_admit(self, node: QueueNode) -> bool:
        known = self._queue.get(node.number)
        is_same = known is not None and node.version in (known.version, -1)
        return is_same and node.queued.member not in self._record.contents.in_flight

    # The other members.

    def happen(self, words: list[str]) -> list[Event]:  # noqa: C901 -- one arm for each
        """Let something happen to the group; return the events for the story's member."""
        self._record.clock = EPOCH + self.now
        match words:
            case ["has", *members]:
                self._alive |= set(members)
                self._record.create()
                return []
            case ["zones", *pairs]:
                self._zones |= dict(pair.split("=") for pair in pairs)
                return []
            case ["znode", word]:
                path, _, version = word.partition("@")
                self.versions[path] = int(version)
                return []
            case ["operator", *what]:
                return self._operate(what)
            case ["version", word, "succeeded", count]:
                return self._count_successes(self.version_of(word), int(count))
            case ["queue", "has", name]:
                self._unknown.append(name)
                return []
            case ["queue", "left", "over", owner]:
                self._left_over.add(self._join(QueuedMember(owner, f"{owner}-turn", NO_DIGEST)))
                return []
            case ["is", "wiped"]:
                self._record, self._sequence = ScriptedRecord(), 0
                self._queue.clear()
                self._alive.clear()
                self._unavailable.clear()
                return []
            case ["old", "session", "ends"]:
                return self._take_away(self._numbers_of(MEMBER)[:-1])
            case ["node", *what]:
                return self._change_node(what)
            case [member, verb, *rest]:
                return self._act(member, verb, rest)
        raise ValueError(f"nothing of a group: {' '.join(words)}")

    def _operate(self, words: list[str]) -> list[Event]:
        record = self._record.contents
        match words:
            case ["pauses", *reason]:
                return self._write("", replace(record, paused=Pause("operator", " ".join(reason))))
            case ["resumes"]:
                return self._write("", replace(record, paused=None))
            case ["holds", "after", limit, *reason]:
                good = tuple(d for d, state in record.versions.items() if state.known_good)
                after, why = read_max_unavailable(limit), " ".join(reason)
                return self._write("", replace(record, hold=Hold(after, "operator", why, good)))
            case ["approves"]:
                return self._write("", replace(record, hold=None))
        raise ValueError(f"no operator does this: {' '.join(words)}")

    def _count_successes(self, version: ConfigVersion, count: int) -> list[Event]:
        """Let this many members have succeeded before the story begins."""
        record = self._record.contents
        known = record.release("", version).versions[version.digest]
        versions = {**record.versions, version.digest: replace(known, succeeded=count)}
        return self._write("", replace(record, versions=versions))

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

    def _act(self, member: str, verb: str, words: list[str]) -> list[Event]:
        match verb, words:
            case "joins", []:
                self._alive.add(member)
                self._record.create()
                return []
            case "disappears", []:
                return self._vanish(member)
            case "unavailable", []:
                return self._note_available(member, is_available=False)
            case "available", []:
                return self._note_available(member, is_available=True)
            case "queues", [*word]:
                digest = self.version_of(word[0]).digest if word else NO_DIGEST
                zone = self._zones.get(member, "")
                self._join(QueuedMember(member, f"{member}-turn", digest, zone))
                return []
            case "renews", [word]:
                (own,) = self._numbers_of(member)
                queued = replace(self._queue[own].queued, digest=self.version_of(word).digest)
                self._queue[own] = QueueNode(own, self._queue[own].version + 1, queued)
                return []
            case "leaves", []:
                return self._leave(member)
            case "admits", [*others, word]:
                return self._admit_others(member, others, self.version_of(word))
        return self._write(member, self._record_after(member, verb, words))

    def _record_after(self, member: str, verb: str, words: list[str]) -> RolloutRecord | Refusal:
        """Return the record after something that a member writes into it."""
        record, token = self._counted(), f"{member}-turn"
        match verb, words:
            case "admitted", [word]:
                return self._admit(member, self.version_of(word))
            case "readmitted", [word]:
                version = self.version_of(word)
                entry = InFlightEntry(token, version.digest, version.zxid)
                return record.readmit(member, entry, version.scope)
            case "known-good", [word]:
                return record.release(member, self.version_of(word))
            case "releases", []:
                return record.release(member, None)
            case "failed", [word, *reason]:
                return record.fail(member, token, self.version_of(word), " ".join(reason))
            case "reclaims", [other]:
                return record.reclaim(other, record.in_flight[other].token)
            case "requests", [word, *failed]:
                return record.with_limits(
                    member,
                    self._zones.get(member, ""),
                    read_max_unavailable(word),
                    read_max_failed(failed[0]) if failed else MaxFailed(),
                    alive=self._alive,
                )
        raise ValueError(f"no member does this: {member} {verb} {' '.join(words)}")

    def _counted(self) -> RolloutRecord:
        """Return the whole record, as another member knows it after a survey."""
        zones = {zone: self._population_of(zone) for zone in self._zones.values()}
        return replace(
            self._record.contents,
            in_flight_count=len(self._record.contents.in_flight),
            population=Population(len(self._alive), zones),
            unavailable=frozenset(self._unavailable),
        )

    def _note_available(self, member: str, *, is_available: bool) -> list[Event]:
        was_watched = bool(self._unavailable)
        if is_available is (member not in self._unavailable):
            return []
        self._unavailable ^= {member}
        return self._fire([GroupPart.IN_FLIGHT]) if was_watched else []

    def _vanish(self, member: str) -> list[Event]:
        self._alive.discard(member)
        return [*self._note_available(member, is_available=True), *self._leave(member)]

    def _leave(self, member: str) -> list[Event]:
        return self._take_away(self._numbers_of(member))

    def _take_away(self, numbers: Iterable[int]) -> list[Event]:
        fired: list[Event] = []
        for number in numbers:
            node = self._queue.pop(number, None)
            if node is not None and number in self._watched:
                self._watched.discard(number)
                is_own = node.queued.member == MEMBER
                fired.append(
                    GroupTouched(GroupPart.QUEUE_NODE if is_own else GroupPart.PREDECESSOR)
                )
        return fired

    def _admit(self, member: str, version: ConfigVersion) -> RolloutRecord | Refusal:
        """Let a member admit itself, as the head of the queue."""
        record, numbers = self._counted(), self._numbers_of(member)
        zone = self._zones.get(member, "")
        entry = InFlightEntry(f"{member}-turn", version.digest, version.zxid, zone=zone)
        number = numbers[0] if numbers else record.last_admitted
        return record.admit(member, entry, version.scope, number)

    def _admit_others(self, head: str, members: list[str], version: ConfigVersion) -> list[Event]:
        """Let the head of the queue admit others, and stay."""
        record: RolloutRecord | Refusal = self._counted()
        for member in members:
            queued = self._queue[self._numbers_of(member)[0]].queued
            entry = InFlightEntry(queued.token, version.digest, version.zxid, zone=queued.zone)
            if isinstance(record, RolloutRecord):
                record = record.admit(member, entry, version.scope)
        if isinstance(record, RolloutRecord):
            record = replace(record, head=ActingHead(head, self._numbers_of(head)[0]))
        return self._write(head, record, members)

    def _write(
        self,
        member: str,
        record: RolloutRecord | Refusal,
        admitted: Iterable[str] = (),
    ) -> list[Event]:
        """Write the record of another member, or of an operator; it ends its place in the queue."""
        if isinstance(record, Refusal):
            raise ValueError(f"by the rules of the record this is not possible: {record.value}")
        self._record.create()
        before = self._record.contents
        is_noticed = member not in before.in_flight and record.versions != before.versions
        is_admission = member not in before.in_flight and member in record.in_flight
        touched = self._record.write(before, record, is_exclusive=is_noticed)
        gone = [*admitted, *([member] if is_admission else [])]
        numbers = [number for name in gone for number in self._numbers_of(name)]
        return [*self._fire(touched), *self._take_away(numbers)]

    def _fire(self, parts: Iterable[GroupPart]) -> list[Event]:
        fired: list[Event] = []
        for part in sorted(parts, key=lambda part: part.value):
            if part in self._watched or part is GroupPart.OWN_NODE:
                self._watched.discard(part)
                fired.append(GroupTouched(part))
        return fired
