"""Who may use what a push creates, and what is shown without permission."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import ACL, Id, make_digest_acl

from support.tls_server import known
from support.zkexecctl import Zkexecctl, entries, index_of
from support.zookeeper import Server
from zkexec.cli.security import Access, Credential

READ, WRITE, CREATE, DELETE, ALL = 1, 2, 4, 8, 31
ROLES = ("admin", "deployer", "reader")


@pytest.fixture
def clients(zookeeper: Server) -> Iterator[dict[str, KazooClient]]:
    """A plain client of each of three identities."""
    with ExitStack() as stack:
        yield {
            role: stack.enter_context(
                known(zookeeper.hosts, Access(credentials=(Credential("digest", role, role),)))
            )
            for role in ROLES
        }


@pytest.fixture
def hands(zookeeper: Server, tmp_path: Path) -> dict[str, Zkexecctl]:
    """An operator for each identity, and one without any."""
    hands = {"stranger": Zkexecctl(zookeeper.hosts, tmp_path)}
    for role in ROLES:
        secret = tmp_path / role
        secret.write_text(f"{role}:{role}\n")
        secret.chmod(0o600)
        hands[role] = Zkexecctl(zookeeper.hosts, tmp_path, f"--auth=digest:@{secret}")
    return hands


def allowed(**permissions: int) -> list[ACL]:
    """An ACL of identities by their names."""
    return [
        make_digest_acl(role, role)._replace(perms=bits)
        if role != "world"
        else ACL(bits, Id("world", "anyone"))
        for role, bits in permissions.items()
    ]


def acl(client: KazooClient, path: str) -> dict[str, int]:
    """Who may do what with a znode, by the names of identities."""
    found, _ = client.get_acls(path)
    return {one.id.id.partition(":")[0]: one.perms for one in found}


def test_history_of_a_secret(
    clients: dict[str, KazooClient], hands: dict[str, Zkexecctl], root: str
) -> None:
    """Contents have the ACL of their path; in the index its writers may create and delete too."""
    conf = f"{root}/conf"
    who = allowed(admin=ALL, deployer=READ | WRITE, reader=READ)
    clients["admin"].create(conf, b"old", acl=who)

    hands["admin"].push(conf, b"secret")

    index = index_of(conf)
    expected = {"admin": ALL, "deployer": READ | WRITE, "reader": READ}
    contents = clients["admin"].get_children(index)
    assert len(contents) == 2
    for name in contents:
        assert acl(clients["admin"], f"{index}/{name}") == expected
    expected["deployer"] |= CREATE | DELETE
    assert acl(clients["admin"], index) == expected


def test_everybody_does_what_the_acl_lets_them(
    clients: dict[str, KazooClient], hands: dict[str, Zkexecctl], root: str
) -> None:
    """Writers can push and undo over others' contents; readers see all; strangers nothing."""
    conf = f"{root}/conf"
    who = allowed(admin=ALL, deployer=READ | WRITE | 16, reader=READ)
    clients["admin"].create(conf, b"old\n", acl=who)
    hands["admin"].push(conf, b"one\n")
    hands["deployer"].push(conf, b"two\n")
    hands["deployer"].does("undo", conf, "--yes")

    assert hands["reader"].does("show", f"{conf}@3").raw == b"two\n"
    assert "+one" in hands["reader"].does("diff", conf, "3").out
    assert len(hands["reader"].contents(conf)) == 4
    refused = hands["reader"].refused(conf, b"three\n")
    assert refused.status == 125
    assert refused.err == f"zkexecctl: {conf}: no permission to write it (w)\n"
    assert refused.out == ""
    for words in (["history", conf], ["show", conf], ["diff", conf, "1"]):
        answer = hands["stranger"](*words)
        assert (answer.status, answer.err) == (
            125,
            f"zkexecctl: {conf}: no permission to read it (r)\n",
        )


def test_a_dry_run_of_a_reader(
    clients: dict[str, KazooClient], hands: dict[str, Zkexecctl], root: str
) -> None:
    """A reader sees by a dry run what a push would change."""
    conf = f"{root}/conf"
    clients["admin"].create(conf, b"old\n", acl=allowed(admin=ALL, reader=READ))

    answer = hands["reader"].does("push", f"{conf}={hands['reader'].file(b'new')}", "--dry-run")

    assert "-old" in answer.out


def test_hidden_keys(
    clients: dict[str, KazooClient], hands: dict[str, Zkexecctl], root: str
) -> None:
    """A hidden key in an ACL stops a push, unless the key is visible or given."""
    conf = f"{root}/conf"
    who = allowed(admin=ALL, deployer=READ | WRITE)
    clients["admin"].create(conf, b"old", acl=who)

    refused = hands["deployer"].refused(conf, b"new")

    assert refused.status == 125
    assert "no permission to see the key of digest:admin in its ACL (a)" in refused.err
    with pytest.raises(NoAuthError):
        clients["reader"].get(conf)
    assert clients["admin"].get(conf)[0] == b"old"
    key = make_digest_acl("admin", "admin").id.id
    hands["deployer"].push(conf, b"new", f"--acl=digest:{key}:cdrwa")
    assert acl(clients["admin"], index_of(conf)) == {"admin": ALL, "deployer": 15}
    hands["admin"].does("undo", conf, "--yes")
    assert clients["admin"].get(conf)[0] == b"old"


def test_an_acl_that_changes(
    clients: dict[str, KazooClient], hands: dict[str, Zkexecctl], root: str
) -> None:
    """If a path has another ACL than before, the next push gives it to the whole history."""
    conf = f"{root}/conf"
    hands["admin"].push(conf, b"one")
    hands["admin"].push(conf, b"two")
    clients["admin"].set_acls(conf, allowed(admin=ALL))
    assert hands["stranger"]("show", conf).status == 125

    hands["admin"].push(conf, b"three")

    for path in (
        index_of(conf),
        *(f"{index_of(conf)}/{name}" for name in clients["admin"].get_children(index_of(conf))),
    ):
        assert acl(clients["admin"], path) == {"admin": ALL}


def test_a_new_znode_is_for_whom_acl_says(
    clients: dict[str, KazooClient], hands: dict[str, Zkexecctl], root: str
) -> None:
    """What is created has the requested ACL: the path, its parents and its history."""
    conf = f"{root}/deep/conf"

    hands["admin"].push(conf, b"secret", "--acl=creator")

    for path in (conf, f"{root}/deep", index_of(conf)):
        assert acl(clients["admin"], path) == {"admin": ALL}
    assert clients["reader"].get_children(root) == ["deep"]
    assert hands["reader"]("show", conf).status == 125


def test_a_deleted_secret(
    clients: dict[str, KazooClient], hands: dict[str, Zkexecctl], root: str
) -> None:
    """A secret that is made again by undo is no less secret than it was."""
    conf = f"{root}/conf"
    hands["admin"].push(conf, b"secret", "--acl=creator")
    clients["admin"].delete(conf)

    hands["admin"].does("undo", conf, "--yes")

    assert acl(clients["admin"], conf) == {"admin": ALL}


def test_no_permission_to_create(
    clients: dict[str, KazooClient], hands: dict[str, Zkexecctl], root: str
) -> None:
    """Without the permission to create below a znode, nothing is written; the error names it."""
    clients["admin"].create(f"{root}/closed", acl=allowed(admin=ALL, world=READ))
    conf = f"{root}/closed/conf"

    refused = hands["reader"].refused(conf, b"new")

    assert refused.status == 125
    assert refused.err == (f"zkexecctl: {root}/closed: no permission to create {conf} (c)\n")
    assert clients["admin"].exists(conf) is None
    assert entries(clients["admin"], conf) == []


def test_a_closed_root(
    zookeeper: Server,
    root: str,
    clients: dict[str, KazooClient],
    hands: dict[str, Zkexecctl],
) -> None:
    """Identities of their own find room for their histories beside each other."""
    chroot = f"{root}/top"
    clients["admin"].create(chroot, acl=allowed(admin=ALL, world=READ | CREATE))
    both = []
    for role in ("admin", "deployer"):
        folder = hands[role].folder
        zkexecctl = Zkexecctl(
            f"{zookeeper.hosts}{chroot}", folder, f"--auth=digest:@{folder / role}"
        )
        zkexecctl.push(f"/{role}", b"1", "--acl=creator")
        zkexecctl.push(f"/{role}", b"2", "--acl=creator")
        both.append(len(zkexecctl.contents(f"/{role}")))

    assert both == [2, 2]
    assert acl(clients["admin"], f"{chroot}/zkexec/.history") == {
        "admin": ALL,
        "anyone": READ | CREATE,
    }
