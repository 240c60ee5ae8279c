"""Members that follow a tree: child by child, killed in the middle, and always one moment of it."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from kazoo.client import KazooClient

from support.inputs_group import InputsGroup, inputs_group
from support.link import is_admission, is_join
from support.sandbox import Sandbox
from support.znode_tree import files_below
from support.zookeeper import Server

NAMES = ("m0", "m1", "m2")
TRANSACTIONS = 150
ROUNDS = 5


@pytest.fixture
def group(
    sandbox: Sandbox, client: KazooClient, root: str, zookeeper: Server
) -> Iterator[InputsGroup]:
    """A group without members."""
    with inputs_group(sandbox, client, root, zookeeper.port) as one:
        yield one


def launch(group: InputsGroup, *options: str) -> None:
    """Start members on the tree, and wait until the command of each was healthy."""
    for name in NAMES:
        group.start(name, group.tree_option, *options)
    group.until_counts(1, 1, 1)
    group.until_known_good()


def trees(group: InputsGroup, name: str) -> list[dict[str, str]]:
    """The trees that the command of a member was started on."""
    return [start["tree"] for start in group.starts(name)]


def test_additions_changes_and_removals_take_turns(group: InputsGroup) -> None:
    """Each member is restarted once by one transaction, one after the other, and is up to date."""
    group.tree.write({"a": "1", "sub/b": "2"})
    launch(group)

    group.tree.write({"a": "3", "sub/b": None, "new/c": "4"})
    group.until_counts(2, 2, 2)
    for name in NAMES:
        assert trees(group, name)[-1] == {"a": "3", "new/c": "4"}
    group.tree.write({"new/c": None})
    group.until_counts(3, 3, 3)

    assert [group.files(name) for name in NAMES] == [{"a": "3"}] * 3
    assert {member["up_to_date"] for member in group.members().values()} == {True}
    assert not group.in_flight()


def test_a_check_refuses_a_tree(group: InputsGroup) -> None:
    """One member has checked it, none has installed it; a removal of the file ends the pause."""
    group.tree.write({"a": "1"})
    launch(group, '--check=! grep -rn bad "$1"')

    group.tree.write({"sub/b": "bad"})
    assert "bad" in group.failure()
    assert [group.files(name) for name in NAMES] == [{"a": "1"}] * 3
    group.tree.write({"sub/b": None})
    group.until_counts(1, 1, 1)

    assert len(group.group.logged("the change failed")) == 1


def test_a_tree_that_is_pushed_child_by_child(group: InputsGroup) -> None:
    """While members queue, one child after the other comes; each ends with the final tree."""
    group.tree.write({"0": "0"})
    launch(group, "--settle=0")
    wanted = {f"dir{number % 4}/{number}": f"{number}" for number in range(1, 60)}

    for below, text in wanted.items():
        group.tree.write({below: text})
    group.tree.write({"0": None})
    group.group.complete()

    for name in NAMES:
        group.until_newest(name, tree=wanted)
        assert group.files(name) == wanted
        # What was installed on the way was the tree after some of the writes.
        for tree in trees(group, name)[:-1]:
            numbers = sorted(int(text) for text in tree.values())
            assert numbers == list(range(len(tree)))


def write_number(group: InputsGroup, number: int) -> None:
    """Write a number into two folders, with a file for each of the last digits, at once."""
    digit = number % 10
    files = {f"files/{one}": str(number) if one <= digit else None for one in range(10)}
    before = {f"files/{one}" for one in range((number - 1) % 10 + 1) if number}
    changed = {below: text for below, text in files.items() if text or below in before}
    group.tree.write({"left/number": f"{number}", "right/number": f"{number}", **changed})


def agrees(tree: dict[str, str]) -> bool:
    """Whether these files are those of one transaction of `write_number`."""
    number = int(tree["left/number"])
    files = {f"files/{one}": str(number) for one in range(number % 10 + 1)}
    return tree == {"left/number": f"{number}", "right/number": f"{number}", **files}


def has_number(group: InputsGroup, name: str, number: int) -> bool:
    """Whether the newest start of a member has read this number."""
    return trees(group, name)[-1]["left/number"] == f"{number}"


def test_every_installed_tree_was_one_moment(group: InputsGroup) -> None:
    """Whatever comes and goes, no command ever starts on files of two transactions."""
    write_number(group, 0)
    launch(group, "--settle=0", "--max-unavailable=2")
    dice = random.Random(4)

    for number in range(1, TRANSACTIONS + 1):
        write_number(group, number)
        threading.Event().wait(dice.expovariate(1 / 0.05))  # so that there are turns between
        if number % 50 == 0:
            name = dice.choice(NAMES)
            group.kill(name)
            group.start(name)
    group.group.complete()

    for name in NAMES:
        group.group.until(partial(has_number, group, name, TRANSACTIONS), f"{name} has the last")
    seen = [tree for name in NAMES for tree in trees(group, name)]
    assert [tree for tree in seen if not agrees(tree)] == []
    assert len(seen) > 2 * len(NAMES)


@pytest.mark.parametrize("kind", [is_join, is_admission], ids=["join", "admission"])
@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_child_that_comes_or_goes_while_a_request_is_on_its_way(
    group: InputsGroup, kind: object, change: str
) -> None:
    """The member is readmitted before it stops anything: no command is started on the old tree.

    The version of the root, which the admission checks, is the same.
    """
    group.tree.write({"a": "1", "sub/b": "2", "sub/c": "3"})
    launch(group, "--settle=0")
    lock = threading.Lock()
    done: list[str] = []

    def write_meanwhile() -> None:
        with lock:
            if not done:
                group.tree.write({"sub/d": "4"} if change == "added" else {"sub/c": None})
                done.append(change)

    for name in NAMES:
        group.links[name].on(kind, write_meanwhile)  # type: ignore[arg-type]
    group.tree.write({"a": "changed"})
    group.group.until(lambda: done, "a request is met")
    wanted = {"a": "changed", "sub/b": "2", "sub/c": "3"}
    if change == "added":
        wanted["sub/d"] = "4"
    else:
        wanted.pop("sub/c")
    group.until_counts(2, 2, 2)

    assert [trees(group, name)[1:] for name in NAMES] == [[wanted]] * 3


def state_of(group: InputsGroup, name: str) -> int:
    """What changes whenever a member writes its state file."""
    with suppress(OSError, ValueError):
        (path,) = (group.folder(name) / "state").glob("*.state")
        return path.stat().st_ino
    return 0


def installing(group: InputsGroup, before: dict[str, int]) -> str:
    """The member that has begun to install, if there is one."""
    return next((name for name in NAMES if state_of(group, name) != before[name]), "")


def test_sudden_death_while_a_tree_is_installed(group: InputsGroup) -> None:
    """A zkexec that is killed in its turn, with a tree half installed, adopts the turn."""
    names = [f"dir{number % 7}/{number}" for number in range(80)]
    group.tree.write(dict.fromkeys(names, "0"))
    launch(group, "--settle=0")
    dice = random.Random(5)

    adopted = 0
    for number in range(1, ROUNDS + 1):
        before = {name: state_of(group, name) for name in NAMES}
        gone = names[number * 10 : number * 10 + 10]
        kept = names[number * 10 + 10 :]
        group.tree.write({f"new/{number}": f"{number}", **dict.fromkeys(kept, str(number))})
        group.tree.write(dict.fromkeys(gone))
        name = group.group.until(partial(installing, group, before), "a member installs")
        time.sleep(dice.uniform(0, 0.02))  # one moment after the other
        group.kill(name)
        group.start(name)
        group.group.complete()
        adopted += len(group.group.members[name].stderr.matching("adopting the turn"))
        wanted = {f"new/{one}": f"{one}" for one in range(1, number + 1)}
        wanted |= dict.fromkeys(names[:10], "0") | dict.fromkeys(kept, str(number))
        for one in NAMES:
            group.until_newest(one, tree=wanted)
            assert group.files(one) == wanted

    assert adopted


def test_a_zkexec_that_is_killed_while_it_waits(group: InputsGroup) -> None:
    """A waiting member that is killed and started again keeps the old tree until its turn."""
    group.tree.write({"a": "1", "sub/b": "2"})
    gate = group.group.sandbox.folder / "gate"
    hangs = f'--check=if grep -q 3 "$1/a"; then until [ -e {gate} ]; do sleep 0.05; done; fi'
    launch(group, hangs, "--check-timeout=600")
    group.tree.write({"a": "3", "sub/b": None})
    group.group.until(lambda: len(group.in_flight()) == 1, "one member is in flight")
    waiting = next(name for name in NAMES if name not in group.in_flight())

    group.kill(waiting)
    group.start(waiting)
    assert group.until_starts(waiting, 2)["tree"] == {"a": "1", "sub/b": "2"}
    gate.touch()
    group.group.complete()

    for name in NAMES:
        group.until_newest(name, tree={"a": "3"})


def test_a_folder_that_is_pushed(group: InputsGroup) -> None:
    """`zkexecctl push ZK_PATH/=DIR/ --wait` ends when all members have the folder; undo as well."""
    folder = group.group.sandbox.folder / "new"
    pushed = {"a": "1", "sub/b": "2", "sub/zknode.data": "own"}
    for name, text in pushed.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    zkexecctl, path = group.group.zkexecctl, f"{group.tree.root}/"
    zkexecctl.does("push", f"{path}={folder}/", "--yes")
    launch(group)
    wait = ("--yes", f"--lock={group.group.lock}", "--wait", "--timeout=60")

    (folder / "a").unlink()
    (folder / "c").write_text("3")
    zkexecctl.does("push", f"{path}={folder}/", *wait)
    for name in NAMES:
        assert group.files(name) == {"sub/b": "2", "sub/zknode.data": "own", "c": "3"}
    zkexecctl.does("undo", path, *wait)
    for name in NAMES:
        assert group.files(name) == pushed
    zkexecctl.does("pull", f"{path}={folder.with_name('pulled')}/")

    assert files_below(folder.with_name("pulled")) == pushed
    group.until_counts(3, 3, 3)


def test_a_tree_that_is_reverted(group: InputsGroup) -> None:
    """With --on-failure revert, the last good tree, template and variable are started again."""
    group.tree.write({"a": "good", "sub/b": "2"})
    group.values.write({"v": "good"})
    group.set_template(f"{{{{ zk('{group.values.path('v')}') }}}}")
    launch(
        group,
        *group.template_options,
        group.variable_option("V", "values/v"),
        "--health=! grep -rq bad tree rendered",
        "--health-delay=3",
        "--on-failure=revert",
    )
    old = {"tree": {"a": "good", "sub/b": "2"}, "rendered": "good", "V": "good"}

    with group.client.transaction() as transaction:
        transaction.set_data(group.tree.path("a"), b"bad")
        transaction.delete(group.tree.path("sub/b"))
        transaction.create(group.tree.path("new"), b"3")
        transaction.set_data(group.values.path("v"), b"bad")
    assert "not healthy within 3 s" in group.failure()
    (name,) = group.in_flight()
    assert group.until_starts(name, 2) == {
        "tree": {"a": "bad", "new": "3"},
        "rendered": "bad",
        "V": "bad",
    }
    assert group.until_starts(name, 3) == old
    assert group.files(name) == old["tree"]
    others = [one for one in NAMES if one != name]
    assert [len(group.starts(one)) for one in others] == [1, 1]
    group.values.write({"v": "newer"})
    group.client.set(group.tree.path("a"), b"newer")
    group.group.complete()

    for one in NAMES:
        group.until_newest(one, tree={"a": "newer", "new": "3"}, rendered="newer", V="newer")
