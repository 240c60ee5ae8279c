"""Which push has written what: only what the znodes prove is named."""

from typing import Any

from support.group_samples import NEW, OLD, PATH, START, group_status, on, pushed, waiting
from zkexec.core.rollout.record import AuditEntry
from zkexec.core.rollout.version import scope_of
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.history.content_history import HistoryEntry, decode_index, encode
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.input_writes import InputWrite, InputWrites
from zkexec.ctl.status.member_row import LastWrite
from zkexec.frozen import replace

TREE, FILE = "/app/", "/app/first"
SCOPE = scope_of((PATH,))
HISTORY = (
    pushed(1, 10, "anna", "the first", lasted=True),
    pushed(2, 20, "ben", "more cache"),
)


def written(path: str = PATH, zxid: int = 20, **histories: tuple[HistoryEntry, ...]) -> InputWrite:
    """The newest write of one input, whose histories are given as own, tree and part."""
    names = {"own": path, "tree": TREE, "part": f"{TREE}part"}
    found = {names[name]: entries for name, entries in histories.items()}
    parts = {path: [names["part"]]} if path == TREE else {}
    write = InputWrites(found, {path: LastWrite(zxid, START + zxid)}, parts).newest([path])
    assert write is not None
    return write


def test_the_newest_entry_is_the_present_content_if_both_have_one_transaction() -> None:
    """A push is named with its revision, author and message."""
    write = written(own=HISTORY, tree=())

    assert (write.label, write.by, write.message) == (f"{PATH}@2", "ben", "more cache")
    assert not write.set_by_other_tool


def test_a_later_write_is_that_of_another_tool() -> None:
    """A write after the newest entry has no revision, whatever its content is."""
    write = written(zxid=21, own=HISTORY, tree=())

    assert (write.label, write.by, write.set_by_other_tool) == ("", "", True)
    assert (write.path, write.at) == (PATH, START + 21)


def test_a_history_that_may_not_be_read_proves_nothing() -> None:
    """Without the history it is not known whether another tool has written."""
    write = written(tree=())

    assert (write.label, write.set_by_other_tool) == ("", False)


def test_a_push_of_the_tree_around_a_file_is_one_of_the_file() -> None:
    """If only the history of the tree has the transaction, its revision is named."""
    write = written(own=(pushed(4, 9),), tree=(pushed(7, 20, "cleo"),))

    assert (write.label, write.by) == (f"{TREE}@7", "cleo")


def test_a_push_of_a_part_of_a_tree_without_a_history() -> None:
    """If the tree was never pushed as a whole, the part is named that was written last."""
    write = written(TREE, own=(), part=(pushed(3, 20, "cleo"),))

    assert (write.label, write.by) == (f"{TREE}part@3", "cleo")


def test_one_push_can_write_several_inputs() -> None:
    """The other paths of the same push are named as well."""
    both = {PATH: HISTORY, "/other": (pushed(5, 20, "ben"),)}
    znodes = {PATH: LastWrite(20), "/other": LastWrite(20)}
    write = InputWrites(both, znodes).newest([PATH, "/other"])

    assert write is not None
    assert (write.label, write.also) == (f"{PATH}@2", ("/other@5",))


def test_what_another_tool_has_set_can_have_a_revision() -> None:
    """Once the next push has kept it, what another tool has set is named with its revision."""
    other = pushed(2, 15, by="", set_by_other_tool=True, lasted=True)
    writes = InputWrites({PATH: (HISTORY[0], other, pushed(3, 20))}, {PATH: LastWrite(20)})
    write = writes.at(17, [PATH])

    assert write is not None
    assert (write.label, write.set_by_other_tool) == (f"{PATH}@2", True)


def test_between_two_pushes_a_content_is_proven_only_if_it_lasted() -> None:
    """What was there at some transaction is named if nothing else can have been written."""
    znodes = {PATH: LastWrite(20)}
    lasted = InputWrites({PATH: HISTORY}, znodes).at(15, [PATH])
    replaced = (replace(HISTORY[0], lasted=False), HISTORY[1])

    assert lasted is not None
    assert lasted.label == f"{PATH}@1"
    assert InputWrites({PATH: replaced}, znodes).at(15, [PATH]) is None
    assert InputWrites({PATH: HISTORY}, znodes).at(15, [PATH, "/unknown"]) is None
    assert InputWrites({PATH: HISTORY}, znodes).at(0, [PATH]) is None


def test_a_restored_index_names_only_its_newest_entry() -> None:
    """An index whose transactions do not rise is from a dump: the old ones prove nothing."""
    zxids = [entry.zxid for entry in decode_index(encode(HISTORY), 30)]
    restored = [entry.zxid for entry in decode_index(encode(HISTORY), 5)]

    assert (zxids, restored) == ([10, 30], [0, 5])


def rolling(**changes: Any) -> GroupStatus:
    """A group in which one member has the second push, and the other waits for it."""
    versions = {
        OLD: VersionState(10, SCOPE, known_good=True),
        NEW: VersionState(20, SCOPE, known_good=True),
    }
    known = {"versions": versions, "histories": {PATH: HISTORY, TREE: ()}, **changes}
    return group_status({"m1": on(NEW, 20), "m2": waiting()}, **known)


def test_the_versions_of_members_have_revisions() -> None:
    """What members run and want has a name if the record knows the transaction of the version."""
    group = rolling()
    first, second = group.rows

    assert (group.versions.running(first), group.versions.running(second)) == (
        f"{PATH}@2",
        f"{PATH}@1",
    )
    assert group.versions.wanted(second) == f"{PATH}@2"
    (progress,) = group.progress
    assert progress.previous is not None
    assert (progress.previous.label, progress.previous_digest) == (f"{PATH}@1", OLD)


def test_a_version_that_the_record_has_dropped_is_named_by_its_member() -> None:
    """A member shows the transaction of what it runs, so an old version has a name as well."""
    group = rolling(versions={NEW: VersionState(20, SCOPE, known_good=True)})
    known = replace(waiting(), status=replace(waiting().status, running_zxid=10))
    named = group_status({"m2": known}, histories={PATH: HISTORY})

    assert group.versions.running(group.rows[1]) == ""
    assert named.versions.running(named.rows[0]) == f"{PATH}@1"


def test_a_version_of_other_inputs_has_no_name_here() -> None:
    """A transaction of another set of inputs, or of a restored record, proves nothing."""
    group = rolling(versions={OLD: VersionState(10, "", known_good=True)})

    assert group.versions.running(group.rows[1]) == ""
    assert group.progress[0].previous is None


def test_a_rolling_restart_has_an_author_and_keeps_the_revision() -> None:
    """After a restart the write is still that of the content, and the request is beside it."""
    audit = (AuditEntry("restart", "dora", "new certificates", "12345678abcdefab"),)
    restart = LastWrite(25, START + 25, request="12345678 12345678abcdefab")
    (progress,) = rolling(restart=restart, audit=audit).progress
    (retried,) = rolling(restart=replace(restart, request="12345678 ffff")).progress

    assert progress.write is not None
    assert progress.write.label == f"{PATH}@2"
    assert progress.request is not None
    assert (progress.request.operation, progress.request.by) == ("restart", "dora")
    assert retried.request is not None
    assert (retried.request.operation, retried.request.by) == ("retry", "")
