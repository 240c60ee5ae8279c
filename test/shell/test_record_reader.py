"""The record as it is read from a group's znodes: at one moment, with the watches that are wanted.

A model server answers, so that a write can fall between any two requests.
"""

import itertools
from typing import Any

import pytest

from support.group_model import BASE, NOW, GroupModel
from support.model_server import CHILDREN, converse, run
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.group_actions import CommitRecord, ReadRecord, Watch
from zkexec.core.rollout.group_events import GroupPart, RecordRead
from zkexec.core.rollout.limits import AgreedMaxFailed, AgreedMaxUnavailable, Population
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.record_basis import MISSING, RecordBasis, VersionBasis
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace
from zkexec.group import record_codec
from zkexec.group.bulk_read import MOST_AT_ONCE
from zkexec.group.entry_codec import encode_entry
from zkexec.group.record_reader import MOST_SURVEYED_AT_ONCE
from zkexec.group.store import GroupStore
from zkexec.zookeeper.errors import RefusedError
from zkexec.zookeeper.requests import Children, Delete, Exists, Get, MultiRead, Request

OLD_AND_NEW = pytest.mark.parametrize("is_old", [False, True], ids=["new server", "old server"])
D = "d" * 64
ENTRY = InFlightEntry("t", D, 5, since=3.0, admission=1)
VERSION = ConfigVersion(D, 5, "scope")
STATE = VersionState(5, "scope", known_good=True)


def group_in_flight(*members: str, is_old: bool = False) -> GroupModel:
    """A group with a known good version, and these members in flight with it."""
    group = GroupModel(is_old=is_old)
    group.commit(
        RolloutRecord(
            in_flight=dict.fromkeys(members, ENTRY), versions={D: STATE}, admissions=len(members)
        )
    )
    return group


def sent(store: GroupStore, request: ReadRecord, group: GroupModel) -> list[list[str]]:
    """The requests of a read, batch by batch; a watch is marked with a star."""
    conversation = converse(store.read(request), group.server, lambda: None)
    return [[named(each) for each in batch] for batch in conversation]


def named(request: Request) -> str:
    """A request in short."""
    if isinstance(request, MultiRead):
        return f"MultiRead of {len(request.paths)}"
    assert isinstance(request, Get | Exists | Children)
    mark = "*" if request.watch is not None else ""
    return f"{type(request).__name__}{mark} {request.path.removeprefix(f'{BASE}/')}"


@OLD_AND_NEW
def test_everything_is_read(is_old: bool) -> None:
    """Decisions, the own entry, numbers, names of unavailable members, and who requested limits."""
    group = group_in_flight("m1", "m2", is_old=is_old)
    limits: dict[str, Any] = {
        "max_unavailable": AgreedMaxUnavailable(MaxUnavailable(2), "m2"),
        "max_failed": AgreedMaxFailed(MaxFailed(1), "m3"),
    }
    group.commit(replace(group.record, **limits))
    group.commit(replace(group.record, versions={D: replace(STATE, succeeded=3)}))
    for path in ("members/m1", "members/m2", "unavailable/m7", "zones/east/m1", "zones/east/m2"):
        if path.startswith("zones") and f"{BASE}/zones/east" not in group.server.nodes:
            group.make("zones/east")
        group.make(path, ephemeral=True)
    group.make("members/m3")
    found = group.read("m2", limits=True, zones=frozenset({"east", "west"}))
    assert found.record == RolloutRecord(
        in_flight={"m2": ENTRY}, versions={D: replace(STATE, succeeded=3)}, admissions=2, **limits
    )
    assert found.record.in_flight_count == 2
    assert found.record.population == Population(3, {"east": 2, "west": 0})
    assert found.record.unavailable == {"m7"}
    # The node of m3 lasts, so it belongs to no session.
    assert found.alive == {"m2"}
    version = {D: VersionBasis(0, ("succeeded",))}
    assert found.basis == RecordBasis(state=2, entries={"m2": 0}, versions=version)


@OLD_AND_NEW
def test_a_survey(is_old: bool) -> None:
    """A survey reads the entries of all members in flight, and which of them are alive."""
    members = [f"m{number:03}" for number in range(MOST_AT_ONCE)]
    group = group_in_flight(*members, is_old=is_old)
    for number in range(0, MOST_AT_ONCE, 2):
        group.make(f"members/m{number:03}", ephemeral=True)
    found = group.read(survey=True)
    assert [*found.record.in_flight] == members
    assert found.alive == {*members[::2]}
    assert found.basis.entries == dict.fromkeys(members, 0)
    assert group.read().record.in_flight == {}
    assert group.read().record.in_flight_count == MOST_AT_ONCE


def watching(group: GroupModel, member: str = "m1") -> GroupStore:
    """The store of a member that has read who is in flight, and watches that."""
    store = group.connection(member)
    sent(store, ReadRecord(0, Watch.ROOM, frozenset({D})), group)
    return store


def surveyed(store: GroupStore, group: GroupModel) -> RecordRead:
    """What a survey on this connection reads."""
    found = run(store.read(ReadRecord(0, survey=True)), group.server)
    assert isinstance(found, RecordRead)
    return found


@OLD_AND_NEW
def test_a_survey_of_those_that_are_watched(is_old: bool) -> None:
    """A survey reads the same, whether a watch has shown before who is in flight or not."""
    group = group_in_flight("m1", "m2", "m3", is_old=is_old)
    group.make("members/m2", ephemeral=True)
    group.make("members/m3")
    found = surveyed(watching(group), group)
    assert found == group.read(survey=True)
    assert found.record.in_flight == dict.fromkeys(("m1", "m2", "m3"), ENTRY)
    assert found.alive == {"m2"}


@pytest.mark.parametrize("own", ["m000", "outside"])
def test_few_are_surveyed_at_once(own: str) -> None:
    """Up to fifty members are surveyed by the request that reads the decisions."""
    members = [f"m{number:03}" for number in range(MOST_SURVEYED_AT_ONCE)]
    group = group_in_flight(*members)
    store = watching(group, own)
    read = 6 if own in members else 7
    for _ in range(2):
        batches = sent(store, ReadRecord(0, survey=True), group)
        assert batches == [[f"MultiRead of {read + 2 * MOST_SURVEYED_AT_ONCE}"]]


def test_many_are_surveyed_by_their_names() -> None:
    """More than fifty are listed, and read by a request of their own."""
    members = [f"m{number:03}" for number in range(MOST_SURVEYED_AT_ONCE + 1)]
    group = group_in_flight(*members)
    assert sent(watching(group), ReadRecord(0, survey=True), group) == [
        ["MultiRead of 7"],
        ["Children in_flight"],
        [f"MultiRead of {2 * len(members)}"],
    ]


def test_none_in_flight_are_surveyed() -> None:
    """If no member is in flight, a survey finds none."""
    group = group_in_flight()
    found = surveyed(watching(group), group)
    assert (found.record.in_flight, found.record.in_flight_count) == ({}, 0)
    assert found.alive == frozenset()


def test_a_survey_without_a_watch_lists_those_in_flight() -> None:
    """Without a watch, a member that was admitted since the last list would be overlooked."""
    group = group_in_flight("m1", "m2")
    store = group.connection("m1")
    lists = ["Children in_flight"]
    sent(store, ReadRecord(0, Watch.DECISIONS, frozenset({D})), group)
    for _ in range(2):
        assert lists in sent(store, ReadRecord(0, survey=True), group)


def test_the_first_survey_with_a_watch_lists_those_in_flight() -> None:
    """A survey that sets the watch itself does not know their names before."""
    group = group_in_flight("m1", "m2")
    request = ReadRecord(0, Watch.ROOM, frozenset({D}), survey=True)
    store = group.connection("m1")
    assert sent(store, request, group) == [
        ["Children* in_flight", "MultiRead of 7"],
        ["Children in_flight"],
        ["MultiRead of 4"],
    ]
    assert sent(store, request, group) == [["MultiRead of 10"]]


def test_names_are_forgotten_when_the_watch_fires() -> None:
    """A member that was admitted since then is surveyed as well."""
    group = group_in_flight("m1", "m2")
    store = watching(group)
    admitted = {**group.record.in_flight, "m3": ENTRY}
    group.commit(replace(group.record, in_flight=admitted, admissions=3))
    assert group.fired == [group.paths.in_flight]
    store.fired(GroupPart.IN_FLIGHT, group.paths.in_flight)
    assert ["Children in_flight"] in sent(store, ReadRecord(0, survey=True), group)
    assert [*surveyed(store, group).record.in_flight] == ["m1", "m2", "m3"]


def test_names_are_not_kept_if_the_watch_fires_during_the_read() -> None:
    """A member that was admitted between two requests of a read is surveyed as well."""
    group = group_in_flight("m1", "m2")
    store = group.connection("m1")
    requests = itertools.count()

    def admit() -> None:
        if next(requests) == 1:
            group.server.commit((group.paths.entry("m3"), encode_entry(ENTRY, NOW)))
            store.fired(GroupPart.IN_FLIGHT, group.paths.in_flight)

    run(store.read(ReadRecord(0, Watch.ROOM)), group.server, admit)
    assert group.fired == [group.paths.in_flight]
    assert [*surveyed(store, group).record.in_flight] == ["m1", "m2", "m3"]


@pytest.mark.parametrize("path", ["state", "unavailable"])
def test_names_are_kept_when_another_watch_fires(path: str) -> None:
    """A change of the decisions, or of those unavailable, admits no member by itself."""
    group = group_in_flight("m1", "m2")
    store = watching(group)
    store.fired(group.part(path), f"{BASE}/{path}")
    assert len(sent(store, ReadRecord(0, survey=True), group)) == 1


def test_names_are_forgotten_after_an_error() -> None:
    """It is open then whether the watch is set."""
    group = group_in_flight("m1", "m2")
    store = watching(group)
    group.server.permit(group.paths.state, is_readable=False)
    with pytest.raises(RefusedError, match="no permission"):
        surveyed(store, group)
    group.server.permit(group.paths.state, is_readable=True)
    assert ["Children in_flight"] in sent(store, ReadRecord(0, survey=True), group)


def test_a_watch_for_the_making_shows_no_names() -> None:
    """Who is in flight below a znode that did not exist is listed, as no watch was set on them."""
    group = GroupModel()
    group.server.transact([Delete(group.paths.in_flight)])
    store = watching(group)
    group.server.commit((group.paths.in_flight, b""))
    group.server.commit((group.paths.entry("m2"), encode_entry(ENTRY, NOW)))
    assert [*surveyed(store, group).record.in_flight] == ["m2"]


def test_a_turn_that_ends_before_its_watch_has_fired() -> None:
    """The member is not in flight, although its name is still known."""
    group = group_in_flight("m1", "m2")
    store = watching(group)
    group.commit(group.record.release("m2", None))
    found = surveyed(store, group)
    assert found.record.in_flight == {"m1": ENTRY}
    assert found.record.in_flight_count == 1
    assert found.basis.entries == {"m1": 0}


@pytest.mark.parametrize("is_watched", [True, False])
def test_a_member_that_may_not_be_read_counts_as_alive(is_watched: bool) -> None:
    """A node without a permission to read it exists."""
    group = group_in_flight("m1", "m2")
    group.make("members/m2", ephemeral=True)
    group.server.permit(f"{BASE}/members/m2", is_readable=False)
    store = watching(group) if is_watched else group.connection("m1")
    assert surveyed(store, group).alive == {"m2"}


def test_what_a_read_costs() -> None:
    """A read is one batch; watches are set once, and names are listed only if they are needed."""
    group = group_in_flight("m1")
    store = group.connection("m1")
    first = sent(store, ReadRecord(0, Watch.BOTH, frozenset({D})), group)
    assert first == [["Children* in_flight", "Get* state", "MultiRead of 7"]]
    assert sent(store, ReadRecord(0, Watch.BOTH), group) == [["MultiRead of 7"]]
    group.make("unavailable/m2", ephemeral=True)
    group.commit(group.record.fail("m2", "t", VERSION, "why"))
    lists = ["Children versions/" + D, "Children* unavailable"]
    store.fired(GroupPart.RECORD, group.paths.state)
    again = sent(store, ReadRecord(0, Watch.BOTH), group)
    assert again == [["Get* state", "MultiRead of 7"], lists]
    assert sent(store, ReadRecord(0, Watch.ROOM), group)[1] == [lists[0], "Children unavailable"]


def test_what_a_read_costs_without_the_versions() -> None:
    """If the decisions name versions that were not expected, these are read in a second batch."""
    group = group_in_flight("m1")
    store = group.connection("m1")
    assert sent(store, ReadRecord(0), group) == [["MultiRead of 5"], ["MultiRead of 3"]]
    assert sent(store, ReadRecord(0), group) == [["MultiRead of 7"]]


@pytest.mark.parametrize(
    ("watch", "fires"),
    [
        (Watch.NOTHING, []),
        (Watch.ROOM, ["in_flight"]),
        (Watch.DECISIONS, ["state"]),
        (Watch.BOTH, ["in_flight", "state"]),
    ],
)
def test_what_is_watched(watch: Watch, fires: list[str]) -> None:
    """Each kind of watch fires for its part: the members in flight, or the decisions."""
    group = group_in_flight("m1", "m2")
    group.read(watch=watch)
    group.commit(replace(group.record, last_admitted=8))
    group.commit(group.record.release("m2", None))
    assert sorted(path.removeprefix(f"{BASE}/") for path in group.fired) == fires


def test_the_watch_on_those_in_flight_fires_for_a_failure() -> None:
    """A member that waits for room notices a failure, and no confirmation."""
    group = group_in_flight("m1", "m2")
    group.read("m3", watch=Watch.ROOM)
    group.commit(group.record, confirms="m2")
    assert group.fired == []
    group.commit(group.record.fail("m2", "t", VERSION, "why"))
    assert {*group.fired} == {group.paths.in_flight}


@pytest.mark.parametrize("missing", ["state", "in_flight"])
def test_what_is_missing_is_watched(missing: str) -> None:
    """If there is nothing to read yet, a second request watches for its making."""
    group = GroupModel()
    path = f"{BASE}/{missing}"
    group.server.transact([Delete(path)])
    store = group.connection("m1")
    batches = sent(store, ReadRecord(0, Watch.BOTH), group)
    assert batches[1] == [f"Exists* {missing}", "MultiRead of 5"]
    assert sent(store, ReadRecord(0, Watch.BOTH), group) == [["MultiRead of 5"]]
    group.server.commit((path, b""))
    assert group.fired == [path]


def test_what_was_missing_and_is_made_meanwhile_is_watched() -> None:
    """If the znode above the entries is made between two requests, its children are watched."""
    group = GroupModel()
    group.server.transact([Delete(group.paths.in_flight)])
    requests = itertools.count()

    def make_it() -> None:
        if next(requests) == 2:
            group.server.commit((group.paths.in_flight, b""))

    group.read(watch=Watch.ROOM, between=make_it)
    assert (CHILDREN, group.paths.in_flight) in group.server.watches
    group.make("in_flight/m2")
    assert group.fired == [group.paths.in_flight]


@pytest.mark.parametrize("first", ["state", "in_flight"])
def test_a_read_that_failed_is_repeated_with_its_watches(first: str) -> None:
    """After an error all watches are set again, as it is open which ones are set."""
    group = group_in_flight("m1")
    store = group.connection("m1")
    group.server.permit(f"{BASE}/{first}", is_readable=False)
    request = ReadRecord(0, Watch.BOTH, frozenset({D}))
    for _ in range(2):
        with pytest.raises(RefusedError, match="no permission"):
            sent(store, request, group)
    group.server.permit(f"{BASE}/{first}", is_readable=True)
    assert sent(store, request, group) == [["Children* in_flight", "Get* state", "MultiRead of 7"]]


def test_nothing_exists_yet() -> None:
    """Before a member has enrolled there is no record, and nothing to write over."""
    group = GroupModel()
    group.server.transact([Delete(p) for p in [*group.server.nodes] if p.startswith(f"{BASE}/")])
    found = group.read(survey=True, zones=frozenset({"z"}), digests=frozenset({D}))
    assert (found.record, found.basis) == (RolloutRecord(), RecordBasis(MISSING))
    with pytest.raises(RefusedError, match="the member has to enrol first"):
        group.ask(CommitRecord(0, found.record, found.record, found.basis))


@OLD_AND_NEW
def test_the_number_in_flight_fits_the_decisions(is_old: bool) -> None:
    """However fast others admit and release, decisions and number are of one moment.

    On an old server the number may be that of a later moment, but no member is missing in it.
    """
    group = group_in_flight(is_old=is_old)
    turn = itertools.cycle(range(2))

    def admit_or_release() -> None:
        # Those in flight are as many as `last_admitted` shows.
        number = next(turn)
        paths = group.paths
        record = replace(RolloutRecord(versions={D: STATE}), last_admitted=1 - number)
        group.server.commit(
            (paths.state, record_codec.encode(record, NOW)),
            (paths.entry("m9"), None if number else encode_entry(ENTRY, NOW)),
        )

    reads = 0
    for _ in range(30):
        found = group.read("m1", between=admit_or_release, digests=frozenset({D}))
        reads += found.record.in_flight_count
        if is_old:
            continue
        assert found.record.in_flight_count == found.record.last_admitted
    assert reads or is_old


def test_versions_that_change_all_the_time() -> None:
    """A read starts over if the decisions have changed before their versions are read."""
    group = group_in_flight()
    changes = iter(range(6))

    def decide_anew() -> None:
        if (number := next(changes, None)) is not None:
            record = RolloutRecord(versions={f"{number}" * 64: STATE}, last_admitted=number)
            group.server.commit((group.paths.state, record_codec.encode(record, NOW)))

    found = group.read(between=decide_anew)
    assert found.record.last_admitted == 5
    assert found.record.versions.keys() == {"5" * 64}


def test_decisions_that_never_rest() -> None:
    """A record that changes during each attempt is given up in one line that names it."""
    group = group_in_flight()
    numbers = itertools.count()

    def decide_anew() -> None:
        record = RolloutRecord(versions={f"version-{next(numbers)}": STATE})
        group.server.commit((group.paths.state, record_codec.encode(record, NOW)))

    with pytest.raises(RefusedError, match=r"^/g/state: was changed during each of"):
        group.read(between=decide_anew)


def test_a_version_that_is_gone_when_its_znodes_are_listed() -> None:
    """If a version is dropped while its failures are listed, none are read."""
    group = group_in_flight()
    group.commit(group.record.fail("m2", "t", VERSION, "why"))
    requests = itertools.count()

    def drop() -> None:
        if next(requests) == 1:
            group.server.transact(
                [
                    *(Delete(f"{BASE}/versions/{D}/{name}") for name in ("failed.m2", "succeeded")),
                    Delete(f"{BASE}/versions/{D}"),
                ]
            )

    found = group.read(between=drop, digests=frozenset({D}))
    assert found.record.versions[D].failed_by == ()


def test_a_failure_without_the_count_of_successes() -> None:
    """A failure is read even if it is the only znode below that of its version."""
    group = group_in_flight()
    group.commit(group.record.fail("m2", "t", VERSION, "why"))
    group.server.transact([Delete(f"{BASE}/versions/{D}/succeeded")])
    assert group.record.versions[D].failed_by == ("m2",)


def test_an_entry_is_never_newer_than_the_transaction_that_wrote_it() -> None:
    """A zxid from another history is lowered, in the decisions and in an entry."""
    group = GroupModel()
    far = 2**62
    group.commit(
        RolloutRecord(
            in_flight={"m1": replace(ENTRY, zxid=far)}, versions={D: replace(STATE, zxid=far)}
        )
    )
    record = group.read().record
    assert (record.in_flight["m1"].zxid, record.versions[D].zxid) == (group.server.zxid,) * 2
    assert record.versions[D].scope == ""


@OLD_AND_NEW
def test_an_unreadable_entry(is_old: bool) -> None:
    """The entry of another member counts even if it is unreadable; the own one is refused."""
    group = group_in_flight("m2", is_old=is_old)
    group.make("in_flight/m1", b'{"format":9}')
    group.make("members/m1", ephemeral=True)
    found = group.read("m3", survey=True)
    assert [*found.record.in_flight] == ["m2"]
    assert (found.record.in_flight_count, found.alive) == (2, frozenset({"m1"}))
    with pytest.raises(RefusedError, match=r"^/g/in_flight/m1: .* newer zkexec \(format 9\)$"):
        group.read("m1")


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("state", b"rubbish", "the record is no valid JSON"),
        (
            "state",
            b'{"format":1}',
            (
                "the record has format 1, which this zkexec does not read: "
                "stop the zkexec that writes it, and delete the znode"
            ),
        ),
        ("state", b'{"format":3}', "the record was written by a newer zkexec (format 3)"),
        (f"versions/{D}", b"[]", "expected a JSON object as the summary of failures"),
        ("in_flight/m1", b"{}", "expected a JSON number as 'format' of the entry"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_path(
    path: str, content: bytes, reason: str
) -> None:
    """The reason names the znode, in one line."""
    group = group_in_flight("m1")
    group.server.commit((f"{BASE}/{path}", content))
    with pytest.raises(RefusedError) as refused:
        group.read()
    assert str(refused.value) == f"{BASE}/{path}: {reason}"


@pytest.mark.parametrize("path", ["state", "in_flight", "unavailable", f"versions/{D}"])
@pytest.mark.parametrize("watch", list(Watch))
def test_what_may_not_be_read(path: str, watch: Watch) -> None:
    """Without a permission the znode is named."""
    group = group_in_flight("m1")
    group.make("unavailable/m2", ephemeral=True)
    group.server.permit(f"{BASE}/{path}", is_readable=False)
    with pytest.raises(RefusedError, match=f"^/g/{path}: the cluster gives no permission"):
        group.read(watch=watch)


def test_unknown_znodes_are_ignored() -> None:
    """A znode that no member makes changes nothing of what is read."""
    group = group_in_flight("m1")
    before = group.record
    for path in (f"versions/{D}/more", f"versions/{D}/failed.", f"versions/{'e' * 64}", "else"):
        group.make(path)
    assert group.record == before


def test_a_failure_without_a_version() -> None:
    """An entry that has failed is a failure itself, if no decision is about its version."""
    group = GroupModel()
    failed = replace(ENTRY, phase=EntryPhase.FAILED)
    group.commit(RolloutRecord(in_flight={"m1": failed, "m2": failed}))
    state = group.record.versions[D]
    assert state == VersionState(
        5, "", failed_by=("m1", "m2"), reason="the record does not say why", at=3.0
    )
    assert group.read("m2").record.versions[D].failed_by == ("m2",)
