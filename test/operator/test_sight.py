"""What follows from a group's znodes, without a cluster: members, aims, times and states."""

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
    on,
    paused,
    sharing,
    sight,
    waiting,
)
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import AgreedMaxUnavailable, EntryPhase, VersionState
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace
from zkexec.operator.aims import MISSING, TURN, UNREADABLE, Seen, Written
from zkexec.operator.sentences import absent, awaited, standing
from zkexec.operator.sight import Sight, State

OTHER = "/app/second"


def through(name: str, group: Sight) -> bool:
    """Whether this member is through."""
    return next(row for row in group.rows if row.name == name).is_through


def elsewhere(seen: Seen, *paths: str) -> Seen:
    """The same member, mirroring other znodes."""
    return replace(seen, facts=facts(paths=paths))


def test_a_group_is_done_when_all_run_the_newest() -> None:
    """All know the newest write and run it, and nobody has a turn: that is done."""
    group = sight({"m1": on(NEW, 20), "m2": on(NEW, 20)})

    assert group.state is State.DONE
    assert group.is_through
    assert (group.done, len(group.rows)) == (2, 2)


def test_who_has_not_seen_the_newest_is_not_through() -> None:
    """A member that is frozen says that it runs what it wants, and is behind all the same."""
    group = sight({"m1": on(NEW, 20), "m2": on(OLD, 10)})

    assert not through("m2", group)
    assert group.rows[1].untaken == (PATH,)
    assert group.state is State.ROLLING


@pytest.mark.parametrize(
    "unfinished",
    [
        on(NEW, 20, phase="verifying"),
        on(NEW, 20, phase="failed"),
        on(NEW, 20, phase="a word of a later version"),
        on(OLD, 20, wanted=NEW),
        Seen(trouble="the member status is no valid JSON"),
    ],
)
def test_whoever_is_not_running_what_it_wants_is_not_through(unfinished: Seen) -> None:
    """Only the phase running, on what is wanted, as a readable card tells it, counts."""
    group = sight({"m1": on(NEW, 20), "m2": unfinished})

    assert not through("m2", group)
    assert group.state is State.ROLLING


def test_a_turn_that_is_not_given_back_is_not_the_end() -> None:
    """A member that runs the newest and still has the turn may fail yet."""
    group = sight({"m1": on(NEW, 20)}, in_flight={"m1": entry()})

    assert group.rows[0].place == TURN
    assert group.state is State.ROLLING


def test_the_aim_is_what_the_newest_write_led_to() -> None:
    """The digest is that of who knows the newest write; before anybody does there is none."""
    seen = sight({"m1": on(OLD, 10), "m2": waiting()})
    unseen = sight({"m1": on(OLD, 10), "m2": on(OLD, 10)})

    assert [aim.digest for aim in seen.aims] == [NEW]
    assert [(aim.digest, aim.zxid) for aim in unseen.aims] == [("", 20)]
    assert unseen.state is State.ROLLING


def test_a_znode_of_which_nobody_tells_counts_as_nothing() -> None:
    """Where no server tells whether a znode is there, who knows the others is through."""
    group = sight({"m1": on(NEW, 20)}, znodes={})

    assert group.state is State.DONE


def test_nobody_is_through_with_a_znode_that_does_not_exist() -> None:
    """Who mirrors it is named with it, whatever it runs; the others are through."""
    members = {"m1": on(NEW, 20), "m2": on(NEW, 20), "m3": elsewhere(on(OLD, 15), OTHER)}
    group = sight(members, znodes={OTHER: Written(15, START + 15)}, absent=(PATH,))

    assert group.state is State.ROLLING
    assert [(row.absent, row.is_through) for row in group.rows] == [
        ((PATH,), False),
        ((PATH,), False),
        ((), True),
    ]
    assert {aim.paths: aim.missing for aim in group.aims} == {(OTHER,): (), (PATH,): (PATH,)}
    assert standing(group, START) == "web: 1 of 3 on what they want"
    assert awaited(group) == f"{PATH}, which does not exist"


def test_a_missing_znode_and_somebody_in_flight_are_both_awaited() -> None:
    """Which znode is missing is told whatever else goes on, and with one aim no digest is."""
    group = sight({"m1": on(NEW, 20)}, in_flight={"m1": entry()}, znodes={}, absent=(PATH,))
    alone = sight({"m1": on(NEW, 20)}, znodes={}, absent=(PATH,))

    assert awaited(group) == f"m1 restarting; {PATH}, which does not exist"
    assert standing(alone, START) == "web: 0 of 1 on what is wanted"
    (told,) = absent(alone)
    assert told == (
        f"{PATH} does not exist; until it does, these keep their files as they are: m1; "
        f"to write it: zkexecctl push {PATH}=FILE"
    )


def test_a_failure_of_before_is_no_news_where_a_znode_is_missing() -> None:
    """All run what once failed elsewhere; that their znode is gone makes no failure of it."""
    group = sight({"m2": on(NEW, 20)}, versions=failed_on("m1"), znodes={}, absent=(PATH,))

    assert group.state is State.ROLLING


def test_members_that_want_different_contents_are_not_all_through() -> None:
    """Who runs other contents of the same znodes than most is not through, and tells so."""
    members = {"m1": on(OLD, 20), "m2": on(NEW, 20), "m3": on(NEW, 20)}
    group = sight(members)

    assert [row.others_want for row in group.rows] == [NEW, "", ""]
    assert (group.done, group.state) == (2, State.ROLLING)
    assert awaited(group) == f"m1 on {OLD[:12]}"


def test_the_same_contents_by_the_name_of_another_restart_are_the_same() -> None:
    """Once the znode of restarts is gone, new members do not know the name of the last one."""
    members = {"m1": on(f"{NEW}.abcd", 20), "m2": on(NEW, 20), "m3": on(NEW, 20)}

    assert sight(members).state is State.DONE


@pytest.mark.parametrize(("size", "state"), [(0, State.DONE), (5, State.ROLLING)])
def test_a_restart_that_was_asked_for_has_to_be_known(size: int, state: State) -> None:
    """The znode by which a restart is asked for counts like a mirrored one, if not empty."""
    group = sight({"m1": on(NEW, 20)}, restart=Written(25, START + 25, size))

    assert group.state is state


def test_a_failure_of_what_is_wanted_stops_the_rollout() -> None:
    """A verdict against the newest content is the state of the group, with the member."""
    members = {"m1": on(NEW, 20, phase="failed"), "m2": waiting()}
    group = sight(members, versions=failed_on("m1"), in_flight={"m1": entry(EntryPhase.FAILED)})

    assert group.state is State.FAILED
    assert group.is_stopped
    assert group.failure is not None
    assert group.failure.failure is not None
    assert group.failure.failure.failed_by == ("m1",)


def test_a_newer_push_supersedes_a_failure() -> None:
    """What failed before is of no interest once the znodes hold something newer."""
    members = {"m1": on(NEW, 20, phase="failed"), "m2": waiting()}
    group = sight(members, zxid=30, versions=failed_on("m1"))

    assert group.state is State.ROLLING
    assert not group.is_stopped


def test_the_same_bytes_pushed_again_are_a_new_try() -> None:
    """A verdict holds up to its revision, as the members count it."""
    group = sight({"m1": waiting(30), "m2": waiting(30)}, zxid=30, versions=failed_on("m1"))

    assert group.state is State.ROLLING


def test_a_failure_that_nobody_waits_for_is_over() -> None:
    """Where all that live run the newest, it does not matter that it once failed elsewhere."""
    group = sight({"m2": on(NEW, 20)}, versions=failed_on("m1"))

    assert group.state is State.DONE
    assert not group.is_stopped


def test_a_pause_is_shown_also_where_nothing_waits() -> None:
    """A pause is the state of the group, and stops nothing where all are through."""
    group = sight({"m1": on(NEW, 20)}, paused=paused())

    assert group.state is State.PAUSED
    assert group.is_through
    assert not group.is_stopped


def test_a_pause_stops_who_has_no_turn_yet() -> None:
    """Who is in flight finishes in spite of a pause; who waits does not go on."""
    last = sight({"m1": waiting()}, paused=paused(), in_flight={"m1": entry()})
    more = sight({"m1": waiting(), "m2": waiting()}, paused=paused(), in_flight={"m1": entry()})

    assert not last.is_stopped
    assert more.is_stopped


def test_a_member_that_is_lost_in_its_turn_is_missing() -> None:
    """An entry without a node has a row of its own, and the group is not done without it."""
    group = sight({"m2": on(NEW, 20)}, in_flight={"m1": entry()})

    assert [(row.name, row.phase, row.place) for row in group.missing] == [("m1", MISSING, TURN)]
    assert (group.done, len(group.rows)) == (1, 2)
    assert group.state is State.ROLLING
    assert group.aims[0].total == 2


def test_a_group_without_members_is_empty() -> None:
    """No member alive is a state of its own, also where one is missing."""
    assert sight({}).state is State.EMPTY
    assert sight({}, in_flight={"m1": entry()}).state is State.EMPTY
    assert not sight({}).is_through


def test_what_cannot_be_read_is_told() -> None:
    """A record that is not understood, and a group that is not there, are states too."""
    assert sight({"m1": on(NEW, 20)}, trouble="newer").state is State.UNREADABLE
    assert not sight({"m1": on(NEW, 20)}, trouble="newer").is_through
    assert sight({}, exists=False).state is State.GONE


def test_a_card_that_cannot_be_read_is_a_row() -> None:
    """A member whose card is junk is shown as such, with the trouble."""
    group = sight({"m1": Seen(trouble="the member status is no valid JSON")})

    assert [(row.phase, row.reason) for row in group.rows] == [
        (UNREADABLE, "the member status is no valid JSON")
    ]


def test_members_are_sorted_as_people_count() -> None:
    """The second comes before the tenth."""
    group = sight({name: on(NEW, 20) for name in ("m10", "m2", "web-2", "m1", "web-10b")})

    assert [row.name for row in group.rows] == ["m1", "m2", "m10", "web-2", "web-10b"]


def test_places_are_those_of_the_queue() -> None:
    """Who came first is the first; who has the turn has no other place."""
    members = {"m1": waiting(), "m2": waiting(), "m3": waiting()}
    group = sight(members, queue=("m3", "m1", "m2"), in_flight={"m2": entry()})

    assert {row.name: row.place for row in group.rows} == {"m1": 2, "m2": TURN, "m3": 1}
    assert [row.name for row in group.waiting] == ["m3", "m1"]
    assert [row.name for row in group.in_flight] == ["m2"]


def test_each_set_of_znodes_has_its_own_aim() -> None:
    """Members that mirror other znodes are through with them, whatever happens to the others."""
    group = sight(
        {
            "m1": waiting(),
            "m2": elsewhere(on(OLD, 15), OTHER),
            "m3": elsewhere(waiting(), PATH, OTHER),
        },
        znodes={PATH: Written(20, START + 20), OTHER: Written(15, START + 15)},
    )

    assert [(aim.paths, aim.done, aim.total) for aim in group.aims] == [
        ((PATH,), 0, 1),
        ((PATH, OTHER), 0, 1),
        ((OTHER,), 1, 1),
    ]
    assert group.state is State.ROLLING


def test_one_failed_aim_fails_the_group() -> None:
    """A failure of one set of znodes stops the rollout, whatever the others do."""
    group = sight(
        {"m1": waiting(), "m2": elsewhere(on(OLD, 25), OTHER)},
        znodes={PATH: Written(20, START), OTHER: Written(25, START)},
        versions=failed_on("m1"),
    )

    assert group.state is State.FAILED
    assert group.failure is not None
    assert group.failure.paths == (PATH,)


def test_how_long_it_takes_follows_from_the_pace() -> None:
    """One of three took ten seconds, so the other two will take twenty, less what has passed."""
    members = {"m1": replace(on(NEW, 20), facts=facts(since=30)), "m2": waiting(), "m3": waiting()}
    (aim,) = sight(members).aims

    assert aim.took_s(START + 34) == 14
    assert aim.left_s(START + 34) == 16
    assert aim.left_s(START + 60) is None


def test_how_long_it_took_ends_with_the_last_member() -> None:
    """The time ends when the last one came to run; a member that came later does not count."""
    members = {
        "m1": replace(on(NEW, 20), facts=facts(since=30)),
        "m2": replace(on(NEW, 20), facts=facts(since=45)),
        "late": replace(on(NEW, 20), facts=facts(since=9000), born=START + 8999),
    }
    (aim,) = sight(members).aims

    assert aim.took_s(START + 10_000) == 25
    assert aim.left_s(START + 10_000) is None


def test_no_time_is_told_where_none_is_known() -> None:
    """Before anybody is through there is no pace, and without a znode no beginning."""
    (nobody,) = sight({"m1": waiting()}).aims
    (nothing,) = sight({"m1": on(NEW, 20)}, znodes={}).aims

    assert nobody.left_s(START + 30) is None
    assert nothing.took_s(START + 30) is None


def test_clocks_that_differ_give_no_negative_times() -> None:
    """Where our clock is behind that of the servers, no time has passed."""
    (aim,) = sight({"m1": waiting(), "m2": on(NEW, 20)}).aims

    assert aim.took_s(START) == 0


def test_how_many_at_a_time_is_what_the_record_allows() -> None:
    """One alone tries what is not proven; what is proven goes as fast as the width says."""
    width = AgreedMaxUnavailable(MaxUnavailable(50, percent=True), "m1")
    members = {f"m{number}": waiting() for number in range(6)}
    (untried,) = sight(members, max_unavailable=width).aims
    (known_good,) = sight(
        members, max_unavailable=width, versions={NEW: VersionState(20, "", known_good=True)}
    ).aims

    assert (untried.is_known_good, untried.at_once) == (False, 1)
    assert (known_good.is_known_good, known_good.at_once) == (True, 3)


def test_a_member_that_mirrors_nothing_is_through() -> None:
    """Without mirrored znodes there is nothing to wait for."""
    nothing = Seen(MemberStatus("running", OLD, OLD), facts(paths=()), START)

    assert sight({"m1": nothing}).state is State.DONE


def test_a_duplicate_is_not_through() -> None:
    """A process whose ID another one has keeps the group from being done, whatever it runs."""
    group = sight({"m1": on(NEW, 20), "m1~0": duplicate("m1")})

    assert (group.done, len(group.rows), group.state) == (1, 2, State.ROLLING)
    assert [row.name for row in group.duplicates] == ["m1~0"]
    assert not group.aims[0].is_through


def test_a_duplicate_that_has_got_the_id_is_one_member() -> None:
    """In the moment in which both its nodes are there, only the one that stays is shown."""
    other = duplicate("m1")
    own = replace(on(NEW, 20), facts=facts())
    both = replace(other, facts=replace(other.facts or facts(), lock_file_id=facts().lock_file_id))
    group = sight({"m1": own, "m1~0": both})

    assert [row.name for row in group.rows] == ["m1"]
    assert group.state is State.DONE


def test_a_duplicate_is_not_held_by_a_pause() -> None:
    """The end of a pause would not help it, and a failure of before is over for the others."""
    group = sight({"m1": on(NEW, 20), "m1~0": duplicate("m1")}, paused=paused())
    failed = sight({"m1": on(NEW, 20), "m1~0": duplicate("m1")}, versions=failed_on("m2"))

    assert not group.is_stopped
    assert failed.state is State.ROLLING


def test_members_that_share_files() -> None:
    """Both are marked, although only the one that came later knows; nobody else is."""
    seen = sharing(on(NEW, 20), "m1", "m9 of /zkexec/other")
    group = sight({"m1": on(NEW, 20), "m2": seen, "m3": on(NEW, 20)})

    assert [row.shares_with for row in group.rows] == [
        (("m2", "/etc/app.conf"),),
        (("m1", "/etc/app.conf"), ("m9 of /zkexec/other", "/etc/app.conf")),
        (),
    ]
    assert group.state is State.DONE
