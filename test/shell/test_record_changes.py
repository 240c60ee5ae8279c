"""What a commit writes: only the difference, and so that what is read is what was written."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.group_model import BASE, NOW, GroupModel, as_read, write
from support.model_server import run
from support.rubbish import examples
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.group_actions import CommitRecord, JoinQueue, ReadQueue, ReadRecord
from zkexec.core.rollout.group_events import CommitRefused, Conflict, RecordCommitted
from zkexec.core.rollout.limits import AgreedMaxUnavailable
from zkexec.core.rollout.queued_member import QueuedMember, QueueNode
from zkexec.core.rollout.record import (
    ActingHead,
    AuditEntry,
    EntryPhase,
    Hold,
    InFlightEntry,
    Pause,
    RolloutRecord,
)
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace
from zkexec.group.record_changes import RecordChanges
from zkexec.group.record_codec import decode
from zkexec.zookeeper.requests import Create, Delete, SetContent
from zkexec.zookeeper.values import OPEN_ACL

OLD = ConfigVersion("a" * 64, 5, "scope")
NEW = ConfigVersion("b" * 64, 9, "scope")
RETRIED = ConfigVersion("b" * 64, 12, "scope", 12)
TARGETS = (OLD, NEW, RETRIED)
MEMBERS = ("m1", "m2", "m3")
WIDE = AgreedMaxUnavailable(MaxUnavailable(1000), "m1")
Step = Callable[[RolloutRecord], RolloutRecord | object]


def entry(member: str, version: ConfigVersion, zone: str = "") -> InFlightEntry:
    """The entry of a member that is admitted."""
    token = f"token-of-{member}"
    return InFlightEntry(
        token, version.digest, version.zxid, written=version.last_written, zone=zone
    )


def fields(record: RolloutRecord) -> dict[str, Any]:
    """The record in parts that are shown one by one if they differ."""
    return {name: getattr(record, name) for name in RolloutRecord.__compared__}  # type: ignore[attr-defined]


def token_of(record: RolloutRecord, member: str) -> str:
    """The token of a member in flight."""
    known = record.in_flight.get(member)
    return f"token-of-{member}" if known is None else known.token


STEPS: dict[str, Callable[[str, ConfigVersion], Step]] = {
    "admit": lambda m, v: lambda r: r.admit(m, entry(m, v), v.scope, 4),
    "admit in a zone": lambda m, v: lambda r: r.admit(m, entry(m, v, "east"), v.scope),
    "readmit": lambda m, v: (
        lambda r: r.readmit(m, replace(entry(m, v), token=token_of(r, m)), v.scope)
    ),
    "adopt": lambda m, v: lambda r: r.adopt(m, f"{token_of(r, m)}x{v.zxid}"),
    "release": lambda m, v: lambda r: r.release(m, v),
    "leave": lambda m, v: lambda r: r.release(m, None),  # noqa: ARG005 -- as the others
    "mark": lambda m, v: lambda r: r.mark_known_good(m, v),
    "fail": lambda m, v: lambda r: r.fail(m, token_of(r, m), v, f"why on {m}", "check"),
    # Only if the version is known: if not, a failure is read that nobody has written.
    "enter": lambda m, v: (
        lambda r: r.enter_failed(m, f"token-of-{m}", v) if v.digest in r.versions else r
    ),
    "reclaim": lambda m, v: lambda r: r.reclaim(m, token_of(r, m)),  # noqa: ARG005 -- the same
    "limits": lambda m, v: (
        lambda r: r.with_limits(
            m, "", MaxUnavailable(50, percent=True, per_zone=True), MaxFailed(v.zxid), alive={m}
        )
    ),
    "decide": lambda m, v: (
        lambda r: replace(
            r,
            paused=None if r.paused else Pause("anna", m),
            hold=Hold(MaxUnavailable(2), "bert", "careful", (v.digest,)),
            head=ActingHead(m, 7),
            audit=(*r.audit, AuditEntry("pause", "anna", "why", "t", m, 5.0))[-10:],
        )
    ),
}
ONE_STEP = st.tuples(st.sampled_from([*STEPS]), st.sampled_from(MEMBERS), st.sampled_from(TARGETS))


def after(record: RolloutRecord, steps: list[tuple[str, str, ConfigVersion]]) -> RolloutRecord:
    """The record after these steps, those that are refused left out."""
    for name, member, version in steps:
        found = STEPS[name](member, version)(record)
        record = found if isinstance(found, RolloutRecord) else record
    return record


@examples(150)
@given(st.lists(st.lists(ONE_STEP, min_size=1, max_size=3), min_size=1, max_size=8))
def test_what_is_written_is_read(commits: list[list[tuple[str, str, ConfigVersion]]]) -> None:
    """Whatever members make of a record, the difference that is written gives just that record."""
    group = GroupModel()
    group.commit(RolloutRecord(max_unavailable=WIDE))
    for steps in commits:
        read = group.read(survey=True)
        written = after(read.record, steps)
        committed = group.ask(CommitRecord(0, read.record, written, read.basis))
        assert isinstance(committed, RecordCommitted)
        found = group.read(survey=True)
        assert fields(found.record) == fields(as_read(written))
        assert found.record.in_flight_count == len(written.in_flight)
        assert found.basis == committed.basis
        assert group.count("versions") == len(written.versions)


@examples(100)
@given(st.lists(ONE_STEP, min_size=1, max_size=8), st.lists(ONE_STEP, min_size=1, max_size=8))
def test_commits_without_a_read_between(
    first: list[tuple[str, str, ConfigVersion]], second: list[tuple[str, str, ConfigVersion]]
) -> None:
    """A member can commit again on what its last commit has left, without reading it."""
    group = GroupModel()
    group.commit(RolloutRecord(max_unavailable=WIDE))
    read = group.read(survey=True)
    middle = after(read.record, first)
    one = group.ask(CommitRecord(0, read.record, middle, read.basis))
    assert isinstance(one, RecordCommitted)
    last = after(middle, second)
    two = group.ask(CommitRecord(0, middle, last, one.basis))
    assert isinstance(two, RecordCommitted)
    found = group.read(survey=True)
    assert (found.record, found.basis) == (as_read(last), two.basis)


def fresh(version: ConfigVersion = OLD, succeeded: int = 0) -> GroupModel:
    """A group in which m1 and m2 are in flight with a version, which may be known good."""
    group = GroupModel()
    good = VersionState(version.zxid, version.scope, known_good=True, succeeded=9 + succeeded)
    group.commit(RolloutRecord(max_unavailable=WIDE, versions={version.digest: good}))
    for member in ("m1", "m2"):
        admitted = group.record.admit(member, entry(member, version), version.scope)
        assert isinstance(admitted, RolloutRecord)
        group.commit(admitted)
    return group


def operations(request: CommitRecord, group: GroupModel) -> list[str]:
    """What a commit does, one line for each operation; "at 3" is the version that it requires."""
    lines = []
    changes = RecordChanges(request, group.paths, OPEN_ACL, NOW)
    for operation in changes.operations:
        path = operation.path.removeprefix(f"{BASE}/").replace(OLD.digest, "OLD")
        verb = type(operation).__name__.lower().removesuffix("content")
        version = -1 if isinstance(operation, Create) else operation.version
        lines.append(f"{verb} {path}" + (f" at {version}" if version >= 0 else ""))
    return lines


WRITES: dict[str, tuple[Step, dict[str, Any], list[str]]] = {
    "a release": (
        lambda r: r.release("m1", OLD),
        {},
        ["set versions/OLD/succeeded", "delete in_flight/m1 at 0"],
    ),
    "a confirmation": (lambda r: r, {"confirms": "m1"}, ["set in_flight/m1 at 0"]),
    "a failure": (
        lambda r: r.fail("m1", "token-of-m1", OLD, "why", "check"),
        {},
        [
            "set versions/OLD",
            "create versions/OLD/failed.m1",
            "delete in_flight/m1 at 0",
            "create in_flight/m1",
        ],
    ),
    "a lost turn": (
        lambda r: r.reclaim("m1", "token-of-m1"),
        {},
        [
            "set state at 3",
            "set versions/OLD at 0",
            "create versions/OLD/lost.token-of-m1",
            "delete in_flight/m1 at 0",
        ],
    ),
    "an adoption": (
        lambda r: r.adopt("m1", "t2"),
        {},
        [
            "set state at 3",
            "set versions/OLD at 0",
            "create versions/OLD/lost.token-of-m1",
            "set in_flight/m1 at 0",
        ],
    ),
    "an exclusive commit": (lambda r: r, {"is_exclusive": True}, ["set state at 3"]),
    "an admission": (
        lambda r: r.admit("m3", entry("m3", OLD), OLD.scope, 0),
        {"tried": OLD.digest, "checks": {"/in": 7}},
        ["check /in at 7", "check versions/OLD at 0", "set state at 3", "create in_flight/m3"],
    ),
    "another reason": (
        lambda r: replace(
            r, versions={OLD.digest: replace(r.versions[OLD.digest], reason="x", at=5.0)}
        ),
        {},
        [],
    ),
    "nothing": (lambda r: r, {}, []),
}


@pytest.mark.parametrize("name", WRITES)
def test_only_the_difference_is_written(name: str) -> None:
    """Each change writes the znodes that it concerns, over the version that was read if needed."""
    step, more, expected = WRITES[name]
    group = fresh()
    record = step(group.record)
    assert isinstance(record, RolloutRecord)
    request = group.request(record, **more)
    assert operations(request, group) == expected


def test_a_version_is_dropped_with_its_znodes() -> None:
    """A version that no member can want any more takes all znodes below its own with it."""
    group = GroupModel()
    group.commit(RolloutRecord(max_unavailable=WIDE))
    group.commit(group.record.fail("m1", "t", OLD, "why"))
    failed = group.read(survey=True)
    assert failed.basis.versions[OLD.digest].children == ("failed.m1", "succeeded")
    admitted = failed.record.admit("m1", entry("m1", NEW), NEW.scope)
    assert isinstance(admitted, RolloutRecord)
    group.commit(admitted)
    assert group.count("versions") == 1
    assert group.record.versions.keys() == {NEW.digest}


def test_a_retry_begins_anew() -> None:
    """If the same bytes are written again, failures, lost turns and successes are counted anew.

    A hold still knows how many members had succeeded.
    """
    group = fresh(NEW)
    group.commit(group.record.fail("m9", "t", NEW, "why"))
    group.commit(group.record.reclaim("m2", "token-of-m2"))
    before = group.read(survey=True)
    state = before.record.versions[NEW.digest]
    assert (state.failed_by, state.lost_turns, state.succeeded) == (("m9",), 1, 9)
    again = before.record.readmit("m1", entry("m1", RETRIED), RETRIED.scope)
    assert isinstance(again, RolloutRecord)
    group.commit(again)
    state = group.record.versions[NEW.digest]
    assert state == VersionState(RETRIED.zxid, RETRIED.scope, succeeded_before=9)
    assert group.count(f"versions/{NEW.digest}") == 1


def queued(member: str, group: GroupModel) -> QueueNode:
    """The queue node of a member, made now."""
    group.queue(JoinQueue(0, QueuedMember(member, f"token-of-{member}", OLD.digest)))
    (*_, node) = group.queue(ReadQueue(0)).nodes
    assert isinstance(node, QueueNode)
    return node


def admission(group: GroupModel) -> CommitRecord:
    """The admission of m3 and m4, which wait."""
    nodes = (queued("m3", group), queued("m4", group))
    record: Any = group.record
    for node in nodes:
        member = node.queued.member
        record = record.admit(member, entry(member, OLD), OLD.scope)
    group.server.commit(("/in", b"1"))
    return group.request(record, admitted=nodes, tried=OLD.digest, checks={"/in": 0})


def test_many_are_admitted_together() -> None:
    """The queue nodes of the admitted members go in the transaction that makes their entries."""
    group = fresh()
    request = admission(group)
    assert isinstance(group.ask(request), RecordCommitted)
    assert group.count("queue") == 0
    assert group.count("in_flight") == 4
    zxids = {node.mzxid for path, node in group.server.nodes.items() if "in_flight/m" in path}
    assert group.server.nodes[f"{BASE}/state"].mzxid in zxids


def own_failure(group: GroupModel) -> CommitRecord:
    """The failure of m1."""
    return group.request(group.record.fail("m1", "token-of-m1", OLD, "why"))


def own_loss(group: GroupModel) -> CommitRecord:
    """The loss of m2's turn."""
    return group.request(group.record.reclaim("m2", "token-of-m2"))


def own_release(group: GroupModel) -> CommitRecord:
    """The release of m1's turn."""
    return group.request(group.record.release("m1", OLD))


def drop(group: GroupModel) -> CommitRecord:
    """A commit that drops a failed version."""
    group.commit(group.record.fail("m9", "t", OLD, "why"))
    read = group.read(survey=True)
    return group.request(replace(read.record, versions={}))


def new_version(group: GroupModel) -> CommitRecord:
    """A commit with another version."""
    record = group.record
    return group.request(record.fail("m9", "t", NEW, "why"))


V = f"{BASE}/versions/{OLD.digest}"
CONFLICTS: dict[str, tuple[Callable[[GroupModel], CommitRecord], Any, Conflict, int | None]] = {
    "the input was written": (
        admission,
        SetContent("/in", b"2"),
        Conflict.CONFIGURATION,
        None,
    ),
    "the input was deleted": (admission, Delete("/in"), Conflict.CONFIGURATION, None),
    "the version has failed": (admission, SetContent(V, b""), Conflict.RECORD, None),
    "another decision": (admission, SetContent(f"{BASE}/state", b""), Conflict.RECORD, None),
    "a queue node is gone": (
        admission,
        Delete(f"{BASE}/queue/q-0000000001"),
        Conflict.QUEUE_NODE,
        1,
    ),
    "a queue node was renewed": (
        admission,
        SetContent(f"{BASE}/queue/q-0000000000", b""),
        Conflict.QUEUE_NODE,
        0,
    ),
    "the member is in flight": (
        admission,
        Create(f"{BASE}/in_flight/m4", b"", OPEN_ACL),
        Conflict.QUEUE_NODE,
        1,
    ),
    "the own entry was written": (
        own_release,
        SetContent(f"{BASE}/in_flight/m1", b""),
        Conflict.RECORD,
        None,
    ),
    "the own entry is gone": (own_release, Delete(f"{BASE}/in_flight/m1"), Conflict.RECORD, None),
    "the count of successes is gone": (
        own_release,
        Delete(f"{V}/succeeded"),
        Conflict.RECORD,
        None,
    ),
    "the failure is known": (
        own_failure,
        Create(f"{V}/failed.m1", b"", OPEN_ACL),
        Conflict.RECORD,
        None,
    ),
    "another turn was lost": (own_loss, SetContent(V, b""), Conflict.RECORD, None),
    "the lost turn is counted": (
        own_loss,
        Create(f"{V}/lost.token-of-m2", b"", OPEN_ACL),
        Conflict.RECORD,
        None,
    ),
    "the dropped version has failed again": (
        drop,
        Create(f"{V}/failed.m7", b"", OPEN_ACL),
        Conflict.RECORD,
        None,
    ),
    "a failure of the dropped version is gone": (
        drop,
        Delete(f"{V}/failed.m9"),
        Conflict.RECORD,
        None,
    ),
    "the new version is known": (
        new_version,
        Create(f"{BASE}/versions/{NEW.digest}", b"", OPEN_ACL),
        Conflict.RECORD,
        None,
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflicts(name: str) -> None:
    """Whatever is not as it was read is reported as its conflict, and nothing is written."""
    make, meanwhile, conflict, number = CONFLICTS[name]
    group = fresh()
    request = make(group)
    outcomes = group.server.transact([meanwhile])
    assert not isinstance(outcomes[0], Exception)
    before = dict(group.server.nodes)
    assert group.ask(request) == CommitRefused(0, conflict, number)
    assert group.server.nodes == before


def test_many_fail_at_once_without_a_conflict() -> None:
    """Failures, releases and confirmations that rest on the same read do not disturb each other."""
    group = fresh()
    record = group.record
    requests = [
        own_failure(group),
        group.request(record.release("m2", OLD)),
        group.request(record.fail("m8", "t", OLD, "why")),
    ]
    assert [type(group.ask(request)) for request in requests] == [RecordCommitted] * 3
    state = group.record.versions[OLD.digest]
    assert (state.failed_by, state.succeeded) == (("m1", "m8"), 10)


def test_a_failure_is_noticed_by_an_admission_that_follows_the_own_one() -> None:
    """The version of a znode that was written over any version counts only the own write."""
    group = fresh()
    mine, other = own_failure(group), group.request(group.record.fail("m8", "t", OLD, "w"))
    assert isinstance(group.ask(other), RecordCommitted)
    committed = group.ask(mine)
    assert isinstance(committed, RecordCommitted)
    assert committed.basis.versions[OLD.digest].version == 1
    assert group.version(f"versions/{OLD.digest}") == 2
    tried = CommitRecord(0, mine.after, mine.after, committed.basis, tried=OLD.digest)
    assert group.ask(tried) == CommitRefused(0, Conflict.RECORD)


@pytest.mark.parametrize("missing", ["the version", "the count"])
def test_what_was_deleted_by_hand_is_repaired(missing: str) -> None:
    """A version without its znodes, or with only a part of them, has them after the next commit."""
    group = fresh()
    group.server.transact([Delete(f"{V}/succeeded")])
    if missing != "the count":
        group.server.transact([Delete(V)])
    record = group.record
    assert record.versions[OLD.digest].succeeded == 0
    group.commit(record.release("m1", OLD))
    assert group.record.versions[OLD.digest].succeeded == 1
    assert group.count(f"versions/{OLD.digest}") == 1


def test_a_failure_that_only_an_entry_shows_is_written_with_the_next_commit() -> None:
    """A version without a decision gets one together with its znodes, also by a confirmation."""
    group = GroupModel()
    failed = replace(entry("m1", OLD), phase=EntryPhase.FAILED)
    group.commit(RolloutRecord(in_flight={"m1": failed}))
    group.commit(group.record, confirms="m1")
    decided = decode(group.server.nodes[group.paths.state].content)
    assert decided.versions.keys() == {OLD.digest}
    assert group.count(f"versions/{OLD.digest}") == 2
    assert group.record.versions[OLD.digest].failed_by == ("m1",)


def test_znodes_that_a_version_left_behind_are_replaced() -> None:
    """The znodes of a version that no decision is about are made anew with it."""
    group = fresh()
    path = f"{BASE}/versions/{NEW.digest}"
    for left in (path, f"{path}/failed.m3", f"{path}/lost.t", f"{path}/more"):
        group.server.commit((left, b""))
    read = group.read(digests=frozenset({NEW.digest}))
    assert NEW.digest not in read.record.versions
    failed = read.record.fail("m9", "t", NEW, "why")
    committed = group.ask(CommitRecord(0, read.record, failed, read.basis))
    assert isinstance(committed, RecordCommitted)
    state = group.record.versions[NEW.digest]
    assert (state.failed_by, state.lost_turns) == (("m9",), 0)
    assert group.count(f"versions/{NEW.digest}") == 2


def test_a_conflict_about_unknown_znodes_is_resolved() -> None:
    """A member that meets znodes of a version that it did not read reads them next time."""
    group = fresh()
    group.server.commit((f"{BASE}/versions/{NEW.digest}", b""))
    store = group.connection("m1")
    for expected in (CommitRefused, RecordCommitted):
        read = run(store.read(ReadRecord(0)), group.server)
        failed = read.record.fail("m9", "t", NEW, "why")
        request = CommitRecord(0, read.record, failed, read.basis)
        assert isinstance(run(store.commit(request, write), group.server), expected)


def test_a_part_of_the_group_that_an_operator_deleted() -> None:
    """A commit that needs a deleted part makes it, and can be tried again."""
    group = fresh()
    for member in ("m1", "m2"):
        group.commit(group.record.release(member, None))
    group.server.transact([Delete(f"{BASE}/in_flight")])
    admitted = group.record.admit("m3", entry("m3", OLD), OLD.scope)
    assert isinstance(admitted, RolloutRecord)
    request = group.request(replace(admitted, in_flight={"m3": admitted.in_flight["m3"]}))
    assert group.ask(request) == CommitRefused(0, Conflict.RECORD)
    assert isinstance(group.ask(request), RecordCommitted)


def test_a_commit_without_a_difference_sends_nothing() -> None:
    """If nothing differs, and nothing is to be checked, no request is sent."""
    group = fresh()
    read = group.read()
    request = CommitRecord(0, read.record, read.record, read.basis)
    zxid = group.server.zxid
    assert group.ask(request) == RecordCommitted(0, read.basis)
    assert group.server.zxid == zxid
