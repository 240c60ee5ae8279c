"""When a wait is over: at the end of the rollout, and not at the end of a connection."""

from support.group_samples import (
    NEW,
    OLD,
    PATH,
    duplicate,
    entry,
    failed_on,
    on,
    paused,
    sight,
    waiting,
)
from zkexec.operator.ending import DUPLICATE_S, RETURN_S, Ending
from zkexec.operator.outcome import CANNOT_WORK, DONE, NO
from zkexec.operator.sight import Sight

NOW = 1_800_000_100.0


def status(ending: Ending, group: Sight, clock: float = 0.0) -> int | None:
    """The exit status with which this ends, if it does."""
    end = ending.judge(group, NOW, clock)
    return None if end is None else end.status


def test_the_end_is_that_of_the_rollout() -> None:
    """Done is 0, failed and paused are 1, and what goes on has no end."""
    assert status(Ending(), sight({"m1": on(NEW, 20)})) == DONE
    assert status(Ending(), sight({"m1": on(OLD, 10)})) is None
    assert status(Ending(), sight({"m1": waiting()}, versions=failed_on("m1"))) == NO
    assert status(Ending(), sight({"m1": waiting()}, paused=paused())) == NO
    assert status(Ending(), sight({"m1": on(NEW, 20)}, paused=paused())) == DONE


def test_a_missing_znode_and_different_contents_are_no_end() -> None:
    """It goes on as long as nobody can have the newest, or members run different contents."""
    missing = sight({"m1": on(NEW, 20)}, znodes={}, absent=(PATH,))
    two = {"m1": on(OLD, 20), "m2": on(NEW, 20), "m3": on(NEW, 20)}

    assert status(Ending(), missing) is None
    assert status(Ending(), sight(two)) is None


def test_the_end_has_the_member_and_the_reason() -> None:
    """What is told of a failure is on whom it failed and why."""
    end = Ending().judge(sight({"m1": waiting()}, versions=failed_on("m1")), NOW, 0.0)

    assert end is not None
    assert " failed on m1 since " in end.text
    assert end.text.endswith(": the command ended (exit status 3)")


def test_nobody_and_nothing_are_ends() -> None:
    """No group, no member and a record that cannot be read end it at once."""
    assert status(Ending(), sight({}, exists=False)) == NO
    assert status(Ending(), sight({})) == NO
    assert status(Ending(), sight({}, trouble="junk")) == CANNOT_WORK


def test_a_lost_member_in_its_turn_is_no_end() -> None:
    """Who went away in its turn may come back, or be forgotten; until then it goes on."""
    group = sight({"m2": on(NEW, 20)}, in_flight={"m1": entry()})

    assert status(Ending(), group) is None
    assert status(Ending(), group, RETURN_S * 100) is None


def test_who_goes_away_is_waited_for() -> None:
    """Members that a server has lost with their sessions come back before it is called done."""
    ending = Ending()
    both = sight({"m1": on(NEW, 20), "m2": waiting()})
    one = sight({"m1": on(NEW, 20)})

    assert status(ending, both) is None
    assert status(ending, one, 1.0) is None
    assert list(ending.away) == ["m2"]
    assert ending.deadline() == 1.0 + RETURN_S
    assert status(ending, both, 2.0) is None
    assert not ending.away
    assert status(ending, one, 3.0) is None
    assert status(ending, one, 3.0 + RETURN_S) == DONE


def test_all_may_be_away_for_a_while() -> None:
    """A group whose sessions are all gone for a moment is not taken for an empty one."""
    ending = Ending()

    assert status(ending, sight({"m1": waiting()})) is None
    assert status(ending, sight({}), 1.0) is None
    assert status(ending, sight({}), 1.0 + RETURN_S) == NO


def test_a_duplicate_is_waited_for() -> None:
    """It gets the ID if an earlier process has it; if not, the end names both, and a way out."""
    ending = Ending()
    both = sight({"m1": on(NEW, 20), "m1~0": duplicate("m1"), "m2": on(NEW, 20)})

    assert status(ending, both, 1.0) is None
    assert ending.deadline() == 1.0 + DUPLICATE_S
    more = sight({"m1": on(NEW, 20), "m1~0": duplicate("m1"), "m2": waiting()})
    assert status(ending, more, 2.0) is None
    assert ending.deadline() is None
    assert status(ending, both, 3.0) is None
    end = ending.judge(both, NOW, 3.0 + DUPLICATE_S)
    assert end is not None
    assert end.status == NO
    assert end.text == (
        "web: m1~0 (host-of-m, pid 4711) has the member ID of m1 (host-of-m, pid 4711) and "
        "takes no turn: give it another --member-id"
    )


def test_a_duplicate_that_gets_the_id_is_not_missed() -> None:
    """The name that it had meanwhile is not waited for."""
    ending = Ending()

    assert status(ending, sight({"m1": on(NEW, 20), "m1~0": duplicate("m1")})) is None
    assert status(ending, sight({"m1": on(NEW, 20)}), 1.0) == DONE


def test_somebody_has_to_mirror_what_was_pushed() -> None:
    """Where nobody alive mirrors what was written, the group is the wrong one."""
    group = sight({"m1": on(NEW, 20)})

    assert status(Ending(at_least=20), group) == DONE
    assert status(Ending(at_least=21), group) == NO
