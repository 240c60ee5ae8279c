"""What a turn is held for."""

from zkexec.core.policy import Policy
from zkexec.core.rollout.situation import Situation
from zkexec.core.snapshot import Mirror, Snapshot

TERMS = Policy(mirrors=(Mirror("/f", "/z"),), in_group=True)


def holds(held: Snapshot | None, wanted: Snapshot | None) -> bool:
    """Whether a turn that was admitted for one is held for the other as well."""
    at = Situation(TERMS, "m1", lambda: "token")
    at.lease.held, at.wanted = held, wanted
    return at.holds_wanted


def test_a_turn_is_held_for_what_it_was_admitted_for() -> None:
    """The same bytes of a newer revision, or other bytes, have to be admitted anew."""
    held = Snapshot({"/f": b"a"}, 7)
    assert holds(held, held)
    assert holds(held, Snapshot({"/f": b"a"}, 7))
    assert not holds(held, Snapshot({"/f": b"a"}, 8))
    assert not holds(held, Snapshot({"/f": b"b"}, 7))
    assert not holds(None, held)
    assert not holds(held, None)


def test_a_turn_is_never_admitted_anew_for_less() -> None:
    """A znode that was emptied takes its revision away: the retry that was admitted is not undone.

    What failed at the older revision would otherwise be admitted, against its verdict.
    """
    assert holds(Snapshot({"/f": b"a"}, 7), Snapshot({"/f": b"a"}, 5))
