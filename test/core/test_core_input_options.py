"""The inputs as options name them: what is read for them, and how they are named."""

import pytest

from zkexec.core.input_options import (
    InputOptions,
    Mirror,
    Template,
    Variable,
    VariableTree,
    root_of,
)
from zkexec.core.policy import Policy

FILE, TREE = Mirror("/f", "/z"), Mirror("/etc/app/", "/t/")
ALL = InputOptions(
    mirrors=(FILE, TREE),
    templates=(Template("/x", "/text"), Template("/y", file="y.j2", text=b"secret")),
    values=("/v", "/t"),
    variables=(Variable("A", "/a"), Variable("B", "/z")),
    variable_trees=(VariableTree("/e", "APP_"), VariableTree("/v")),
)


def test_a_mirror_of_a_tree_ends_with_a_slash() -> None:
    """A tree is told from a file by its path, and its root has no slash at its end."""
    assert (FILE.is_tree, TREE.is_tree) == (False, True)
    assert [root_of(path) for path in ("/t/", "/t", "/a/b/")] == ["/t", "/t", "/a/b"]


def test_a_template_is_named_by_its_znode_or_file() -> None:
    """Messages name a template by what contains its text, and show no text."""
    assert [template.name for template in ALL.templates] == ["/text", "y.j2"]
    assert "secret" not in repr(ALL)


def test_what_is_read() -> None:
    """Each znode and each tree is read once, in the order of the kinds of inputs."""
    assert ALL.znodes == ("/z", "/text", "/a")
    assert ALL.trees == ("/t", "/v", "/e")
    assert ALL.mirrored_trees == (TREE,)


def test_what_people_see() -> None:
    """A tree is shown with a slash, and so is the folder that it becomes."""
    assert ALL.paths == ("/z", "/text", "/a", "/t/", "/v/", "/e/")
    assert ALL.targets == ("/f", "/etc/app/", "/x", "/y")


@pytest.mark.parametrize(
    ("inputs", "file_options", "options"),
    [
        (InputOptions(), (), ()),
        (InputOptions(mirrors=(FILE,)), ("--mirror",), ("--mirror",)),
        (InputOptions(templates=ALL.templates), ("--template",), ("--template",)),
        (InputOptions(variables=ALL.variables), (), ("--env",)),
        (InputOptions(variable_trees=ALL.variable_trees), (), ("--env-tree",)),
        (
            ALL,
            ("--mirror", "--template"),
            ("--mirror", "--template", "--values", "--env", "--env-tree"),
        ),
    ],
)
def test_messages_name_the_options_in_use(
    inputs: InputOptions, file_options: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """An option that is not used is in no message."""
    assert (inputs.file_options, inputs.options) == (file_options, options)


@pytest.mark.parametrize(
    ("inputs", "needs_state"),
    [
        (InputOptions(), False),
        (InputOptions(mirrors=(FILE,)), False),
        (InputOptions(mirrors=(TREE,)), True),
        (InputOptions(templates=ALL.templates), True),
        (InputOptions(values=("/v",)), True),
        (InputOptions(variables=ALL.variables), True),
        (InputOptions(variable_trees=ALL.variable_trees), True),
    ],
)
def test_plain_mirrors_need_no_state(inputs: InputOptions, needs_state: bool) -> None:
    """Only if there is something else than plain mirrors, a state file is kept."""
    assert inputs.needs_state is needs_state


def test_the_identity_of_plain_mirrors() -> None:
    """The identity of plain mirrors is that of a release that knew nothing else."""
    assert InputOptions(mirrors=(FILE,)).identity == ([("/f", "/z")],)
    assert InputOptions().identity == ([],)


def test_the_identity_of_all_inputs() -> None:
    """Each kind in use is part of the identity, with its names and without any text."""
    assert ALL.identity == (
        [("/f", "/z"), ("/etc/app/", "/t/")],
        ("templates", [("/x", "/text", ""), ("/y", "", "y.j2")]),
        ("values", ("/v", "/t")),
        ("variables", [("A", "/a"), ("B", "/z")]),
        ("variable trees", [("/e", "APP_"), ("/v", "")]),
    )


def test_what_a_member_follows() -> None:
    """The znode of restarts is read with the single znodes; trees alone are followed, too."""
    everything = Policy(inputs=ALL, in_group=True, restart_path="/r")
    assert everything.followed == ("/z", "/text", "/a", "/r")
    assert Policy(inputs=InputOptions(mirrors=(TREE,))).follows_any
    assert Policy(in_group=True, restart_path="/r").follows_any
    assert not Policy().follows_any
