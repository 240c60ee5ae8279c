"""All kinds of inputs when zkexec makes a mistake, and when the cluster is not as usual."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from support.inputs_host import InputsHost
from support.posted_events import connected_client
from support.program import Program, Word
from support.proxy import Proxy, like_an_old_server
from support.sandbox import ZKEXEC, Sandbox, faulty
from support.waiting import until
from support.zookeeper import Server, can_read_at_once

CANNOT_WORK = 125


def prepare(inputs: InputsHost) -> None:
    """Write the first content of all inputs."""
    inputs.tree.write({"a": "1", "b": "2"})
    inputs.values.write({"v": "one"})
    inputs.client.create(
        inputs.path("template"), f"{{{{ zk('{inputs.values.path('v')}') }}}}".encode()
    )


def options(inputs: InputsHost) -> list[str]:
    """The options of all kinds of inputs."""
    variable = f"--env=V={inputs.values.path('v')}"
    return [inputs.tree_option, *inputs.template_options(), variable]


def until_read(inputs: InputsHost, count: int, tree: dict[str, str], value: str) -> None:
    """Wait until this start of the recorder has read a tree, and a value in two ways."""
    birth = inputs.born(count)
    assert birth.files == {"tree": tree, "rendered": value}
    assert birth.variables == {"V": value}


def follow(inputs: InputsHost, program: Sequence[Word] = ZKEXEC) -> Program:
    """Start zkexec on all kinds of inputs."""
    reads, recorder = ("tree", "rendered"), ("--variable=V",)
    return inputs.run(*options(inputs), reads=reads, recorder=recorder, program=program)


@pytest.mark.parametrize(
    "fault",
    [
        ("event", "ZnodesRead", "natural-once"),
        ("action", "RenderTemplates", "natural-once"),
        ("done", "RenderTemplates", "natural-once"),
        ("event", "RenderFinished", "natural-once"),
        ("action", "StageFiles", "natural-once"),
        ("event", "FilesStaged", "natural-once"),
    ],
)
def test_a_change_is_applied_in_spite_of_a_mistake(
    inputs: InputsHost, tmp_path: Path, fault: tuple[str, str, str]
) -> None:
    """The command runs on, and the next core applies the change, with its removals."""
    prepare(inputs)
    trip = tmp_path / "trip"
    run = follow(inputs, program=faulty(*fault, trip))
    until_read(inputs, 1, {"a": "1", "b": "2"}, "one")
    trip.touch()
    with inputs.client.transaction() as transaction:
        transaction.delete(inputs.tree.path("b"))
        transaction.set_data(inputs.values.path("v"), b"two")

    run.until("zkexec failed internally")
    until_read(inputs, 2, {"a": "1"}, "two")
    inputs.tree.write({"a": None, "c": "3"})

    until_read(inputs, 3, {"c": "3"}, "two")
    assert run.end() == 0
    assert len(inputs.births()) == 3


def test_a_cluster_that_was_wiped(own_zookeeper: Server, sandbox: Sandbox) -> None:
    """A wiped server removes no file and no variable; what it contains later is followed."""
    with connected_client(own_zookeeper.hosts) as client:
        inputs = InputsHost(sandbox, client, "", own_zookeeper.hosts)
        prepare(inputs)
        for number in range(100):
            client.set(inputs.tree.path("a"), str(number).encode())
        run = follow(inputs)
        until_read(inputs, 1, {"a": "99", "b": "2"}, "one")
        first = inputs.births()[0]

    own_zookeeper.stop()
    run.until("the command keeps running")
    own_zookeeper.wipe()
    own_zookeeper.start()
    run.until(f"{inputs.tree.root} does not exist; the files and the command", deadline_s=120)
    inputs.only(first)
    assert inputs.files() == {"a": "99", "b": "2"}
    with connected_client(own_zookeeper.hosts) as client:
        again = InputsHost.__new__(InputsHost)
        again.__dict__.update(inputs.__dict__)
        again.client = client
        again.tree = type(inputs.tree)(client, inputs.tree.root)
        again.values = type(inputs.values)(client, inputs.values.root)
        again.values.write({"v": "two"})
        client.create(inputs.path("template"), b"two")
        again.tree.write({"a": "99", "c": "3"})

        until(lambda: inputs.births()[-1].files["tree"] == {"a": "99", "c": "3"}, run.story)
        assert inputs.births()[-1].files["rendered"] == "two"
        assert inputs.births()[-1].variables == {"V": "two"}
        assert run.end() == 0


def test_a_lost_connection(inputs: InputsHost, proxy: Proxy) -> None:
    """What is added, changed and removed while the cluster is away is applied by one restart."""
    inputs.hosts = proxy.hosts
    prepare(inputs)
    run = follow(inputs)
    until_read(inputs, 1, {"a": "1", "b": "2"}, "one")
    first = inputs.births()[0]

    proxy.refuse()
    run.until("connection to the cluster lost")
    inputs.tree.write({"b": None, "sub/c": "3"})
    inputs.values.write({"v": "two"})
    inputs.only(first)
    proxy.heal()

    until_read(inputs, 2, {"a": "1", "sub/c": "3"}, "two")
    assert run.end() == 0
    assert len(inputs.births()) == 2


def test_a_server_that_cannot_read_at_once(inputs: InputsHost, proxy: Proxy) -> None:
    """On a server before 3.6 all inputs are read and followed as well."""
    if can_read_at_once():
        proxy.on_request = like_an_old_server
    inputs.hosts = proxy.hosts
    prepare(inputs)
    run = follow(inputs)
    until_read(inputs, 1, {"a": "1", "b": "2"}, "one")

    with inputs.client.transaction() as transaction:
        transaction.delete(inputs.tree.path("b"))
        transaction.create(inputs.tree.path("c"), b"3")
        transaction.set_data(inputs.values.path("v"), b"two")

    until_read(inputs, 2, {"a": "1", "c": "3"}, "two")
    assert run.end() == 0
    assert len(inputs.births()) == 2


@pytest.mark.parametrize("where", ["tree", "values"])
def test_a_znode_that_may_not_be_read(inputs: InputsHost, where: str) -> None:
    """One znode without permission makes all unusable, with its path; later it is followed."""
    prepare(inputs)
    run = follow(inputs)
    first = inputs.born()
    path = f"{inputs.path(where)}/hidden"
    inputs.client.add_auth("digest", "owner:secret")

    inputs.client.create(path, b"hidden", acl=CREATOR_ALL_ACL)
    run.until(f"{path} may not be read; the files and the command stay")
    inputs.tree.write({"b": "changed"})
    inputs.only(first)
    assert inputs.files() == {"a": "1", "b": "2"}
    inputs.client.set_acls(path, OPEN_ACL_UNSAFE)

    after = {"a": "1", "b": "changed"} | ({"hidden": "hidden"} if where == "tree" else {})
    assert inputs.born(2).files["tree"] == after
    assert run.end() == 0


@pytest.mark.parametrize(
    ("below", "why"),
    [
        ("n" * 256, "has a name of more than 255 bytes"),
        ("sub/zknode.data", "has the name of the file for the content of the znode above"),
    ],
)
def test_znodes_that_can_be_no_files(inputs: InputsHost, below: str, why: str) -> None:
    """At the start they end zkexec with 125, later they are a warning, until they are gone."""
    inputs.tree.write({"a": "1", "sub": "own", below: "x"})
    refused = inputs.follow("--silent")
    assert refused.wait() == CANNOT_WORK
    assert f"{inputs.tree.path(below)} {why}" in refused.stderr.text
    assert inputs.files() == {}
    inputs.tree.write({below: None})
    run = inputs.follow()
    first = inputs.born()

    inputs.tree.write({below: "x", "a": "2"})
    run.until(f"{inputs.tree.path(below)} {why}.*; the files and the command stay")
    inputs.only(first)
    inputs.tree.write({below: None})

    assert inputs.born(2).files == {"tree": {"a": "2", "sub": "own"}}
    assert run.end() == 0
