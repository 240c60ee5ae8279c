"""Members whose inputs produce something else on each host: turns, failures, and first starts."""

import json
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.inputs_group import InputsGroup, inputs_group
from support.sandbox import Sandbox
from support.zookeeper import Server

NAMES = ("m0", "m1", "m2")
NOTHING = "the inputs changed, but nothing on this host differs"


@pytest.fixture
def group(
    sandbox: Sandbox, client: KazooClient, root: str, zookeeper: Server
) -> Iterator[InputsGroup]:
    """A group without members."""
    with inputs_group(sandbox, client, root, zookeeper.port) as one:
        yield one


def launch(group: InputsGroup, *options: str, names: tuple[str, ...] = NAMES) -> None:
    """Start members on the template, of which m0 has another colour, and wait for them."""
    for name in names:
        colour = "red" if name == "m0" else "blue"
        group.start(name, *group.template_options, *options, COLOUR=colour)
    group.until_counts(*(1 for _ in names))


def turns(group: InputsGroup, name: str) -> int:
    """How many turns a member has taken."""
    return len(group.group.members[name].stderr.matching("turn taken"))


def only_for_red(text: str) -> str:
    """A template that renders a text on one host, and the same everywhere else."""
    return f"{{% if env.COLOUR == 'red' %}}{text}{{% else %}}same{{% endif %}}"


def test_members_for_which_nothing_differs(group: InputsGroup) -> None:
    """They take no turn and are not restarted, and are up to date in the status."""
    group.values.write({"v": "1"})
    group.set_template(only_for_red(f"{{{{ zk('{group.values.path('v')}') }}}}"))
    launch(group)
    before = {name: turns(group, name) for name in NAMES}

    group.values.write({"v": "2"})
    assert group.until_starts("m0", 2)["rendered"] == "2"
    group.until_counts(2, 1, 1)

    for name in ("m1", "m2"):
        group.group.members[name].until(NOTHING)
    assert turns(group, "m0") == before["m0"] + 1
    assert [turns(group, name) for name in ("m1", "m2")] == [before["m1"], before["m2"]]
    members = group.members()
    assert [members[name]["up_to_date"] for name in NAMES] == [True] * 3
    assert len({json.dumps(members[name]["running"]) for name in NAMES}) == 1


def test_nothing_differs_anywhere(group: InputsGroup) -> None:
    """A change that no member uses is complete without a turn."""
    group.values.write({"v": "1"})
    group.set_template("same")
    launch(group)

    group.values.write({"v": "2"})
    for name in NAMES:
        group.group.members[name].until(NOTHING)
    group.until_counts(1, 1, 1)

    assert group.in_flight() == set()
    assert {member["up_to_date"] for member in group.members().values()} == {True}


def test_an_error_on_one_host(group: InputsGroup) -> None:
    """The rollout stops at the member on which the template fails, and the status names why."""
    group.values.write({"v": "1"})
    group.set_template("old")
    launch(group)

    group.set_template("new\n" + only_for_red("{{ undefined_name }}"))
    reason = group.failure()
    assert "m0" in reason
    assert "undefined_name" in reason
    shown = group.group.status().out
    assert "render" in shown
    assert group.template in shown
    assert ":2" in shown or "line 2" in shown
    assert group.members()["m0"]["step"] == "render"
    assert group.counts()["m0"] == 1
    assert (group.folder("m0") / "rendered").read_text() == "old"
    others = [group.starts(name)[-1]["rendered"] for name in ("m1", "m2")]
    assert set(others) <= {"old", "new\nsame"}

    group.set_template("newest")
    group.group.complete()
    for name in NAMES:
        group.until_newest(name, rendered="newest")


def test_an_error_on_all_hosts(group: InputsGroup) -> None:
    """One member has tried it; the same written again is tried once more, and an undo heals."""
    group.set_template("old")
    group.values.write({"v": "1"})
    launch(group)

    group.set_template("{{ undefined_name }}")
    group.failure()
    failed = [name for name in NAMES if group.members()[name]["phase"] == "failed"]
    assert len(failed) == 1
    assert set(group.counts().values()) == {1}
    count = len(group.group.logged("the change failed"))
    assert count == 1
    group.set_template("{{ undefined_name }}")
    group.group.until(
        lambda: len(group.group.logged("the change failed")) == 2, "it is tried again"
    )
    assert set(group.counts().values()) == {1}
    group.set_template("old")
    group.until_counts(1, 1, 1)


@pytest.mark.parametrize("who", ["the member that failed", "another member"])
def test_a_restart_while_the_wanted_version_has_failed(group: InputsGroup, who: str) -> None:
    """The files and variables on the disk are started, as the state file knows them for good."""
    group.set_template("old")
    group.values.write({"v": "one"})
    group.tree.write({"a": "1", "sub/b": "2"})
    variable = group.variable_option("V", "values/v")
    launch(group, group.tree_option, variable)
    group.until_known_good()

    with group.client.transaction() as transaction:
        transaction.set_data(group.template, b"{{ undefined_name }}")
        transaction.set_data(group.values.path("v"), b"two")
        transaction.set_data(group.tree.path("a"), b"3")
    group.failure()
    is_failed = {name: group.members()[name]["phase"] == "failed" for name in NAMES}
    assert sum(is_failed.values()) == 1
    name = next(one for one in NAMES if is_failed[one] == (who == "the member that failed"))
    group.kill(name)
    run = group.start(name)

    started = group.until_starts(name, 2)
    assert started == {"tree": {"a": "1", "sub/b": "2"}, "rendered": "old", "V": "one"}
    run.until("starting on the files on disk: they are known good|the wanted version is not used")
    group.set_template("new")
    group.group.complete()
    for one in NAMES:
        group.until_newest(one, tree={"a": "3", "sub/b": "2"}, rendered="new", V="two")


def test_the_reboot_of_a_bystander(group: InputsGroup) -> None:
    """It makes the version not known good: two affected members still go one at a time."""
    group.values.write({"v": "1"})
    gate = group.group.sandbox.folder / "gate"
    affected = f"{{% if member != 'm2' %}}{{{{ zk('{group.values.path('v')}') }}}}{{% endif %}}."
    group.set_template(affected)
    health = f"--health=! grep -q 2 rendered || test -e {gate}"
    launch(group, "--max-unavailable=2", health, "--health-delay=60")
    group.until_known_good()

    group.group.zkexecctl.does("pause", group.group.lock, "--reason=test")
    group.values.write({"v": "2"})
    group.group.members["m2"].until(NOTHING)
    group.end("m2")
    again = group.start("m2")
    group.until_starts("m2", 2)
    again.until("successful health check")
    group.until_known_good()
    group.group.zkexecctl.does("resume", group.group.lock)
    group.group.until(lambda: len(group.in_flight()) == 1, "one member is in flight")
    (first,) = group.in_flight()
    (second,) = {"m0", "m1"} - {first}
    group.until_starts(first, 2)
    group.group.members[second].until("waiting for the turn|next in the queue")
    assert group.in_flight() == {first}
    assert len(group.starts(second)) == 1
    gate.touch()
    group.until_counts(2, 2, 2)


def test_start_cached_with_all_inputs(group: InputsGroup) -> None:
    """While the cluster is away, members start on what they have; then they follow, in turns."""
    group.set_template(f"{{{{ zk('{group.values.path('v')}') }}}}")
    group.values.write({"v": "one"})
    group.tree.write({"a": "1", "sub/b": "2"})
    options = ("--start=cached", "--connect-timeout=4", group.variable_option("V", "values/v"))
    launch(group, group.tree_option, *options, names=("m0", "m1"))
    old = {"tree": {"a": "1", "sub/b": "2"}, "rendered": "one", "V": "one"}
    for name in ("m0", "m1"):
        group.end(name)
        group.links[name].refuse()

    for name in ("m0", "m1"):
        run = group.start(name)
        assert group.until_starts(name, 2) == old
        run.until("starting on the files on disk")
    group.values.write({"v": "two"})
    group.tree.write({"sub/b": None, "c": "3"})
    for name in ("m0", "m1"):
        group.links[name].heal()
    group.group.complete()

    for name in ("m0", "m1"):
        group.until_newest(name, tree={"a": "1", "c": "3"}, rendered="two", V="two")
        assert turns(group, name) >= 1


def test_variables_take_turns(group: InputsGroup) -> None:
    """A variable is a change like any other: a rollout, a config failure, and an undo."""
    group.set_template("same")
    group.values.write({"v": "good 1"})
    options = (group.variable_option("V", "values/v"), '--check=case "$V" in bad*) exit 7; esac')
    launch(group, *options)

    group.values.write({"v": "good 2"})
    group.until_counts(2, 2, 2)
    assert [group.starts(name)[-1]["V"] for name in NAMES] == ["good 2"] * 3
    group.values.write({"v": "bad 3"})
    assert "exit status 7" in group.failure()
    assert set(group.counts().values()) == {2}
    group.values.write({"v": "good 2"})
    group.until_counts(2, 2, 2)


def test_secrets_are_in_no_znode_of_the_group(group: InputsGroup) -> None:
    """Values appear in no record, no member status, no `status` and no log."""
    hidden = "hidden-a1b2"
    path = group.values.path("v")
    group.set_template(f"{{{{ zk('{path}') }}}}")
    group.values.write({"v": hidden})
    launch(group, group.variable_option("V", "values/v"), names=("m0", "m1"))
    group.values.write({"v": f"{hidden} 2"})
    group.group.complete()
    group.set_template(f"{{{{ zk('{path}').nothing.below }}}}")
    group.failure()

    znodes = group.contents_of_znodes()
    assert b"m0" in znodes
    assert hidden.encode() not in znodes
    shown = group.group.status().out + group.group.status("--json").out
    assert hidden not in shown + group.group.story()


def test_a_restart_of_the_group(group: InputsGroup) -> None:
    """`zkexecctl restart` restarts each member once, also if nothing differs on its host."""
    group.values.write({"v": "1"})
    group.set_template(only_for_red(f"{{{{ zk('{group.values.path('v')}') }}}}"))
    launch(group)
    group.values.write({"v": "2"})
    group.until_counts(2, 1, 1)

    group.group.zkexecctl.does("restart", group.group.lock, "--reason=test")
    group.until_counts(3, 2, 2)
    group.values.write({"v": "3"})
    group.until_counts(4, 2, 2)


def test_undo_of_a_template_that_fails(group: InputsGroup) -> None:
    """A pushed template with an error fails the push; `zkexecctl undo` makes all up to date."""
    group.set_template("old")
    group.values.write({"v": "1"})
    launch(group)
    zkexecctl, wait = (
        group.group.zkexecctl,
        (f"--lock={group.group.lock}", "--wait", "--timeout=60"),
    )
    file = zkexecctl.file(b"new\n" + only_for_red("{{ undefined_name }}").encode())

    pushed = zkexecctl("push", f"{group.template}={file}", "--yes", *wait)
    assert pushed.status == 1, pushed
    assert "m0" in pushed.err
    assert "undefined_name" in pushed.err
    zkexecctl.does("undo", group.template, "--yes", *wait)

    for name in NAMES:
        group.until_newest(name, rendered="old")
        assert (group.folder(name) / "rendered").read_text() == "old"
    assert group.counts()["m0"] == 1
