"""What counts of what was read: pending reads, their rendering, doubt, and all or nothing."""

from collections.abc import Mapping

import pytest

from core.readings import tree_of
from zkexec.core import events
from zkexec.core.actions import Action, Note, ReadZnodes, RenderTemplates
from zkexec.core.events import RenderFinished, ZnodesRead, ZnodeTouched
from zkexec.core.input_options import InputOptions, Mirror, Template
from zkexec.core.inputs import FORBIDDEN_S, RENDER_AGAIN_S, Inputs
from zkexec.core.policy import Policy
from zkexec.core.rendering_result import (
    NotRendered,
    Rendered,
    RenderFailed,
    RenderResult,
    ValueMissing,
)
from zkexec.core.snapshot import Problem, Snapshot, Tree, Znode
from zkexec.frozen import replace

FILES = Policy(
    inputs=InputOptions(mirrors=(Mirror("/f", "/z"), Mirror("/etc/app/", "/t/"))), in_group=True
)
TEMPLATE = Policy(
    inputs=InputOptions(templates=(Template("/x", file="x.j2", text=b"text"),), values=("/v",))
)


class _Reads:
    """Inputs, the number of the last read and of the last rendering, and the time."""

    def __init__(self, policy: Policy) -> None:
        self.inputs = Inputs(policy)
        self.now = 0.0
        self.last_read = self.last_rendering = 0
        self.notes: list[Note] = []

    def happen(self, event: events.Event) -> list[type[Action]]:
        """Handle an event; return which actions follow, but for the notes."""
        return self._note(self.inputs.handle(event, self.now))

    def _note(self, actions: list[Action]) -> list[type[Action]]:
        self.notes = [action for action in actions if isinstance(action, Note)]
        for action in actions:
            if isinstance(action, ReadZnodes):
                self.last_read = action.number
            if isinstance(action, RenderTemplates):
                self.last_rendering = action.number
        return [type(action) for action in actions if not isinstance(action, Note)]

    @property
    def topics(self) -> list[str]:
        return [note.topic for note in self.notes]

    def wait(self, seconds: float) -> list[type[Action]]:
        """Let time pass, and do what is due."""
        self.now += seconds
        return self._note(self.inputs.expire(self.now))

    def connect(self, session: int = 1) -> list[type[Action]]:
        return self.happen(events.SessionConnected(session, 10.0))

    def touch(self, path: str = "/v") -> list[type[Action]]:
        return self.happen(ZnodeTouched(path))

    def read(self, value: bytes, zxid: int = 1) -> list[type[Action]]:
        """Answer the last read: one value for templates."""
        trees = {"/v": tree_of("/v", {"a": value}, zxid=zxid)}
        return self.happen(ZnodesRead(self.last_read, {}, zxid, trees))

    def read_files(self, content: bytes, tree: Tree, zxid: int = 1) -> list[type[Action]]:
        """Answer the last read: one file, and a tree of files."""
        znodes = {"/z": Znode("/z", content, zxid, version=zxid)}
        return self.happen(ZnodesRead(self.last_read, znodes, zxid, {"/t": tree}))

    def end(self, result: RenderResult) -> list[type[Action]]:
        """End the last rendering."""
        return self.happen(RenderFinished(self.last_rendering, result))

    @property
    def files(self) -> Mapping[str, bytes]:
        assert self.inputs.wanted is not None
        return self.inputs.wanted.files


def rendered(content: bytes) -> Rendered:
    """Return a result of the one template."""
    return Rendered({"/x": content})


def rendering_reads(value: bytes = b"1", zxid: int = 1) -> _Reads:
    """Return inputs of which a first read is being rendered."""
    reads = _Reads(TEMPLATE)
    assert reads.connect() == [ReadZnodes]
    assert reads.read(value, zxid) == [RenderTemplates]
    return reads


# Rendering.


def test_what_was_read_counts_once_it_is_rendered() -> None:
    """Before then nothing is wanted, and the state is that of a connection without a read."""
    reads = rendering_reads()
    assert reads.inputs.wanted is None
    assert not reads.inputs.state.is_current
    assert reads.end(rendered(b"r1")) == []
    assert reads.files == {"/x": b"r1"}
    assert reads.inputs.state.is_current
    assert reads.inputs.has_read


def test_only_one_rendering_runs() -> None:
    """What is read meanwhile waits; what was rendered counts, and then the newest is rendered."""
    reads = rendering_reads()
    for value in (b"2", b"3"):
        assert reads.touch() == [ReadZnodes]
        assert reads.read(value, 2) == []
    assert reads.end(rendered(b"r1")) == [RenderTemplates]
    assert reads.files == {"/x": b"r1"}
    assert reads.inputs.is_doubtful, "something newer was read"
    assert reads.end(rendered(b"r3")) == []
    assert reads.files == {"/x": b"r3"}
    assert not reads.inputs.is_doubtful


def test_equal_inputs_count_without_another_rendering() -> None:
    """A write that changes nothing for templates counts at once, with its zxid."""
    reads = rendering_reads()
    reads.end(rendered(b"r1"))
    reads.touch()
    assert reads.read(b"1", 7) == []
    assert reads.inputs.wanted is not None
    assert (reads.files, reads.inputs.wanted.zxid) == ({"/x": b"r1"}, 7)


def test_an_older_rendering_does_not_replace_what_counts() -> None:
    """A newer read that needed no rendering has counted before the one that is rendered ends."""
    reads = rendering_reads()
    reads.end(rendered(b"r1"))
    reads.touch()
    assert reads.read(b"2", 2) == [RenderTemplates]
    reads.touch()
    assert reads.read(b"1", 3) == []
    assert reads.files == {"/x": b"r1"}
    assert reads.inputs.wanted is not None
    assert reads.inputs.wanted.zxid == 3, "the result of these inputs is still the last one"
    reads.touch()
    assert reads.read(b"4", 4) == []
    assert reads.end(rendered(b"r2")) == [RenderTemplates]
    assert reads.files == {"/x": b"r1"}
    reads.end(rendered(b"r4"))
    assert reads.files == {"/x": b"r4"}


def test_a_result_that_nothing_waits_for() -> None:
    """If the newest read counts already, the end of an older rendering changes nothing."""
    reads = rendering_reads()
    reads.end(rendered(b"r1"))
    reads.touch()
    assert reads.read(b"2", 2) == [RenderTemplates]
    reads.touch()
    reads.read(b"1", 3)
    assert reads.end(rendered(b"r2")) == []
    assert reads.files == {"/x": b"r1"}
    assert Inputs(FILES).handle(RenderFinished(1, rendered(b"")), 0) == []


def test_what_was_read_on_an_earlier_connection_never_counts() -> None:
    """An ensemble that was wiped meanwhile may not contain it any more."""
    reads = rendering_reads(b"old", 900)
    reads.happen(events.SessionLost("expired"))
    reads.connect(session=2)
    assert reads.read(b"new", 5) == []
    assert reads.end(rendered(b"of old")) == [RenderTemplates]
    assert reads.inputs.wanted is None
    reads.end(rendered(b"of new"))
    assert reads.files == {"/x": b"of new"}
    assert reads.inputs.state.newest == 5


def test_a_rendering_that_ends_without_connection_does_not_count() -> None:
    """Its result is used if the same is read on the next connection."""
    reads = rendering_reads()
    reads.happen(events.SessionSuspended("gone"))
    assert reads.end(rendered(b"r1")) == []
    assert reads.inputs.wanted is None
    reads.connect()
    assert reads.read(b"1") == []
    assert reads.files == {"/x": b"r1"}


def test_a_missing_value_keeps_what_is_wanted() -> None:
    """Nothing changes because of it, and it is over with the next read without it."""
    reads = rendering_reads()
    reads.end(rendered(b"r1"))
    reads.inputs.in_place = reads.inputs.wanted
    reads.touch()
    reads.read(b"2", 2)
    reads.end(ValueMissing("/v/none"))
    assert reads.topics == ["znode-unusable"]
    assert reads.inputs.problems == {"/v/none": Problem.NO_VALUE}
    assert reads.files == {"/x": b"r1"}
    assert not reads.inputs.state.is_whole
    reads.touch()
    reads.read(b"1", 3)
    reads.end(rendered(b"r1"))
    assert reads.topics == ["problem-over"]
    assert reads.inputs.problems == {}


def test_an_error_of_a_template_is_wanted() -> None:
    """The snapshot has the reason, so that it is acted on, and is rendered again if written."""
    reads = rendering_reads()
    reads.end(RenderFailed("x.j2: line 1: error"))
    assert reads.inputs.wanted is not None
    assert reads.inputs.wanted.unrendered == "x.j2: line 1: error"
    reads.touch()
    assert reads.read(b"1", 1) == []
    reads.touch()
    assert reads.read(b"1", 2) == [RenderTemplates]


def test_an_unusable_read_is_not_rendered() -> None:
    """It counts at once, even while something older is rendered, whose result is dropped."""
    reads = rendering_reads()
    reads.touch()
    missing = {"/v": Tree({}, problem=Problem.MISSING)}
    assert reads.happen(ZnodesRead(reads.last_read, {}, 2, missing)) == []
    assert reads.inputs.problems == {"/v": Problem.MISSING}
    assert reads.end(rendered(b"r1")) == []
    assert reads.inputs.wanted is None


# A host that cannot render.


def test_a_host_that_cannot_render_tries_again() -> None:
    """The next attempt is after ten seconds, and of what was read last; it is logged once."""
    reads = rendering_reads()
    assert reads.end(NotRendered("no process")) == []
    assert reads.topics == ["render-impossible"]
    assert reads.notes[0].fields == {"reason": "no process", "retry_s": 10.0}
    assert reads.inputs.render_trouble == "no process"
    reads.touch()
    assert reads.read(b"2", 2) == [], "no rendering before the pause is over"
    assert reads.inputs.deadline == RENDER_AGAIN_S
    assert reads.wait(RENDER_AGAIN_S - 1) == []
    assert reads.wait(1) == [RenderTemplates]
    assert reads.inputs.deadline != RENDER_AGAIN_S
    assert reads.end(NotRendered("no process")) == []
    assert reads.notes == []
    assert reads.wait(RENDER_AGAIN_S) == [RenderTemplates]
    reads.end(rendered(b"r2"))
    assert (reads.files, reads.inputs.render_trouble) == ({"/x": b"r2"}, "")


def test_trouble_of_this_host_changes_nothing() -> None:
    """What is wanted and what is doubtful stay as they are until it is rendered."""
    reads = rendering_reads()
    reads.end(rendered(b"r1"))
    reads.touch()
    reads.read(b"2", 2)
    reads.end(NotRendered("no process"))
    assert reads.files == {"/x": b"r1"}
    assert reads.inputs.is_doubtful
    assert reads.inputs.problems == {}


def test_trouble_of_this_host_without_anything_to_render() -> None:
    """If what was read counts already, the next attempt finds nothing to do."""
    reads = rendering_reads()
    reads.end(NotRendered("no process"))
    reads.happen(events.SessionSuspended("gone"))
    assert reads.wait(RENDER_AGAIN_S) == []
    reads.connect()
    assert reads.read(b"1") == [RenderTemplates]


# Doubt.


def test_doubt_ends_with_a_read_that_counts() -> None:
    """A connection and a watch make a tree doubtful; a read that nothing followed ends that."""
    reads = _Reads(FILES)
    assert not reads.inputs.is_doubtful
    reads.connect()
    assert reads.inputs.is_doubtful
    tree = tree_of("/t", {"a": b"1"})
    reads.read_files(b"1", tree)
    assert not reads.inputs.is_doubtful
    reads.touch("/t/a")
    assert reads.inputs.is_doubtful
    reads.touch("/t/b")
    assert reads.read_files(b"1", tree) == [ReadZnodes]
    assert reads.inputs.is_doubtful, "the second watch fired during the read"
    reads.read_files(b"1", tree)
    assert not reads.inputs.is_doubtful


def test_a_failed_read_leaves_doubt() -> None:
    """Without an answer, nobody knows whether the tree has changed."""
    reads = _Reads(FILES)
    reads.connect()
    reads.read_files(b"1", tree_of("/t", {"a": b"1"}))
    reads.touch("/t")
    reads.happen(events.ReadFailed(reads.last_read, "no answer"))
    assert reads.inputs.is_doubtful


def test_single_znodes_are_never_doubtful() -> None:
    """An admission checks their versions, so a watch of one does not delay anything."""
    policy = Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"),)), in_group=True)
    reads = _Reads(policy)
    reads.connect()
    reads.touch("/z")
    assert not reads.inputs.is_doubtful


# All or nothing.


def test_an_unusable_part_makes_all_unusable() -> None:
    """As long as the tree is unusable, a new content of the file beside it is not wanted."""
    reads = _Reads(FILES)
    reads.connect()
    reads.read_files(b"1", tree_of("/t", {"a": b"1"}, zxid=1), 1)
    installed = reads.inputs.in_place = reads.inputs.wanted
    assert installed is not None
    reads.touch("/z")
    reads.read_files(b"2", tree_of("/t", {"a": b"1"}, problems={"b": Problem.FORBIDDEN}), 2)
    assert [dict(note.fields) for note in reads.notes] == [
        {"path": "/t/b", "problem": "may not be read"}
    ]
    assert reads.inputs.wanted == installed
    assert reads.inputs.wanted is not None
    assert reads.inputs.wanted.zxid == 0
    assert reads.inputs.wanted.znode_versions == {"/z": 2, "/t": 0}
    assert not reads.inputs.is_doubtful
    assert reads.wait(FORBIDDEN_S) == [ReadZnodes]
    reads.read_files(b"2", tree_of("/t", {"a": b"3"}), 3)
    assert reads.topics == ["problem-over"]
    assert reads.files == {"/f": b"2", "/etc/app/a": b"3"}


def test_a_problem_is_logged_once() -> None:
    """The same problem of the same znode is no line again; another one is."""
    reads = _Reads(FILES)
    reads.connect()
    tree = tree_of("/t", {"a": b"1"})
    reads.read_files(b"1", tree)
    reads.touch("/z")
    reads.read_files(b"", tree)
    assert reads.topics == ["znode-unusable"]
    reads.touch("/z")
    reads.read_files(b"", tree)
    assert reads.topics == []
    reads.touch("/z")
    reads.read_files(b"", Tree({}, problem=Problem.MISSING))
    assert [note.fields["path"] for note in reads.notes] == ["/t"]


def test_an_unusable_first_read_is_no_snapshot() -> None:
    """Nothing is wanted yet, and a first start has its problems to name."""
    reads = _Reads(FILES)
    reads.connect()
    reads.read_files(b"1", tree_of("/t", {}))
    assert reads.inputs.wanted is None
    assert reads.inputs.problems == {"/t": Problem.NOTHING_BELOW}
    reads.touch("/t")
    reads.read_files(b"1", tree_of("/t", {"a": b"1"}))
    assert reads.files == {"/f": b"1", "/etc/app/a": b"1"}


@pytest.mark.parametrize("is_installed", [False, True])
def test_content_that_was_not_installed_is_lost(is_installed: bool) -> None:
    """What is in no znode and in no file any more is not wanted any more."""
    reads = _Reads(FILES)
    reads.connect()
    reads.read_files(b"1", tree_of("/t", {"a": b"1"}))
    wanted = reads.inputs.wanted
    assert wanted is not None
    reads.inputs.in_place = wanted if is_installed else Snapshot({"/f": b"0"})
    reads.touch("/t")
    reads.read_files(b"1", Tree({}, problem=Problem.MISSING), 2)
    assert reads.inputs.is_gone(wanted) is not is_installed
    assert reads.inputs.wanted == reads.inputs.in_place


EMPTIED = tree_of("/t", {"a": b"", "b": b"1"}, created={"a": 4}, zxid=4)
"""A tree in which a znode is empty that was created by the transaction 4."""


@pytest.mark.parametrize(
    ("left", "in_place", "zxid", "is_emptied"),
    [
        (Snapshot({}), None, 9, False),
        (Snapshot({"/etc/app/a": b"1"}, zxid=4), None, 9, True),
        (Snapshot({"/etc/app/a": b"1"}, zxid=3), None, 9, False),
        (Snapshot({"/etc/app/a": b"1"}, zxid=4), Snapshot({"/etc/app/b": b"1"}), 9, False),
        (Snapshot({"/etc/app/a": b"1"}, zxid=4), None, 4, True),
        (Snapshot({"/etc/app/a": b"1"}, zxid=900), None, 9, False),
        (Snapshot({}), Snapshot({"/etc/app/a": b"1"}, zxid=900), 9, False),
    ],
)
def test_a_file_from_before_this_start_can_become_empty(
    left: Snapshot, in_place: Snapshot | None, zxid: int, is_emptied: bool
) -> None:
    """What an earlier zkexec has installed counts until something is installed now.

    What was installed in another history of the servers is from no znode of this one.
    """
    reads = _Reads(FILES)
    reads.connect()
    reads.inputs.left, reads.inputs.in_place = left, in_place
    reads.read_files(b"1", EMPTIED, zxid)
    assert reads.inputs.problems == ({"/t/a": Problem.EMPTY} if is_emptied else {})


def after_a_wipe() -> _Reads:
    """Return inputs of which the version 5 is installed, after an ensemble of 900 was wiped."""
    reads = _Reads(FILES)
    reads.connect()
    reads.read_files(b"1", tree_of("/t", {"a": b"1", "b": b"1"}, zxid=5), 5)
    reads.inputs.in_place = reads.inputs.wanted
    reads.happen(events.SessionLost("expired", 900))
    reads.connect(session=2)
    return reads


def test_what_was_installed_in_another_history_is_not_compared() -> None:
    """An empty znode of a new history is none of an old file, however much was written since."""
    reads = after_a_wipe()
    reads.read_files(b"1", tree_of("/t", {"b": b"1"}, zxid=3), 50)
    assert reads.topics == ["history-changed"]
    reads.touch("/t/a")
    reads.read_files(b"1", EMPTIED, 60)
    assert reads.inputs.problems == {}
    assert reads.files == {"/f": b"1", "/etc/app/b": b"1"}


def test_the_first_read_of_another_history_is_not_compared() -> None:
    """The same is true of the read that shows that there is another history."""
    reads = after_a_wipe()
    reads.read_files(b"1", EMPTIED, 50)
    assert "history-changed" in reads.topics
    assert reads.inputs.problems == {}


def test_a_tree_makes_a_reading_newer() -> None:
    """A removal in a tree, which changes no znode that is left, raises the zxid."""
    reads = _Reads(FILES)
    reads.connect()
    reads.read_files(b"1", tree_of("/t", {"a": b"1", "b": b"1"}, zxid=3), 3)
    reads.touch("/t")
    reads.read_files(b"1", tree_of("/t", {"a": b"1"}, zxid=8), 3)
    assert reads.inputs.wanted is not None
    assert reads.inputs.wanted.zxid == 8


def test_each_input_is_named_once() -> None:
    """The first connection logs the path of each input, that of a tree with a slash."""
    reads = _Reads(replace(FILES, restart_path="/r"))
    reads.connect()
    assert [note.fields["path"] for note in reads.notes if note.topic == "registering"] == [
        "/z",
        "/t/",
    ]
    reads.happen(events.SessionSuspended("gone"))
    reads.connect()
    assert "registering" not in reads.topics
