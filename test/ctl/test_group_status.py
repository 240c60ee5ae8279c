"""What follows from a group's znodes, without a cluster: members, progress, times, states."""

import re

import pytest

from support.group_samples import (
    NEW,
    OLD,
    PATH,
    START,
    duplicate,
    entry,
    facts,
    failed_on,
    group_status,
    on,
    paused,
    sharing,
    waiting,
)
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxUnavailable
from zkexec.core.rollout.record import EntryPhase
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.turn import MemberStatus
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.member_row import MISSING, UNREADABLE, LastWrite, MemberZnode
from zkexec.ctl.status.phrases import (
    absent_inputs,
    headline,
    member_failures,
    waits_for,
)
from zkexec.frozen import replace
from zkexec.group.version_codec import MemberFailure

OTHER = "/app/second"
FAILURE = MemberFailure("exit status 1", "check", START + 22, 20)


def is_up_to_date(name: str, group: GroupStatus) -> bool:
    """Whether this member is up to date."""
    return next(row for row in group.rows if row.name == name).is_up_to_date


def elsewhere(seen: MemberZnode, *paths: str) -> MemberZnode:
    """The same member with other inputs."""
    return replace(seen, facts=facts(paths=paths))


def test_a_group_is_complete_if_all_run_the_newest() -> None:
    """A group is complete if all members have read the newest write and run it, without a turn."""
    group = group_status({"m1": on(NEW, 20), "m2": on(NEW, 20)})

    assert group.state is GroupState.COMPLETE
    assert group.is_complete
    assert (group.up_to_date_count, len(group.rows)) == (2, 2)


def test_a_member_behind_its_inputs_is_not_up_to_date() -> None:
    """A frozen member shows that it runs what it wants, and is behind its inputs all the same."""
    group = group_status({"m1": on(NEW, 20), "m2": on(OLD, 10)})

    assert not is_up_to_date("m2", group)
    assert group.rows[1].inputs_behind == (PATH,)
    assert group.state is GroupState.ROLLING


@pytest.mark.parametrize(
    "unfinished",
    [
        on(NEW, 20, phase="verifying"),
        on(NEW, 20, phase="failed"),
        on(OLD, 20, phase="blocked", wanted=NEW),
        on(NEW, 20, phase="a word of a later version"),
        on(OLD, 20, wanted=NEW),
        MemberZnode(error="the member status is no valid JSON"),
    ],
)
def test_a_member_that_does_not_run_what_it_wants_is_not_up_to_date(
    unfinished: MemberZnode,
) -> None:
    """Only a readable status with the phase running, on the wanted version, counts."""
    group = group_status({"m1": on(NEW, 20), "m2": unfinished})

    assert not is_up_to_date("m2", group)
    assert group.state is GroupState.ROLLING


def test_a_turn_that_is_not_released_is_not_the_end() -> None:
    """A member that runs the newest and still has its turn can still fail."""
    group = group_status({"m1": on(NEW, 20)}, in_flight={"m1": entry()})

    assert group.rows[0].is_in_flight
    assert group.state is GroupState.ROLLING


def test_the_version_is_that_of_the_newest_write() -> None:
    """The digest comes from members that have read the newest write; before that there is none."""
    seen = group_status({"m1": on(OLD, 10), "m2": waiting()})
    unseen = group_status({"m1": on(OLD, 10), "m2": on(OLD, 10)})

    assert [progress.digest for progress in seen.progress] == [NEW]
    assert [(progress.digest, progress.zxid) for progress in unseen.progress] == [("", 20)]
    assert unseen.state is GroupState.ROLLING


def test_an_input_that_may_not_be_read_does_not_count() -> None:
    """If it is not known whether an input exists, the other inputs decide."""
    group = group_status({"m1": on(NEW, 20)}, znodes={})

    assert group.state is GroupState.COMPLETE


def test_no_member_is_up_to_date_with_an_input_that_does_not_exist() -> None:
    """Members with this input are not up to date, whatever they run; the others are."""
    members = {"m1": on(NEW, 20), "m2": on(NEW, 20), "m3": elsewhere(on(OLD, 15), OTHER)}
    group = group_status(members, znodes={OTHER: LastWrite(15, START + 15)}, absent=(PATH,))

    assert group.state is GroupState.ROLLING
    assert [(row.absent, row.is_up_to_date) for row in group.rows] == [
        ((PATH,), False),
        ((PATH,), False),
        ((), True),
    ]
    assert {progress.inputs: progress.missing for progress in group.progress} == {
        (OTHER,): (),
        (PATH,): (PATH,),
    }
    assert headline(group, START) == "web: 1 of 3 up to date"
    assert waits_for(group) == f"{PATH}, which does not exist"


def test_a_missing_input_and_a_member_in_flight_are_both_waited_for() -> None:
    """The missing input is named whatever else happens, and the headline has no digest."""
    group = group_status({"m1": on(NEW, 20)}, in_flight={"m1": entry()}, znodes={}, absent=(PATH,))
    alone = group_status({"m1": on(NEW, 20)}, znodes={}, absent=(PATH,))

    assert waits_for(group) == f"m1 in flight; {PATH}, which does not exist"
    assert headline(alone, START) == "web: 0 of 1 up to date"
    (text,) = absent_inputs(alone)
    assert text == (
        f"{PATH} does not exist; until it does, the files of these members stay as they are: m1; "
        f"to create it: zkexecctl push {PATH}=FILE"
    )


def test_a_former_failure_does_not_count_if_an_input_is_missing() -> None:
    """If all run what once failed elsewhere, the end of their input is no failure."""
    group = group_status({"m2": on(NEW, 20)}, versions=failed_on("m1"), znodes={}, absent=(PATH,))

    assert group.state is GroupState.ROLLING


def test_members_that_want_different_contents_are_not_all_up_to_date() -> None:
    """A member with other contents of the same inputs than most is not up to date, and shows it."""
    members = {"m1": on(OLD, 20), "m2": on(NEW, 20), "m3": on(NEW, 20)}
    group = group_status(members)

    assert [row.others_want for row in group.rows] == [NEW, "", ""]
    assert (group.up_to_date_count, group.state) == (2, GroupState.ROLLING)
    assert waits_for(group) == f"m1 wants {OLD[:12]}"


def test_the_same_contents_by_the_name_of_another_restart_are_the_same() -> None:
    """If the znode of restarts is gone, new members do not know the name of the last one."""
    members = {"m1": on(f"{NEW}.abcd", 20), "m2": on(NEW, 20), "m3": on(NEW, 20)}

    assert group_status(members).state is GroupState.COMPLETE


@pytest.mark.parametrize(("size", "state"), [(0, GroupState.COMPLETE), (5, GroupState.ROLLING)])
def test_a_requested_restart_counts(size: int, state: GroupState) -> None:
    """The znode of restarts counts like an input, if it is not empty."""
    group = group_status({"m1": on(NEW, 20)}, restart=LastWrite(25, START + 25, size))

    assert group.state is state


def test_a_failure_of_the_wanted_version_stops_the_rollout() -> None:
    """A failure of the newest version is the state of the group, with the member."""
    members = {"m1": on(NEW, 20, phase="failed"), "m2": waiting()}
    group = group_status(
        members, versions=failed_on("m1"), in_flight={"m1": entry(EntryPhase.FAILED)}
    )

    assert group.state is GroupState.FAILED
    assert group.needs_operator
    assert group.failure is not None
    assert group.failure.failure is not None
    assert group.failure.failure.failed_by == ("m1",)


def test_a_newer_push_supersedes_a_failure() -> None:
    """A former failure does not count after a newer write."""
    members = {"m1": on(NEW, 20, phase="failed"), "m2": waiting()}
    group = group_status(members, zxid=30, versions=failed_on("m1"))

    assert group.state is GroupState.ROLLING
    assert not group.needs_operator


def test_the_same_bytes_pushed_again_are_a_new_try() -> None:
    """A failure counts up to its zxid, as it does for the members."""
    group = group_status({"m1": waiting(30), "m2": waiting(30)}, zxid=30, versions=failed_on("m1"))

    assert group.state is GroupState.ROLLING


def test_a_failure_that_no_member_waits_for_is_over() -> None:
    """If all living members run the newest, it does not matter that it once failed elsewhere."""
    group = group_status({"m2": on(NEW, 20)}, versions=failed_on("m1"))

    assert group.state is GroupState.COMPLETE
    assert not group.needs_operator


def test_a_pause_is_shown_even_if_no_member_waits() -> None:
    """A pause is the state of the group, and stops nothing if all are up to date."""
    group = group_status({"m1": on(NEW, 20)}, paused=paused())

    assert group.state is GroupState.PAUSED
    assert group.is_complete
    assert not group.needs_operator


def test_a_pause_stops_members_without_a_turn() -> None:
    """A member in flight finishes in spite of a pause; one that waits does not."""
    last = group_status({"m1": waiting()}, paused=paused(), in_flight={"m1": entry()})
    more = group_status(
        {"m1": waiting(), "m2": waiting()}, paused=paused(), in_flight={"m1": entry()}
    )

    assert not last.needs_operator
    assert more.needs_operator


def test_a_member_that_is_gone_in_its_turn_is_missing() -> None:
    """A turn without a member's znode has a row, and the group is not complete without it."""
    group = group_status({"m2": on(NEW, 20)}, in_flight={"m1": entry()})

    assert [(row.name, row.phase, row.queue_position) for row in group.missing] == [
        ("m1", MISSING, None)
    ]
    assert (group.up_to_date_count, len(group.rows)) == (1, 2)
    assert group.state is GroupState.ROLLING
    assert group.progress[0].total == 2


def test_a_group_without_members_is_empty() -> None:
    """No living member is a state of its own, also if one is missing."""
    assert group_status({}).state is GroupState.EMPTY
    assert group_status({}, in_flight={"m1": entry()}).state is GroupState.EMPTY
    assert not group_status({}).is_complete


def test_what_cannot_be_read_is_a_state() -> None:
    """A record that is not understood, and a group that does not exist, are states too."""
    assert group_status({"m1": on(NEW, 20)}, error="newer").state is GroupState.UNREADABLE
    assert not group_status({"m1": on(NEW, 20)}, error="newer").is_complete
    assert group_status({}, exists=False).state is GroupState.GONE


def test_a_status_that_is_not_understood_is_a_row() -> None:
    """A member whose status is not understood has a row with the error."""
    group = group_status({"m1": MemberZnode(error="the member status is no valid JSON")})

    assert [(row.phase, row.reason) for row in group.rows] == [
        (UNREADABLE, "the member status is no valid JSON")
    ]


def test_members_are_sorted_as_people_count() -> None:
    """The second comes before the tenth."""
    group = group_status({name: on(NEW, 20) for name in ("m10", "m2", "web-2", "m1", "web-10b")})

    assert [row.name for row in group.rows] == ["m1", "m2", "m10", "web-2", "web-10b"]


def test_queue_positions_are_those_of_the_queue() -> None:
    """The first in the queue has position 1; a member in flight has none."""
    members = {"m1": waiting(), "m2": waiting(), "m3": waiting()}
    group = group_status(members, queue=("m3", "m1", "m2"), in_flight={"m2": entry()})

    assert {row.name: row.queue_position for row in group.rows} == {
        "m1": 2,
        "m2": None,
        "m3": 1,
    }
    assert [row.name for row in group.waiting] == ["m3", "m1"]
    assert [row.name for row in group.in_flight] == ["m2"]


def test_each_set_of_inputs_has_its_own_progress() -> None:
    """Members with other inputs are up to date with these, whatever happens to the others."""
    group = group_status(
        {
            "m1": waiting(),
            "m2": elsewhere(on(OLD, 15), OTHER),
            "m3": elsewhere(waiting(), PATH, OTHER),
        },
        znodes={PATH: LastWrite(20, START + 20), OTHER: LastWrite(15, START + 15)},
    )

    assert [
        (progress.inputs, progress.up_to_date_count, progress.total) for progress in group.progress
    ] == [
        ((PATH,), 0, 1),
        ((PATH, OTHER), 0, 1),
        ((OTHER,), 1, 1),
    ]
    assert group.state is GroupState.ROLLING


def test_one_failed_set_of_inputs_fails_the_group() -> None:
    """A failure of one set of inputs is the state of the group, whatever the others do."""
    group = group_status(
        {"m1": waiting(), "m2": elsewhere(on(OLD, 25), OTHER)},
        znodes={PATH: LastWrite(20, START), OTHER: LastWrite(25, START)},
        versions=failed_on("m1"),
    )

    assert group.state is GroupState.FAILED
    assert group.failure is not None
    assert group.failure.inputs == (PATH,)


def test_how_long_it_takes_follows_from_the_pace() -> None:
    """If one of three took ten seconds, the other two take twenty, less what has passed."""
    members = {"m1": replace(on(NEW, 20), facts=facts(since=30)), "m2": waiting(), "m3": waiting()}
    (progress,) = group_status(members).progress

    assert progress.took_s(START + 34) == 14
    assert progress.remaining_s(START + 34) == 16
    assert progress.remaining_s(START + 60) is None


def test_how_long_it_took_ends_with_the_last_member() -> None:
    """The time ends when the last one ran the version; a member that came later does not count."""
    members = {
        "m1": replace(on(NEW, 20), facts=facts(since=30)),
        "m2": replace(on(NEW, 20), facts=facts(since=45)),
        "late": replace(on(NEW, 20), facts=facts(since=9000), created_at=START + 8999),
    }
    (progress,) = group_status(members).progress

    assert progress.took_s(START + 10_000) == 25
    assert progress.remaining_s(START + 10_000) is None


def test_no_time_is_shown_if_none_is_known() -> None:
    """Before a member is up to date there is no pace, and without a znode no start."""
    (unstarted,) = group_status({"m1": waiting()}).progress
    (nothing,) = group_status({"m1": on(NEW, 20)}, znodes={}).progress

    assert unstarted.remaining_s(START + 30) is None
    assert nothing.took_s(START + 30) is None


def test_clocks_that_differ_give_no_negative_times() -> None:
    """If our clock is behind that of the servers, no time has passed."""
    (progress,) = group_status({"m1": waiting(), "m2": on(NEW, 20)}).progress

    assert progress.took_s(START) == 0


def test_how_many_at_a_time_is_what_the_record_allows() -> None:
    """One member alone tries an untried version; a known good one goes as fast as allowed."""
    width = AgreedMaxUnavailable(MaxUnavailable(50, percent=True), "m1")
    members = {f"m{number}": waiting() for number in range(6)}
    (untried,) = group_status(members, max_unavailable=width).progress
    state = VersionState(20, "", known_good=True, succeeded=2)
    (known_good,) = group_status(members, max_unavailable=width, versions={NEW: state}).progress

    assert (untried.is_known_good, untried.allowed) == (False, 1)
    assert (known_good.is_known_good, known_good.allowed) == (True, 3)


def test_a_member_without_inputs_is_up_to_date() -> None:
    """Without inputs there is nothing to wait for."""
    nothing = MemberZnode(MemberStatus("running", OLD, OLD), facts(paths=()), START)

    assert group_status({"m1": nothing}).state is GroupState.COMPLETE


def test_a_duplicate_is_not_up_to_date() -> None:
    """A process whose ID another one has keeps the group from being complete, whatever it runs."""
    group = group_status({"m1": on(NEW, 20), "m1~0": duplicate("m1")})

    assert (group.up_to_date_count, len(group.rows), group.state) == (1, 2, GroupState.ROLLING)
    assert [row.name for row in group.duplicates] == ["m1~0"]
    assert not group.progress[0].is_complete


def test_a_duplicate_that_has_got_the_id_is_one_member() -> None:
    """While both of its znodes exist, only the one that stays is shown."""
    other = duplicate("m1")
    own = replace(on(NEW, 20), facts=facts())
    both = replace(other, facts=replace(other.facts or facts(), lock_file_id=facts().lock_file_id))
    group = group_status({"m1": own, "m1~0": both})

    assert [row.name for row in group.rows] == ["m1"]
    assert group.state is GroupState.COMPLETE


def test_a_duplicate_does_not_wait_for_the_end_of_a_pause() -> None:
    """The end of a pause would not help it, and a former failure is over for the others."""
    group = group_status({"m1": on(NEW, 20), "m1~0": duplicate("m1")}, paused=paused())
    failed = group_status({"m1": on(NEW, 20), "m1~0": duplicate("m1")}, versions=failed_on("m2"))

    assert not group.needs_operator
    assert failed.state is GroupState.ROLLING


def test_members_that_share_files() -> None:
    """Both are marked, although only the one that came later knows; no other member is."""
    seen = sharing(on(NEW, 20), "m1", "m9 of /zkexec/other")
    group = group_status({"m1": on(NEW, 20), "m2": seen, "m3": on(NEW, 20)})

    assert [row.shares_with for row in group.rows] == [
        (("m2", "/etc/app.conf"),),
        (("m1", "/etc/app.conf"), ("m9 of /zkexec/other", "/etc/app.conf")),
        (),
    ]
    assert group.state is GroupState.COMPLETE


def test_the_reason_of_each_failure_is_kept() -> None:
    """A member that failed for another reason than the last one has a line of its own."""
    failures = {"m1": replace(FAILURE, reason="no licence"), "m2": FAILURE}
    group = group_status(
        {"m3": waiting()},
        versions=failed_on("m1", "m2", reason=FAILURE.reason),
        failures={NEW: failures},
    )

    (line,) = member_failures(group, START + 40)
    assert re.fullmatch(r"m1 failed in its check at .*: no licence", line)


@pytest.mark.parametrize(
    ("seen", "is_serving"),
    [
        (on(NEW, 20), True),
        (on(NEW, 20, health="unknown"), True),
        (on(NEW, 20, health="unhealthy"), False),
        (on(NEW, 20, unavailable=True), False),
        (waiting(), True),
        (on(OLD, 20, phase="failed"), True),
        (on("", 20, phase="failed"), False),
        (on("", 20, phase="waiting"), False),
        (on(NEW, 20, phase="verifying", health="unknown"), False),
        (on(NEW, 20, phase="verifying"), True),
        (on(OLD, 20, phase="draining"), False),
        (on(OLD, 20, phase="stopping"), False),
        (MemberZnode(error="the member status is no valid JSON"), False),
    ],
)
def test_a_member_serves_if_its_command_runs_and_is_not_unhealthy(
    seen: MemberZnode, is_serving: bool
) -> None:
    """A command that is being started, drained or stopped does not serve, nor does an ill one."""
    group = group_status({"m1": seen})

    assert (group.serving_count, len(group.unavailable)) == (int(is_serving), int(not is_serving))


def test_a_mark_and_a_missing_member_are_unavailable() -> None:
    """The znode that marks a member as unavailable counts, and so does a member that is missing."""
    group = group_status(
        {"m1": on(NEW, 20), "m2": on(NEW, 20)},
        in_flight={"m3": entry()},
        unavailable=frozenset({"m2"}),
    )

    assert [row.name for row in group.unavailable] == ["m2", "m3"]
    assert headline(group, START).endswith(", 2 unavailable")


def in_zone(seen: MemberZnode, zone: str) -> MemberZnode:
    """The same member in a zone."""
    return replace(seen, facts=replace(seen.facts or facts(), zone=zone))


def test_each_zone_has_its_own_progress() -> None:
    """If members name zones, the progress is counted by zone, and the open zone is known."""
    members = {
        "m1": in_zone(on(NEW, 20), "east"),
        "m2": in_zone(waiting(), "east"),
        "m3": in_zone(waiting(), "west"),
    }
    group = group_status(members, zone="east", in_flight={"m2": entry()})
    (progress,) = group.progress

    assert [(one.zone, one.up_to_date_count, one.total) for one in progress.zones] == [
        ("east", 1, 2),
        ("west", 0, 1),
    ]
    assert group.open_zone == "east"
    assert group_status(members, zone="east").open_zone is None


def test_without_zones_there_is_no_progress_of_zones() -> None:
    """Members without a zone are not grouped."""
    group = group_status({"m1": on(NEW, 20)}, in_flight={"m1": entry()})

    assert (group.progress[0].zones, group.open_zone, group.has_zones) == ((), None, False)


class CountedPath(str):
    """A path that counts how often one is compared with another."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        """Count, and compare."""
        CountedPath.comparisons += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_very_many_inputs_that_do_not_exist() -> None:
    """A member status can name ten thousands of them, so none is compared with all others."""
    count = 300
    named = facts(paths=[CountedPath(f"/app/{number}") for number in range(count)])
    absent = tuple(sorted(CountedPath(f"/app/{number}") for number in range(count)))
    CountedPath.comparisons = 0
    group = group_status({"m1": replace(on(NEW, 20), facts=named)}, znodes={}, absent=absent)

    (row,) = group.rows
    (progress,) = group.progress
    assert row.absent == progress.missing == absent
    assert 0 < CountedPath.comparisons < 20 * count
