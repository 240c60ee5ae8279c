"""What a reading of all inputs produces on this host: files, variables and problems."""

from collections.abc import Mapping

import pytest

from core.readings import reading_of, tree_of, written_before
from zkexec.core.input_options import (
    InputOptions,
    Mirror,
    Template,
    Variable,
    VariableTree,
)
from zkexec.core.production import Production, Reading, texts_of, values_of
from zkexec.core.rendering_result import NotRendered, Rendered, RenderFailed, ValueMissing
from zkexec.core.snapshot import MOST_BYTES, Problem, Snapshot, Tree, Znode, plan
from zkexec.frozen import replace

NOTHING = Snapshot({})
TREE = InputOptions(mirrors=(Mirror("/etc/app/", "/t/"),))
VALUES = InputOptions(values=("/t",))
VARIABLES = InputOptions(variable_trees=(VariableTree("/t"),))


def made_of(
    inputs: InputOptions,
    reading: Reading,
    *,
    allow_empty: bool = False,
    installed: Snapshot = NOTHING,
) -> Production:
    """Apply the rules to a reading."""
    return Production(inputs, reading, allow_empty=allow_empty, installed=installed)


def snapshot_of(inputs: InputOptions, reading: Reading) -> Snapshot:
    """Return the snapshot of a reading that can be used."""
    production = made_of(inputs, reading)
    assert production.problems == {}
    return production.snapshot("", None, {})


# Files and variables of several options together.


def test_all_kinds_of_inputs_together() -> None:
    """Files, trees and variables of one reading are one snapshot."""
    inputs = InputOptions(
        mirrors=(Mirror("/f", "/z"), Mirror("/d/", "/t/")),
        variables=(Variable("A", "/a"),),
        variable_trees=(VariableTree("/e", "e_"),),
        values=("/v",),
    )
    trees = {
        "/t": tree_of("/t", {"x/y": b"2"}),
        "/e": tree_of("/e", {"b": b"4"}),
        "/v": tree_of("/v", {"c": b"5"}),
    }
    production = made_of(inputs, reading_of({"/z": b"1", "/a": b"3\n"}, trees))
    assert production.problems == {}
    assert production.files == {"/f": b"1", "/d/x/y": b"2"}
    assert production.variables == {"A": b"3", "E_B": b"4"}


def test_one_znode_for_two_targets() -> None:
    """A znode can be a file, a variable and a part of a tree at once."""
    inputs = InputOptions(
        mirrors=(Mirror("/f", "/t/x"), Mirror("/g", "/t/x"), Mirror("/d/", "/t/")),
        variables=(Variable("A", "/t/x"),),
    )
    production = made_of(inputs, reading_of({"/t/x": b"1"}, {"/t": tree_of("/t", {"x": b"1"})}))
    assert production.files == {"/f": b"1", "/g": b"1", "/d/x": b"1"}
    assert production.variables == {"A": b"1"}


def test_one_tree_for_two_folders() -> None:
    """A tree can be written to two folders."""
    inputs = InputOptions(mirrors=(Mirror("/d/", "/t/"), Mirror("/e/", "/t/")))
    production = made_of(inputs, reading_of({}, {"/t": tree_of("/t", {"x": b"1"})}))
    assert production.files == {"/d/x": b"1", "/e/x": b"1"}


def test_the_order_of_precedence_of_variables() -> None:
    """Of two trees the later one wins, of two --env too, and --env wins over trees."""
    trees = {"/t": tree_of("/t", {"a": b"1", "b": b"1", "c": b"1", "d": b"1"})}
    trees["/u"] = tree_of("/u", {"b": b"2", "c": b"2"})
    reading = reading_of({"/x": b"3", "/y": b"4"}, trees)
    inputs = InputOptions(
        variable_trees=(VariableTree("/t"), VariableTree("/u")),
        variables=(Variable("C", "/x"), Variable("D", "/x"), Variable("D", "/y")),
    )
    production = made_of(inputs, reading)
    assert production.problems == {}
    assert production.variables == {"A": b"1", "B": b"2", "C": b"3", "D": b"4"}
    turned = replace(inputs, variable_trees=(VariableTree("/u"), VariableTree("/t")))
    assert made_of(turned, reading).variables["B"] == b"1"


def test_a_variable_can_have_any_name() -> None:
    """What no tree may set, --env may."""
    inputs = InputOptions(variables=(Variable("PATH", "/x"), Variable("LD_PRELOAD", "/x")))
    production = made_of(inputs, reading_of({"/x": b"/bin"}))
    assert production.problems == {}
    assert production.variables == {"PATH": b"/bin", "LD_PRELOAD": b"/bin"}


# What makes a reading unusable, as a whole.


PROBLEMS: Mapping[
    str, tuple[InputOptions, Mapping[str, bytes], Mapping[str, Tree], Mapping[str, Problem]]
] = {
    "an empty znode": (
        InputOptions(mirrors=(Mirror("/f", "/z"), Mirror("/g", "/y"))),
        {"/z": b"", "/y": b"1"},
        {},
        {"/z": Problem.EMPTY},
    ),
    "an empty variable": (
        InputOptions(mirrors=(Mirror("/g", "/y"),), variables=(Variable("A", "/z"),)),
        {"/z": b"", "/y": b"1"},
        {},
        {"/z": Problem.EMPTY},
    ),
    "an empty template": (
        InputOptions(mirrors=(Mirror("/g", "/y"),), templates=(Template("/f", "/z"),)),
        {"/z": b"", "/y": b"1"},
        {},
        {"/z": Problem.EMPTY},
    ),
    "a NUL in a variable": (
        InputOptions(mirrors=(Mirror("/g", "/y"),), variables=(Variable("A", "/z"),)),
        {"/z": b"a\0", "/y": b"1"},
        {},
        {"/z": Problem.NUL},
    ),
    "a long variable": (
        InputOptions(variables=(Variable("A", "/z"), Variable("B", "/y"))),
        {"/z": b"x" * 131_070, "/y": b"1"},
        {},
        {"/z": Problem.LONG_VARIABLE},
    ),
    "a tree without content": (
        replace(TREE, variables=(Variable("B", "/y"),)),
        {"/y": b"1"},
        {"/t": tree_of("/t", {})},
        {"/t": Problem.NOTHING_BELOW},
    ),
    "two trees that are missing": (
        InputOptions(mirrors=(Mirror("/d/", "/t/"),), values=("/v",)),
        {},
        {path: Tree({}, problem=Problem.MISSING) for path in ("/t", "/v")},
        {"/t": Problem.MISSING, "/v": Problem.MISSING},
    ),
    "a forbidden znode of values": (
        replace(VALUES, mirrors=(Mirror("/g", "/y"),)),
        {"/y": b"1"},
        {"/t": tree_of("/t", {"a": b"1"}, problems={"b/c": Problem.FORBIDDEN})},
        {"/t/b/c": Problem.FORBIDDEN},
    ),
    "a tree of variables": (
        replace(VARIABLES, mirrors=(Mirror("/g", "/y"),)),
        {"/y": b"1"},
        {"/t": tree_of("/t", {"path": b"1", "b": b"2"})},
        {"/t/path": Problem.KEPT_VARIABLE},
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_one_problem_makes_all_unusable(name: str) -> None:
    """Each problem is named by the path of its znode, and no plain mirror is produced then."""
    inputs, contents, trees, problems = PROBLEMS[name]
    production = made_of(inputs, reading_of(contents, trees))
    assert production.problems == problems
    assert "/g" not in production.files


@pytest.mark.parametrize(
    "inputs",
    [
        InputOptions(mirrors=(Mirror("/f", "/z"),)),
        InputOptions(templates=(Template("/f", "/z"),)),
        InputOptions(variables=(Variable("A", "/z"),)),
    ],
)
def test_an_empty_znode_can_be_accepted(inputs: InputOptions) -> None:
    """With --allow-empty, a znode that an option names is content even if it is empty."""
    reading = reading_of({"/z": b""})
    assert made_of(inputs, reading).problems == {"/z": Problem.EMPTY}
    production = made_of(inputs, reading, allow_empty=True)
    assert production.problems == {}
    assert production.variables == ({"A": b""} if inputs.variables else {})
    assert production.files == ({"/f": b""} if inputs.mirrors else {})


@pytest.mark.parametrize("problem", [Problem.MISSING, Problem.NO_CHROOT, Problem.FORBIDDEN])
@pytest.mark.parametrize("allow_empty", [False, True])
def test_a_znode_that_was_not_read(problem: Problem, allow_empty: bool) -> None:
    """Its own problem counts, whatever is allowed; a variable of it is not looked at."""
    inputs = InputOptions(variables=(Variable("A", "/z"),))
    reading = Reading({"/z": Znode("/z", problem=problem)}, {})
    production = made_of(inputs, reading, allow_empty=allow_empty)
    assert (production.problems, production.variables) == ({"/z": problem}, {})


def test_empty_values_are_usable() -> None:
    """Templates can read that a znode is empty, or that nothing is below it."""
    assert made_of(VALUES, reading_of({}, {"/t": tree_of("/t", {})})).problems == {}


def test_what_was_installed_decides_whether_a_file_became_empty() -> None:
    """An empty znode makes a tree unusable only if its file is there from an earlier version."""
    tree = tree_of("/t", {"a": b"", "b": b"1"}, created={"a": 7}, zxid=7)
    reading = reading_of({}, {"/t": tree})
    before = {"/etc/app/a": b"1"}
    assert made_of(TREE, reading).problems == {}
    newer = made_of(TREE, reading, installed=Snapshot(before, zxid=6))
    older = made_of(TREE, reading, installed=Snapshot(before, zxid=7))
    assert (newer.problems, older.problems) == ({}, {"/t/a": Problem.EMPTY})


# The limits.


@pytest.mark.parametrize("inputs", [TREE, VALUES, VARIABLES])
def test_the_most_znodes(inputs: InputOptions) -> None:
    """5,000 znodes can be used, with the root and folders, and no more."""
    contents = {f"n{number}": b"x" for number in range(4_998)}
    contents["d/x"] = b"x"
    assert made_of(inputs, reading_of({}, {"/t": tree_of("/t", contents)})).problems == {
        "/t/": Problem.TOO_MANY
    }
    del contents["n0"]
    assert made_of(inputs, reading_of({}, {"/t": tree_of("/t", contents)})).problems == {}


def test_a_znode_of_two_inputs_counts_once() -> None:
    """Trees within trees, and single znodes of a tree, are not counted twice."""
    contents = {f"n/{number}": b"x" for number in range(4_998)}
    below = {path.removeprefix("n/"): content for path, content in contents.items()}
    trees = {"/t": tree_of("/t", contents), "/t/n": tree_of("/t/n", below)}
    inputs = InputOptions(mirrors=(Mirror("/f", "/t/n/7"),), values=("/t", "/t/n"))
    assert made_of(inputs, reading_of({"/t/n/7": b"x"}, trees)).problems == {}
    more = replace(inputs, mirrors=(*inputs.mirrors, Mirror("/g", "/z")))
    problems = made_of(more, reading_of({"/t/n/7": b"x", "/z": b"x"}, trees)).problems
    assert problems == {"/t/n/": Problem.TOO_MANY}


def test_ephemeral_znodes_count_only_below_values() -> None:
    """They are part of no file and of no variable."""
    contents = {f"n{number}": b"x" for number in range(5_000)}
    tree = tree_of("/t", contents, ephemeral=tuple(contents)[:-1])
    reading = reading_of({}, {"/t": tree})
    assert made_of(TREE, reading).problems == {}
    assert made_of(VALUES, reading).problems == {"/t/": Problem.TOO_MANY}
    assert made_of(replace(TREE, values=("/t",)), reading).problems == {"/t/": Problem.TOO_MANY}


def test_the_most_bytes() -> None:
    """64 MiB can be used, of single znodes and trees together, and no more."""
    assert MOST_BYTES == 67_108_864
    megabyte = bytes(1024 * 1024)
    contents = {f"n{number}": megabyte for number in range(63)}
    inputs = replace(TREE, mirrors=(Mirror("/f", "/z"), *TREE.mirrors))
    trees = {"/t": tree_of("/t", contents)}
    assert made_of(inputs, reading_of({"/z": megabyte}, trees)).problems == {}
    problems = made_of(inputs, reading_of({"/z": megabyte + b"x"}, trees)).problems
    assert problems == {"/t/": Problem.TOO_LARGE}


def test_the_most_bytes_of_plain_mirrors() -> None:
    """The limits are those of all inputs; the last znode is named."""
    inputs = InputOptions(mirrors=tuple(Mirror(f"/f{n}", f"/z{n}") for n in range(5_001)))
    contents = {mirror.zk_path: b"x" for mirror in inputs.mirrors}
    assert made_of(inputs, reading_of(contents)).problems == {"/z5000": Problem.TOO_MANY}


def test_the_most_variables() -> None:
    """Variables of all options together have at most 1 MiB; the last option is named."""
    value = b"x" * 104_844  # with a name of three and what is beside it: a tenth of 1 MiB
    contents = {f"v{number}": value for number in range(10, 19)}
    trees = {"/t": tree_of("/t", contents)}
    inputs = replace(VARIABLES, variables=(Variable("ABC", "/z"),))
    usable = made_of(inputs, reading_of({"/z": value + b"x"}, trees))
    assert usable.problems == {}
    problems = made_of(inputs, reading_of({"/z": value + b"x" * 7}, trees)).problems
    assert problems == {"/t": Problem.MANY_VARIABLES}
    singles = InputOptions(variables=tuple(Variable(f"V{n}", "/z") for n in range(10, 21)))
    problems = made_of(singles, reading_of({"/z": value})).problems
    assert problems == {"/z": Problem.MANY_VARIABLES}


def test_a_variable_that_is_replaced_does_not_count() -> None:
    """Only what the command gets counts toward the limit."""
    value = b"x" * 100_000
    contents = {f"v{number}": value for number in range(10, 20)}
    reading = reading_of(
        {"/z": b"1"}, {"/t": tree_of("/t", contents), "/u": tree_of("/u", {"w": value})}
    )
    trees = (VariableTree("/t"), VariableTree("/u"))
    too_many = InputOptions(variable_trees=trees)
    assert made_of(too_many, reading).problems == {"/u": Problem.MANY_VARIABLES}
    replaced = replace(too_many, variables=(Variable("W", "/z"),))
    assert made_of(replaced, reading).problems == {}


# The zxid, the time and the versions of a reading.


def test_the_zxid_of_a_reading() -> None:
    """The newest zxid of all inputs counts, that of a removal in a tree, too, and no other."""
    znodes = {"/z": Znode("/z", b"1", 5), "/restart": Znode("/restart", b"x", 99)}
    inputs = replace(TREE, mirrors=(Mirror("/f", "/z"), *TREE.mirrors))
    tree = tree_of("/t", {"a": b"1"}, zxid=7)
    assert Reading(znodes, {"/t": tree}).zxid_of(inputs) == 7
    assert Reading(znodes, {"/t": replace(tree, zxid=3)}).zxid_of(inputs) == 5
    assert Reading({}, {}).zxid_of(InputOptions()) == 0


def test_the_last_write_of_a_reading() -> None:
    """A removal writes nothing again, nor does an ephemeral znode, except below --values."""
    znodes = {"/z": Znode("/z", b"1", 5), "/restart": Znode("/restart", b"x", 99)}
    inputs = replace(TREE, mirrors=(Mirror("/f", "/z"), *TREE.mirrors))
    below = {"": Znode("/t", mzxid=1), "a": Znode("/t/a", b"1", 7)}
    ephemeral = {"e": Znode("/t/e", b"1", 8, is_ephemeral=True)}
    reading = Reading(znodes, {"/t": Tree({**below, **ephemeral}, zxid=9)})
    assert reading.written_by(inputs) == 7
    assert reading.written_by(replace(inputs, values=("/t",))) == 8
    assert Reading(znodes, {"/t": Tree({}, zxid=9)}).written_by(inputs) == 5
    assert Reading({}, {}).written_by(InputOptions()) == 0


def test_the_last_write_of_a_snapshot() -> None:
    """It is what makes the same bytes a retry; with a lower zxid, that of another history."""
    tree = written_before(tree_of("/t", {"a": b"1"}, zxid=9), 7)
    production = made_of(TREE, reading_of({}, {"/t": tree}))
    snapshot = production.snapshot("", None, {})
    assert (snapshot.zxid, snapshot.last_written) == (9, 7)
    assert replace(snapshot, zxid=3).last_written == 3
    restarted = production.snapshot("x", Znode("/r", b"x", 8), {})
    assert (restarted.zxid, restarted.last_written) == (9, 8)
    plain = InputOptions(mirrors=(Mirror("/f", "/z"),))
    assert snapshot_of(plain, reading_of({"/z": b"1"})).last_written == 1


def test_the_time_of_a_reading() -> None:
    """The newest write of a znode or of one in a tree counts."""
    inputs = replace(TREE, mirrors=(Mirror("/f", "/z"), *TREE.mirrors))
    znodes = {"/z": Znode("/z", b"1", mtime=5.0)}
    trees = {"/t": Tree({"": Znode("/t", mtime=1.0), "a": Znode("/t/a", b"1", mtime=7.0)})}
    assert Reading(znodes, trees).changed_at(inputs) == 7.0
    assert Reading(znodes, {}).changed_at(inputs) == 5.0
    assert Reading({}, {}).changed_at(InputOptions()) == 0.0


def test_the_versions_of_a_reading() -> None:
    """A commit can be checked against single znodes and the roots of trees that exist."""
    znodes = {"/z": Znode("/z", b"1", version=3), "/y": Znode("/y", problem=Problem.MISSING)}
    tree = Tree({"": Znode("/t", version=4), "a": Znode("/t/a", version=9)})
    trees = {"/t": tree, "/u": Tree({}, problem=Problem.MISSING)}
    assert Reading(znodes, trees).versions == {"/z": 3, "/t": 4}


def test_whether_something_may_not_be_read() -> None:
    """A single znode, a tree and a znode of a tree can be forbidden."""
    forbidden = Problem.FORBIDDEN
    assert not reading_of({"/z": b"1"}, {"/t": tree_of("/t", {"a": b"1"})}).is_forbidden
    assert not Reading({"/z": Znode("/z", problem=Problem.MISSING)}, {}).is_forbidden
    assert Reading({"/z": Znode("/z", problem=forbidden)}, {}).is_forbidden
    assert Reading({}, {"/t": Tree({}, problem=forbidden)}).is_forbidden
    assert Reading({}, {"/t": tree_of("/t", {}, problems={"a": forbidden})}).is_forbidden


def test_a_reading_shows_no_content() -> None:
    """No repr of what was read or made of it contains a content."""
    reading = reading_of({"/z": b"secret"}, {"/t": tree_of("/t", {"a": b"secret"})})
    snapshot = snapshot_of(replace(TREE, variables=(Variable("A", "/z"),)), reading)
    assert snapshot.variables == {"A": b"secret"}
    assert "secret" not in repr((reading, snapshot, Rendered({"/f": b"secret"})))


# The snapshot.


def test_equal_content_is_in_memory_once() -> None:
    """What has not changed since the known files stays the same object."""
    known = {"/etc/app/a": bytes(bytearray(b"same")), "/etc/app/b": b"old"}
    tree = tree_of("/t", {"a": bytes(bytearray(b"same")), "b": b"new"})
    snapshot = made_of(TREE, reading_of({}, {"/t": tree})).snapshot("", None, known)
    assert snapshot.files == {"/etc/app/a": b"same", "/etc/app/b": b"new"}
    assert snapshot.files["/etc/app/a"] is known["/etc/app/a"]


def test_a_requested_restart_is_part_of_the_snapshot() -> None:
    """The znode of restarts makes it newer, if it is; another restart changes nothing else."""
    production = made_of(TREE, reading_of({}, {"/t": tree_of("/t", {"a": b"1"}, zxid=7)}))
    plain = production.snapshot("", None, {})
    assert (plain.restart, plain.zxid, plain.changed_at) == ("", 7, 0.0)
    restarted = production.snapshot("x", Znode("/r", b"x", 9, mtime=3.0), {})
    assert (restarted.restart, restarted.zxid, restarted.changed_at) == ("x", 9, 3.0)
    assert production.snapshot("x", Znode("/r", b"x", 6), {}).zxid == 7
    assert restarted.digest == plain.digest
    assert plan(plain, restarted).restarts


# Templates.


TEMPLATES = InputOptions(
    templates=(Template("/x", "/text"), Template("/y", file="y.j2", text=b"local")), values=("/v",)
)
RENDERABLE = reading_of(
    {"/text": b"{{ a }}"},
    {"/v": tree_of("/v", {"": b"0", "a/b": b"1", "e": b"2"}, ephemeral=("e",))},
)


def test_what_templates_can_read() -> None:
    """Everything below --values can be read: the root, what is empty, and what is ephemeral."""
    assert values_of(TEMPLATES, RENDERABLE) == {
        "/v": {"": b"0", "a": b"", "a/b": b"1", "e": b"2"},
    }
    assert texts_of(TEMPLATES, RENDERABLE) == [
        ("/x", "/text", b"{{ a }}"),
        ("/y", "y.j2", b"local"),
    ]


def test_rendered_templates_are_files() -> None:
    """Before they are rendered, a template adds no file."""
    production = made_of(TEMPLATES, RENDERABLE)
    assert (production.files, production.problems) == ({}, {})
    production.add_rendered(Rendered({"/x": b"1", "/y": b"2"}))
    snapshot = production.snapshot("", None, {})
    assert snapshot.files == {"/x": b"1", "/y": b"2"}
    assert snapshot.unrendered == ""


def test_a_missing_value_makes_the_snapshot_unusable() -> None:
    """The znode that a template misses is named as any missing znode."""
    production = made_of(TEMPLATES, RENDERABLE)
    production.add_rendered(ValueMissing("/v/none"))
    assert production.problems == {"/v/none": Problem.NO_VALUE}


def test_a_template_with_an_error_keeps_the_old_file() -> None:
    """The snapshot has the reason, and the files that are there from earlier templates."""
    installed = Snapshot({"/x": b"old", "/other": b"other"})
    production = made_of(TEMPLATES, RENDERABLE, installed=installed)
    production.add_rendered(RenderFailed("/text: line 1: unknown name"))
    snapshot = production.snapshot("", None, {})
    assert snapshot.files == {"/x": b"old"}
    assert snapshot.unrendered == "/text: line 1: unknown name"
    assert production.problems == {}
    changes = plan(replace(installed, files={"/x": b"old"}), snapshot)
    assert (changes.changed, changes.is_unrendered) == ((), True)
    assert changes, "an error is a difference, so that it is acted on"


def test_a_host_that_cannot_render_changes_nothing() -> None:
    """Trouble of this host is no result."""
    production = made_of(TEMPLATES, RENDERABLE)
    production.add_rendered(NotRendered("no process"))
    assert (production.files, production.problems, production.unrendered) == ({}, {}, "")


def test_what_differs_between_two_snapshots() -> None:
    """A variable more, less or with another value is in the plan, in the order of the names."""
    before = Snapshot({}, variables={"SAME": b"1", "OTHER": b"1", "GONE": b"1"})
    after = Snapshot({}, variables={"SAME": b"1", "OTHER": b"2", "NEW": b"1"})
    changes = plan(before, after)
    assert (changes.changed, changes.variables) == ((), ("GONE", "NEW", "OTHER"))
    assert changes
    assert not plan(after, after)
    assert before != after


def test_snapshots_of_different_inputs_are_different() -> None:
    """The digest counts even if nothing on this host differs; what its health proves does not."""
    one = Snapshot({"/f": b"1"}, digest="a")
    assert one != replace(one, digest="b")
    assert not plan(one, replace(one, digest="b"))
    assert one != replace(one, unrendered="error")
    assert one == replace(one, proves_nothing=True, zxid=9, changed_at=1.0)
    assert len({one, replace(one, zxid=9)}) == 1
