"""The digest of the inputs: what makes another version, and what does not."""

import random
from collections.abc import Mapping

import pytest

from core.readings import reading_of, tree_of
from zkexec.core.input_options import InputOptions, Mirror, Template, Variable, VariableTree
from zkexec.core.production import Production, Reading
from zkexec.core.rollout.version import version_of
from zkexec.core.snapshot import Snapshot
from zkexec.digest import digest_of_parts
from zkexec.frozen import replace

TREE = InputOptions(mirrors=(Mirror("/etc/app/", "/t/"),))
VALUES = InputOptions(values=("/t",))
VARIABLES = InputOptions(variable_trees=(VariableTree("/t"),))


def snapshot_of(inputs: InputOptions, reading: Reading) -> Snapshot:
    """Return the snapshot of a reading that can be used."""
    production = Production(inputs, reading, allow_empty=False, installed=Snapshot({}))
    assert production.problems == {}
    return production.snapshot("", None, {})


def digest_of(inputs: InputOptions, reading: Reading) -> str:
    """Return the digest of a reading that can be used."""
    return snapshot_of(inputs, reading).digest


def test_equal_inputs_have_an_equal_digest_in_any_order() -> None:
    """The order in which znodes come makes no difference."""
    contents = {f"a/{number}": b"%d" % number for number in range(9)}
    inputs = InputOptions(
        mirrors=(Mirror("/f", "/z"), Mirror("/g", "/y"), Mirror("/d/", "/t/")), values=("/u", "/t")
    )
    digests, dice = set(), random.Random(7)
    for _ in range(20):
        names = list(contents)
        dice.shuffle(names)
        tree = tree_of("/t", {name: contents[name] for name in names})
        above = tree_of("/u", {name: contents[name] for name in reversed(names)})
        singles = [("/z", b"1"), ("/y", b"2")]
        dice.shuffle(singles)
        trees = [("/t", tree), ("/u", above)]
        dice.shuffle(trees)
        digests.add(digest_of(inputs, reading_of(dict(singles), dict(trees))))
    assert len(digests) == 1


def test_targets_and_names_do_not_count() -> None:
    """Equal inputs are the same version, whatever a member makes of them."""
    reading = reading_of({}, {"/t": tree_of("/t", {"a": b"1", "b/c": b"2"})})
    every = (TREE, VALUES, VARIABLES, InputOptions(mirrors=(Mirror("/d/", "/t/"),)))
    assert len({digest_of(inputs, reading) for inputs in every}) == 1
    both = replace(TREE, values=("/t",))
    assert digest_of(both, reading) == digest_of(TREE, reading)
    assert (
        version_of(snapshot_of(TREE, reading), TREE).scope
        == version_of(snapshot_of(VALUES, reading), VALUES).scope
    )


@pytest.mark.parametrize(
    "contents",
    [
        {"a": b"1", "b": b"3"},
        {"a": b"1", "c": b"2"},
        {"a": b"1"},
        {"a": b"1", "b": b"2", "c": b""},
        {"a": b"2", "b": b"1"},
        {"a": b"1b", "b": b"2"},
        {"a": b"1", "a/b": b"2"},
    ],
)
def test_another_path_or_byte_is_another_version(contents: Mapping[str, bytes]) -> None:
    """A byte, a path, an empty znode: each difference in the inputs makes another digest."""
    one = digest_of(TREE, reading_of({}, {"/t": tree_of("/t", {"a": b"1", "b": b"2"})}))
    assert digest_of(TREE, reading_of({}, {"/t": tree_of("/t", contents)})) != one


def test_the_digest_is_that_of_paths_and_contents() -> None:
    """It is the same on every host and in every release: each path with its content, sorted."""
    reading = reading_of({"/z": b"1"}, {"/t": tree_of("/t", {"a": b"2"})})
    inputs = replace(TREE, mirrors=(Mirror("/f", "/z"), *TREE.mirrors))
    parts = {(b"/z", b"1"), (b"/t", b""), (b"/t/a", b"2")}
    assert digest_of(inputs, reading) == digest_of_parts(parts)
    assert version_of(snapshot_of(inputs, reading), inputs).digest == digest_of_parts(parts)


def test_plain_mirrors_need_no_digest() -> None:
    """The version of plain mirrors is made of the files, as it always was."""
    inputs = InputOptions(mirrors=(Mirror("/f", "/z"),))
    snapshot = snapshot_of(inputs, reading_of({"/z": b"1"}))
    assert snapshot.digest == ""
    assert version_of(snapshot, inputs).digest == digest_of_parts({(b"/z", b"1")})


def test_ephemeral_znodes_are_part_of_the_digest_only_below_values() -> None:
    """An ephemeral znode makes another version only if templates can read it."""
    without = reading_of({}, {"/t": tree_of("/t", {"a": b"1"})})
    with_one = reading_of({}, {"/t": tree_of("/t", {"a": b"1", "e": b"2"}, ephemeral=("e",))})
    for inputs in (TREE, VARIABLES):
        assert digest_of(inputs, with_one) == digest_of(inputs, without)
    for inputs in (VALUES, replace(TREE, values=("/t",))):
        assert digest_of(inputs, with_one) != digest_of(inputs, without)


def test_an_ephemeral_znode_that_an_option_names_counts() -> None:
    """It is an input by itself, even if a tree that contains it skips it."""
    inputs = replace(TREE, variables=(Variable("A", "/t/e"),))
    digests = set()
    for content in (b"1", b"2"):
        tree = tree_of("/t", {"a": b"1", "e": content}, ephemeral=("e",))
        digests.add(digest_of(inputs, reading_of({"/t/e": content}, {"/t": tree})))
    assert len(digests) == 2


def test_the_text_of_a_local_template_is_part_of_the_digest() -> None:
    """The text counts, and the names of the file and of the target do not."""
    reading = reading_of({}, {"/t": tree_of("/t", {"a": b"1"})})

    def digest_with(*templates: Template) -> str:
        return digest_of(InputOptions(templates=templates, values=("/t",)), reading)

    one = digest_with(Template("/x", file="x.j2", text=b"{{ a }}"))
    assert one == digest_with(Template("/y", file="y.j2", text=b"{{ a }}"))
    assert one != digest_with(Template("/x", file="x.j2", text=b"{{ b }}"))
    assert one != digest_of(VALUES, reading)
    assert digest_with(Template("/x", file="x.j2")) != digest_of(VALUES, reading)


def test_the_text_of_a_template_in_a_znode_is_an_input_as_any_other() -> None:
    """Its path and its bytes count."""
    inputs = InputOptions(templates=(Template("/x", "/text"),))
    digest = digest_of(inputs, reading_of({"/text": b"1"}))
    assert digest == digest_of_parts({(b"/text", b"1")})
    assert digest != digest_of(inputs, reading_of({"/text": b"2"}))


def test_a_znode_and_a_local_text_are_not_mixed_up() -> None:
    """No text of a file can look like the content of a znode."""
    local = InputOptions(templates=(Template("/x", file="x", text=b"/z1"),))
    znode = InputOptions(mirrors=(Mirror("/f", "/z"),), values=("/t",))
    trees = {"/t": tree_of("/t", {})}
    assert digest_of(local, reading_of({})) != digest_of(znode, reading_of({"/z": b"1"}, trees))
