"""Whatever is in the znode of a record: it is refused as a whole, or all can be done with it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from hypothesis import assume, given
from hypothesis import strategies as st

from core.turn_harness import INPUTS, QUEUE_NODE, TurnHarness, snapshot
from support.rubbish import CARDS, JSON, MEMBERS, NAMES, RECORDS, RUBBISH, examples, in_bytes
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout import group_actions, operations
from zkexec.core.rollout.first_start import basis_of
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import (
    AuditEntry,
    InFlightEntry,
    Refusal,
    RolloutRecord,
    VersionState,
)
from zkexec.core.rollout.version import ConfigVersion, version_of
from zkexec.core.turn import StartBasis
from zkexec.frozen import replace
from zkexec.group.member_codec import decode_status, encode_status
from zkexec.group.record_codec import decode, encode

NOW = 1_700_000_000.0
QUICK = examples(120)
KNOWN = (RolloutRecord, Refusal, Objection, StartBasis, VersionState, bool, dict)
"""What the record answers with."""
TARGETS = (
    ConfigVersion("a" * 64, 7, "scope"),
    ConfigVersion("b" * 64, 0, ""),
    ConfigVersion("b" * 64 + ".restart1", 2**63 - 1, "scope"),
)
T = TypeVar("T")
SCOPE = version_of(snapshot("a@1"), INPUTS).scope


def understood(read: Callable[[bytes], T], content: bytes) -> T | None:
    """What these bytes are, or None where they are refused in one short line."""
    try:
        return read(content)
    except ValueError as refused:
        reason = str(refused)
    assert "\n" not in reason
    assert len(reason) < 300
    return None


def decoded(value: object) -> RolloutRecord:
    """The record that this is; an example that is none says nothing."""
    record = understood(decode, in_bytes(value))
    assume(record is not None)
    return record or RolloutRecord()


def with_own_words(value: dict[str, Any]) -> dict[str, Any]:
    """The same record, about the contents that the member of a TurnHarness wants."""
    named = {"a" * 64: "a@2", "b" * 64: "b@2"}
    digests = {old: version_of(snapshot(word), INPUTS).digest for old, word in named.items()}
    versions = {digests.get(d, d): {**v, "scope": SCOPE} for d, v in value["versions"].items()}
    in_flight = {
        name: {**entry, "digest": digests.get(entry["digest"], entry["digest"])}
        for name, entry in value["in_flight"].items()
    }
    return {**value, "versions": versions, "in_flight": in_flight}


def members_do(record: RolloutRecord) -> Iterator[object]:
    """All that members make of a record, and all that they ask it."""
    for member in dict.fromkeys([*MEMBERS, *record.in_flight]):
        entry = record.in_flight.get(member)
        token = "t1" if entry is None else entry.token
        yield from (record.adopt(member, "new"), record.adopt(member, token))
        yield from (record.reclaim(member, token), record.release(member, None))
        half = MaxUnavailable(50, percent=True)
        yield record.with_max_unavailable(member, half, 3, is_requester_alive=member == "m1")
        for target in TARGETS:
            yield from (record.failure_of(target), record.is_known_good(target))
            yield record.knows_newer(target)
            entry = InFlightEntry("new", target.digest, target.zxid)
            yield record.admit(member, entry, target.scope, 3, 9)
            yield record.readmit(member, replace(entry, token=token), target.scope)
            yield from (record.release(member, target), record.mark_known_good(member, target))
            yield record.fail(member, token, target, "why")
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


@QUICK
@given(RECORDS)
def test_everything_can_be_done_with_a_record(value: dict[str, Any]) -> None:
    """What becomes of it is a record that all others understand, or a word of the core's own."""
    record = decoded(value)
    found = [record, *members_do(record), *operators_do(record)]
    after = {id(each): each for each in found if isinstance(each, RolloutRecord)}
    assert after
    for each in after.values():
        again = decode(encode(each, NOW))
        assert [*sorted(again.in_flight)] == [*sorted(each.in_flight)]
        assert {*each.versions} <= {*again.versions}
    assert all(isinstance(each, KNOWN) or each is None for each in found)


@QUICK
@given(st.one_of(JSON.map(in_bytes), st.binary(max_size=60), st.sampled_from([*RUBBISH.values()])))
def test_any_bytes_are_a_record_or_none(content: bytes) -> None:
    """Nothing but a ValueError of one short line comes of what is no record, or no card."""
    record = understood(decode, content)
    status = understood(decode_status, content)
    assert record is None or isinstance(record, RolloutRecord)
    assert status is None or content


@QUICK
@given(CARDS)
def test_any_card_comes_back(value: dict[str, Any]) -> None:
    """A card that is understood is shown again as a card that is."""
    found = understood(decode_status, in_bytes(value))
    assume(found is not None)
    if found is not None:
        status, facts = decode_status(encode_status(*found))
        assert (status.running, facts.inputs) == (found[0].running, found[1].inputs)


def answer(harness: TurnHarness, record: RolloutRecord, names: Sequence[str]) -> None:
    """Answer the last request of a member as a group with this record and this queue does."""
    match harness.last:
        case group_actions.ReadRecord():
            harness.read(record)
        case group_actions.CommitRecord(record=written):
            decode(encode(written, NOW))
            harness.committed()
        case group_actions.Enrol():
            harness.enrolled()
        case group_actions.JoinQueue():
            harness.queue_joined()
        case group_actions.ListQueue():
            harness.listed(QUEUE_NODE, *names)
        case group_actions.WatchQueueNode():
            harness.predecessor_read("m9", is_left_over=True)
        case group_actions.LeaveQueue():
            harness.queue_left()


CALLS = st.sampled_from(
    ["request a@2", "request b@2", "fail b@2", "succeed a@2", "report a@2", "withdraw"]
)


@QUICK
@given(RECORDS.map(with_own_words), st.lists(NAMES, max_size=5), st.lists(CALLS, max_size=4))
def test_a_member_lives_with_any_record(
    value: dict[str, Any], names: list[str], calls: list[str]
) -> None:
    """It reads the record and lists the queue at each step of its way, and goes on."""
    record = decoded(value)
    harness = TurnHarness()
    harness.connect()
    answer(harness, record, names)
    harness.turn.basis(snapshot("b@2"), snapshot("a@2"))
    for call in calls:
        method, _, word = call.partition(" ")
        match method:
            case "request":
                harness.want(snapshot(word))
            case "fail":
                harness.fail(snapshot(word), "why")
            case "succeed":
                harness.succeed(snapshot(word))
            case "report":
                harness.report_known_good(snapshot(word))
            case _:
                harness.withdraw()
        harness.advance()
        for _ in range(6):
            answer(harness, record, names)
        harness.now += 100.0
        harness.advance()
    assert harness.turn.is_ready
