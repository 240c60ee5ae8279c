"""Whatever is in the znodes of a group: it is refused as a whole, or all can be done with it."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

from hypothesis import assume, given
from hypothesis import strategies as st

from support.group_model import BASE, GroupModel, write
from support.model_server import run
from support.rubbish import (
    CARDS,
    ENTRIES,
    JSON,
    MEMBERS,
    NAMES,
    QUEUED,
    RECORDS,
    RUBBISH,
    SUMMARIES,
    TRIALS,
    examples,
    in_bytes,
)
from zkexec.core.actions import Action
from zkexec.core.attempt import LocalFailure
from zkexec.core.events import Event, SessionConnected, Tick
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import MaxFailed, MaxUnavailable, Policy
from zkexec.core.rollout import operations
from zkexec.core.rollout.first_start import basis_of
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    PublishStatus,
    QueueRequest,
    ReadRecord,
    Watch,
)
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Enrolled,
    GroupRequestFailed,
    GroupTouched,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.participant import Participant
from zkexec.core.rollout.record import AuditEntry, InFlightEntry, Refusal, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, version_of
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.snapshot import InputState, Snapshot
from zkexec.core.turn import Intent, Keeping, StartBasis
from zkexec.frozen import replace
from zkexec.group.entry_codec import decode_entry, decode_queued
from zkexec.group.member_codec import decode_status, encode_status
from zkexec.group.record_codec import decode
from zkexec.group.version_codec import decode_failure, decode_summary
from zkexec.zookeeper.errors import RefusedError
from zkexec.zookeeper.requests import Dialogue

NOW = 1_700_000_000.0
QUICK = examples(120)
KNOWN = (RolloutRecord, Refusal, Objection, StartBasis, VersionState, bool, dict)
"""What the record answers with."""
TARGETS = (
    ConfigVersion("a" * 64, 7, "scope"),
    ConfigVersion("b" * 64, 0, ""),
    ConfigVersion("b" * 64 + ".restart1", 2**63 - 1, "scope"),
)
INPUTS = InputOptions(mirrors=(Mirror("/f", "/z"),))
POLICY = Policy(inputs=INPUTS, in_group=True, session_timeout_s=12, checks_health=True)
T = TypeVar("T")

ANY = st.one_of(JSON.map(in_bytes), st.binary(max_size=60), st.sampled_from([*RUBBISH.values()]))
"""Any bytes."""


def mostly(usual: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """The bytes of such an object, and sometimes any bytes."""
    return st.one_of(*[usual.map(in_bytes)] * 9, ANY)


NAME = st.one_of(*[st.sampled_from(MEMBERS)] * 4, NAMES.filter(lambda name: len(name) < 300))
DIGEST = st.sampled_from(["a" * 64, "b" * 64, "c"])
ZNODES = st.fixed_dictionaries(
    {
        "state": mostly(RECORDS),
        "in_flight": st.dictionaries(NAME, mostly(ENTRIES), max_size=3),
        "versions": st.dictionaries(DIGEST, mostly(SUMMARIES) | st.just(b""), max_size=3),
        "trials": st.dictionaries(st.tuples(DIGEST, TRIALS), ANY, max_size=6),
        "queue": st.lists(mostly(QUEUED), max_size=4),
        "strangers": st.lists(NAMES, max_size=2),
        "unavailable": st.lists(NAME, max_size=2),
    }
)
"""The contents of a group's znodes."""


def understood(read: Callable[[bytes], T], content: bytes) -> T | None:
    """What these bytes are, or None if they are refused in one short line."""
    try:
        return read(content)
    except ValueError as refused:
        reason = str(refused)
    assert "\n" not in reason
    assert len(reason) < 300
    return None


def group_of(znodes: dict[str, Any]) -> GroupModel:
    """A group whose znodes contain this."""
    group = GroupModel()
    writes = [("state", znodes["state"])]
    writes += [(f"in_flight/{name}", content) for name, content in znodes["in_flight"].items()]
    writes += [(f"versions/{name}", content) for name, content in znodes["versions"].items()]
    writes += [(f"versions/{d}/{name}", c) for (d, name), c in znodes["trials"].items()]
    writes += [(f"queue/q-{n:010}", content) for n, content in enumerate(znodes["queue"])]
    writes += [(f"queue/{name}", b"") for name in znodes["strangers"]]
    writes += [(f"unavailable/{name}", b"") for name in znodes["unavailable"]]
    group.server.commit(*((f"{BASE}/{path}", content) for path, content in writes))
    return group


def attempt(act: Callable[[], T]) -> T | None:
    """The outcome, or None if it is refused in one line that names a znode of the group."""
    try:
        return act()
    except RefusedError as refused:
        reason = str(refused)
    assert reason.startswith(f"{BASE}/"), reason
    assert "\n" not in reason.removeprefix(BASE)[300:]
    return None


def members_do(record: RolloutRecord) -> Iterator[object]:
    """All that members make of a record, and all that they find out from it."""
    for member in dict.fromkeys([*MEMBERS, *record.in_flight]):
        entry = record.in_flight.get(member)
        token = "t1" if entry is None else entry.token
        yield from (record.adopt(member, "new"), record.adopt(member, token))
        yield from (record.reclaim(member, token), record.release(member, None))
        half = MaxUnavailable(50, percent=True)
        yield record.with_limits(member, "east", half, MaxFailed(1), alive={"m1"})
        for target in TARGETS:
            yield from (record.failure_of(target), record.is_known_good(target))
            yield from (record.knows_newer(target), record.is_held(target, member))
            entry = InFlightEntry("new", target.digest, target.zxid)
            yield record.admit(member, entry, target.scope, 3)
            yield record.readmit(member, replace(entry, token=token), target.scope)
            yield from (record.release(member, target), record.mark_known_good(member, target))
            yield record.fail(member, token, target, "why")
            yield record.enter_failed(member, token, target)
            yield basis_of(record, member, target, None)
            yield basis_of(record, member, target, TARGETS[0])


def operators_do(record: RolloutRecord) -> Iterator[object]:
    """All that operators make of a record."""
    audit_entry = AuditEntry("forget", "by", "why", "token", "m1", NOW)
    yield from (operations.pause(record, audit_entry), operations.resume(record, audit_entry))
    yield from (operations.retry(record, audit_entry), operations.restart(record, audit_entry))
    yield from (operations.failures(record), operations.is_done(record, audit_entry))
    for name in record.in_flight:
        about = replace(audit_entry, member=name)
        yield operations.forget(record, about, is_alive=True, is_forced=True)
        yield operations.forget(record, about, is_alive=True, is_forced=False)


@examples(15)
@given(ZNODES)
def test_everything_can_be_done_with_the_znodes(znodes: dict[str, Any]) -> None:
    """What becomes of a record can be committed, and is read as it was written, or is refused."""
    group = group_of(znodes)
    read = attempt(lambda: group.read("m1", Watch.BOTH, survey=True, limits=True))
    assume(read is not None)
    assert read is not None
    found = [read.record, *members_do(read.record), *operators_do(read.record)]
    assert all(isinstance(each, KNOWN) or each is None for each in found)
    before = dict(group.server.nodes)
    for after in {repr(each): each for each in found if isinstance(each, RolloutRecord)}.values():
        group.server.nodes = dict(before)
        commit = CommitRecord(0, read.record, after, read.basis)
        answer = attempt(lambda commit=commit: group.ask(commit))  # type: ignore[misc]
        if not isinstance(answer, RecordCommitted):
            assert group.server.nodes == before
            continue
        again = group.read(survey=True)
        assert again.record.in_flight.keys() == after.in_flight.keys()
        # An entry that has failed is a failure itself.
        assert after.versions.keys() <= again.record.versions.keys()
        assert again.basis.entries == answer.basis.entries


@QUICK
@given(ANY)
def test_any_bytes_are_a_content_or_none(content: bytes) -> None:
    """Nothing but a ValueError of one short line comes of what is no content of a znode."""
    record = understood(decode, content)
    assert record is None or isinstance(record, RolloutRecord)
    for read in (decode_status, decode_queued, decode_failure):
        assert understood(read, content) is None or content
    assert understood(lambda one: decode_entry(one, 9), content) is None or content
    understood(decode_summary, content)


@QUICK
@given(CARDS)
def test_any_status_comes_back(value: dict[str, Any]) -> None:
    """A member status that is understood is written again as one that is."""
    found = understood(decode_status, in_bytes(value))
    assume(found is not None)
    if found is not None:
        status, facts = decode_status(encode_status(*found))
        assert (status.running, facts.inputs) == (found[0].running, found[1].inputs)


def snapshot(word: str) -> Snapshot:
    """A snapshot from content@mzxid; the version of its znode is the same number."""
    content, _, mzxid = word.partition("@")
    return Snapshot({"/f": content.encode()}, int(mzxid), {})


class LivingMember:
    """The turn of the member m1, whose requests are answered by a group's znodes."""

    def __init__(self, group: GroupModel) -> None:
        """Connect."""
        tokens = count()
        self.turn = Participant(POLICY, "m1", lambda: f"token-{next(tokens)}")
        self.answered: list[type] = []
        self._group = group
        self._store = group.connection("m1")
        self._intent = Intent(known=InputState())
        self._now = 0.0
        self.happen(SessionConnected(1, 12.0))

    def intend(self, **changes: object) -> None:
        """Let the member want something else of its group."""
        self._intent = replace(self._intent, **changes)
        self.turn.reconcile(self._intent, self._now)
        self.happen(Tick())

    def happen(self, *events: Event) -> None:
        """Let these events happen, and answer what is requested then, for some time."""
        waiting: list[Event] = list(events)
        for _ in range(30):
            event = waiting.pop(0) if waiting else Tick()
            actions = [*self.turn.handle(event, self._now), *self.turn.advance(self._now)]
            for action in actions:
                waiting += self._answers(action)
            fired, self._group.fired[:] = [*self._group.fired], []
            for path in fired:
                self._store.fired(self._group.part(path), path)
                waiting.append(GroupTouched(self._group.part(path)))
            self._now += 0.0 if waiting else 1.0

    def _answers(self, action: Action) -> list[Event]:
        match action:
            case Enrol(number):
                dialogue = _answered(Enrolled(number, 1))
            case ReadRecord():
                dialogue = self._store.read(action)
            case CommitRecord():
                dialogue = self._store.commit(action, write)
            case _ if isinstance(action, QueueRequest):
                dialogue = self._store.queue(action, write)
            case _:
                assert not hasattr(action, "number") or isinstance(action, PublishStatus)
                return []
        try:
            answer = run(dialogue, self._group.server)
        except RefusedError as refused:
            answer = GroupRequestFailed(action.number, str(refused), is_refused=True)
        self.answered.append(type(answer))
        return [answer]


def _answered(event: Event) -> Dialogue:
    yield from ()
    return event


def with_own_words(znodes: dict[str, Any]) -> dict[str, Any]:
    """The same znodes, about the contents that the member wants."""
    named = {"a" * 64: "a@2", "b" * 64: "b@2"}
    versions = {old: version_of(snapshot(word), INPUTS) for old, word in named.items()}

    def renamed(content: bytes) -> bytes:
        for old, version in versions.items():
            content = content.replace(old.encode(), version.digest.encode())
        return content.replace(b'"scope"', f'"{versions["a" * 64].scope}"'.encode(), 0)

    digests = {old: version.digest for old, version in versions.items()}
    return {
        **znodes,
        "state": renamed(znodes["state"]),
        "in_flight": {name: renamed(content) for name, content in znodes["in_flight"].items()},
        "versions": {digests.get(d, d): content for d, content in znodes["versions"].items()},
        "trials": {
            (digests.get(d, d), name): content for (d, name), content in znodes["trials"].items()
        },
        "queue": [renamed(content) for content in znodes["queue"]],
    }


CALLS = st.sampled_from(["want a@2", "want b@2", "fail b@2", "succeed a@2", "report a@2", "leave"])


@examples(60)
@given(ZNODES.map(with_own_words), st.lists(CALLS, max_size=5))
def test_a_member_lives_with_any_znodes(znodes: dict[str, Any], calls: list[str]) -> None:
    """It takes part as far as the znodes allow it, and answers each request that it makes."""
    member = LivingMember(group_of(znodes))
    member.turn.basis(snapshot("b@2"), snapshot("a@2"))
    for call in calls:
        verb, _, word = call.partition(" ")
        match verb:
            case "want":
                member.intend(keeping=Keeping.TURN, wanted=snapshot(word), succeeded=None)
            case "fail":
                failure = LocalFailure(snapshot(word), "why", None)
                member.intend(keeping=Keeping.TURN, succeeded=None, failure=failure)
            case "succeed":
                member.intend(
                    keeping=Keeping.NOTHING, wanted=None, succeeded=snapshot(word), failure=None
                )
            case "report":
                member.intend(known_good=snapshot(word))
            case _:
                member.intend(keeping=Keeping.NOTHING, wanted=None)
    assert RecordRead in member.answered or GroupRequestFailed in member.answered
    assert member.turn.is_ready or RecordRead not in member.answered


def test_a_member_goes_its_way_through_ordinary_znodes() -> None:
    """In a group without any of that the same member is admitted, and releases its turn."""
    group = GroupModel()
    member = LivingMember(group)
    member.intend(keeping=Keeping.TURN, wanted=snapshot("a@2"))
    assert member.turn.granted == snapshot("a@2")
    assert group.count("in_flight") == 1
    done = snapshot("a@2")
    member.intend(keeping=Keeping.NOTHING, wanted=None, succeeded=done, failure=None)
    assert group.count("in_flight") == group.count("queue") == 0
    assert CommitRefused not in member.answered
    (state,) = group.record.versions.values()
    assert (state.known_good, state.succeeded) == (True, 1)
