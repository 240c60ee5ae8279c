"""Check which version the turn of a member is for."""

from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import Policy
from zkexec.core.rollout.situation import Situation
from zkexec.core.snapshot import Snapshot

TERMS = Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"),)), in_group=True)


def is_admitted(admitted: Snapshot | None, wanted: Snapshot | None) -> bool:
    """Whether a turn for one snapshot is also a turn for the other."""
    at = Situation(TERMS, "m1", lambda: "token")
    at.lease.admitted, at.wanted = admitted, wanted
    return at.is_admitted_to_wanted


def test_a_turn_is_for_its_admitted_version() -> None:
    """The same bytes with a newer zxid, or other bytes, have to be admitted again."""
    admitted = Snapshot({"/f": b"a"}, 7)
    assert is_admitted(admitted, admitted)
    assert is_admitted(admitted, Snapshot({"/f": b"a"}, 7))
    assert not is_admitted(admitted, Snapshot({"/f": b"a"}, 8))
    assert not is_admitted(admitted, Snapshot({"/f": b"b"}, 7))
    assert not is_admitted(None, admitted)
    assert not is_admitted(admitted, None)


def test_a_turn_is_never_admitted_again_for_less() -> None:
    """An emptied znode lowers the zxid, but not the zxid of a turn that was admitted before.

    The version that failed at the lower zxid would be admitted otherwise.
    """
    assert is_admitted(Snapshot({"/f": b"a"}, 7), Snapshot({"/f": b"a"}, 5))
