"""The way back after a failure: which contents an undo has to bring back."""

import pytest

from support.group_samples import NEW, OLD, PATH, START, failed_on, group_status, pushed, waiting
from zkexec.core.rollout.version import scope_of
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.history.content_history import HistoryEntry
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.member_row import LastWrite
from zkexec.ctl.status.phrases import advice
from zkexec.frozen import replace

OTHER, TREE = "/other", "/app/"


def contents(*zxids: int) -> tuple[HistoryEntry, ...]:
    """Pushes in these transactions, each with a content of its own."""
    return tuple(
        pushed(number, zxid, digest=f"{number:064}", lasted=True)
        for number, zxid in enumerate(zxids, 1)
    )


def failed(
    histories: dict[str, tuple[HistoryEntry, ...]],
    good: int = 10,
    inputs: tuple[str, ...] = (PATH,),
    **writes: int,
) -> GroupStatus:
    """A group whose version has failed; the last good one was there in the transaction `good`."""
    member = waiting()
    assert member.facts is not None
    versions = failed_on("m1") | {OLD: VersionState(good, scope_of(inputs), known_good=True)}
    zxids = {path: writes.get(path.strip("/"), 20) for path in inputs}
    return group_status(
        {"m1": replace(member, facts=replace(member.facts, inputs=inputs))},
        versions=versions if good else failed_on("m1"),
        znodes={path: LastWrite(zxid, START + zxid) for path, zxid in zxids.items()},
        histories={TREE: (), **histories},
    )


def undo_of(group: GroupStatus) -> str:
    """The first command that is proposed."""
    return advice(group)[0].partition(": zkexecctl ")[2]


@pytest.mark.parametrize(
    ("zxids", "good", "command"),
    [
        ((10, 20), 10, f"undo {PATH} --lock web --wait"),
        ((10, 15, 20), 10, f"undo {PATH} --to=1 --lock web --wait"),
        ((10, 12, 15, 20), 14, f"undo {PATH} --to=2 --lock web --wait"),
        ((10, 20), 0, f"undo {PATH} --lock web --wait"),
        # What was there when the version was good is not kept any more, or never was.
        ((15, 20), 10, f"push {PATH}=FILE --lock web --wait"),
        ((20,), 10, f"push {PATH}=FILE --lock web --wait"),
        # Another tool has written after the last push.
        ((10,), 10, f"undo {PATH} --lock web --wait"),
        ((10, 15), 10, f"undo {PATH} --to=1 --lock web --wait"),
    ],
)
def test_the_undo_goes_back_to_what_was_good(
    zxids: tuple[int, ...], good: int, command: str
) -> None:
    """Pushes that failed in between are passed over, and a plain undo is proposed if it is one."""
    assert undo_of(failed({PATH: contents(*zxids)}, good)) == command


def test_several_inputs_go_back_together() -> None:
    """All inputs that were written since are undone; with different revisions, one by one."""
    inputs = (PATH, OTHER)
    plain = failed({PATH: contents(10, 20), OTHER: contents(10, 20)}, inputs=inputs)
    further = {PATH: contents(10, 20), OTHER: contents(10, 12, 15)}

    assert undo_of(plain) == f"undo {PATH} {OTHER} --lock web --wait"
    assert undo_of(failed(further, inputs=inputs, other=15)) == (
        f"undo {PATH} && zkexecctl undo {OTHER} --to=1 --lock web --wait"
    )
    assert undo_of(failed(further, 15, inputs, other=15)) == f"undo {PATH} --lock web --wait"


def test_a_tree_without_a_history_is_not_named() -> None:
    """If only parts of a tree were pushed, the undo names the parts."""
    group = failed({f"{TREE}a": contents(10, 20)}, inputs=(TREE,))
    parts = {TREE: [f"{TREE}a"]}
    group = replace(group, writes=replace(group.writes, parts=parts))

    assert undo_of(group) == f"undo {TREE}a --lock web --wait"


def test_a_version_that_failed_before_is_not_brought_back() -> None:
    """Without a known good version, at least no content that is known to have failed is."""
    group = failed({PATH: contents(10, 15, 20)}, good=0)
    bad = VersionState(15, scope_of((PATH,)), failed_by=("m1",))
    versions = {**group.record.versions, "c" * 64: bad}
    group = replace(group, record=replace(group.record, versions=versions))

    assert undo_of(group) == f"undo {PATH} --to=1 --lock web --wait"
    assert NEW in versions
