"""Pushes and undos on a real server: what is written, what is kept, and what is refused."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.zkexecctl import Zkexecctl, entries, index_of, is_whole, kept
from support.zookeeper import Server


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str) -> str:
    """The path of a znode that is not there yet."""
    return f"{root}/conf"


def digest(content: bytes) -> str:
    """The name under which a content is kept."""
    return sha256(content).hexdigest()


def test_a_new_znode(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A push creates a missing znode, prints what it did, and records who did it, when and why."""
    answer = zkexecctl.push(conf, b"one\n", "--message", "the first", "--by", "ada")

    assert answer.out.splitlines() == [
        f"{conf}: new znode",
        "--- /dev/null",
        f"+++ {conf} ({zkexecctl.folder / 'new'})",
        "@@ -0,0 +1 @@",
        "+one",
        f"{conf}: pushed as @1 (4 bytes, sha256 {digest(b'one' + os.linesep.encode())[:12]})",
    ]
    content, stat = client.get(conf)
    assert content == b"one\n"
    (entry,) = entries(client, conf)
    assert (entry["by"], entry["message"], entry["set_by_other_tool"]) == (
        "ada",
        "the first",
        False,
    )
    assert abs(entry["at"] - stat.mtime / 1000) < 60
    assert is_whole(client, conf)


def test_missing_parents(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """Znodes above new ones are created with them, even if one new one is above another."""
    deep, above = f"{root}/a/b/c/conf", f"{root}/a/b"
    file = zkexecctl.file(b"deep")

    zkexecctl.does("push", f"{deep}={file}", f"{above}={file}", "--yes")

    assert [client.get(path)[0] for path in (deep, above, f"{root}/a")] == [b"deep", b"deep", b""]


def test_several_at_once(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """All paths of a push change in one transaction, and so do their histories."""
    paths = [f"{root}/{name}" for name in "abc"]
    client.create(paths[1], b"old")
    pairs = [f"{path}={zkexecctl.file(path.encode(), path[-1])}" for path in paths]

    zkexecctl.does("push", *pairs, "--yes")

    writes = {client.exists(path).mzxid for path in paths}
    writes |= {client.exists(index_of(path)).mzxid for path in paths}
    assert len(writes) == 1
    assert [client.get(path)[0] for path in paths] == [path.encode() for path in paths]


def test_nothing_to_push(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """What is there already is not written once more, and that is no failure."""
    client.create(conf, b"same")
    before = client.get(conf)

    answer = zkexecctl.push(conf, b"same")

    assert answer.out.splitlines() == [f"{conf}: same content", "nothing to push"]
    assert client.get(conf) == before
    assert entries(client, conf) == []


def test_a_part_unchanged(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """Of several paths only those are written that change."""
    one, other = f"{root}/one", f"{root}/other"
    zkexecctl.push(one, b"same")
    answer = zkexecctl.does(
        "push",
        f"{one}={zkexecctl.file(b'same', 'a')}",
        f"{other}={zkexecctl.file(b'new', 'b')}",
        "--yes",
    )

    assert f"{one}: same content" in answer.out
    assert client.exists(one).version == 0
    assert client.get(other)[0] == b"new"


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 40, b"\xff\xfe", b"\0"])
def test_any_bytes(zkexecctl: Zkexecctl, client: KazooClient, conf: str, content: bytes) -> None:
    """Every content arrives byte for byte, and comes back byte for byte."""
    zkexecctl.push(conf, content)
    zkexecctl.push(conf, b"between")
    zkexecctl.does("undo", conf, "--yes")

    assert client.get(conf)[0] == content
    assert zkexecctl.does("show", conf).raw == content


def test_dry_run(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A dry run shows everything and writes nothing at all."""
    client.create(conf, b"old\n")
    before = client.get(conf)

    answer = zkexecctl.does("push", f"{conf}={zkexecctl.file(b'new')}", "--dry-run")

    assert "-old" in answer.out.splitlines()
    assert answer.out.endswith("dry run: nothing was pushed\n")
    assert client.get(conf) == before
    assert client.exists(index_of(conf)) is None


@pytest.mark.parametrize("file", ["new", "-"])
def test_no_terminal_to_ask_on(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str, file: str
) -> None:
    """Without a terminal a push needs --yes, before anything is done."""
    zkexecctl.file(b"new")

    answer = zkexecctl("push", f"{conf}={file}")

    assert (answer.status, answer.out) == (2, "")
    assert answer.err.endswith(": add --yes to push without confirmation\n")
    assert client.exists(conf) is None


def test_no_such_file(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A file that cannot be read is named, and none of the others is pushed."""
    good, bad = f"{root}/good={zkexecctl.file(b'x')}", f"{root}/bad={zkexecctl.folder}/none"

    answer = zkexecctl("push", good, bad, "--yes")

    assert answer.status == 2
    reason = "cannot read the file: No such file or directory"
    assert answer.err == f"zkexecctl: {bad}: {reason}\n"
    assert client.get_children(root) == []


def test_a_folder_without_slashes(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A folder that is pushed like a file is refused, with what to write for a tree."""
    folder = zkexecctl.folder

    answer = zkexecctl("push", f"{root}/conf={folder}", "--yes")

    assert answer.status == 2
    assert f"is a folder: to push a tree, write {root}/conf/={folder}/" in answer.err
    assert client.get_children(root) == []


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (1_000_001, "1000001 bytes, more than the 1000000 that a server takes at once"),
        (999_990, "999990 bytes, which with its path is more than the 1000000"),
    ],
)
def test_too_large(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str, size: int, message: str
) -> None:
    """A file that a server would not take is refused before anything is written."""
    answer = zkexecctl.refused(conf, b"x" * size)

    assert answer.status == 1
    assert answer.err.startswith(f"zkexecctl: {conf}")
    assert message in answer.err
    assert client.exists(conf) is None
    assert client.exists(index_of(conf)) is None


def test_too_large_together(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """Files that fit one by one, but not into one transaction, are refused with their sizes."""
    file = zkexecctl.file(b"x" * 600_000)

    answer = zkexecctl("push", f"{root}/a={file}", f"{root}/b={file}", "--yes")

    assert answer.status == 1
    assert f"({root}/a 600000, {root}/b 600000)" in answer.err
    assert client.get_children(root) == []


def test_as_large_as_can_be(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A content of the largest size is pushed, over one of this size set by another tool."""
    client.create(conf, b"y" * 990_000)

    zkexecctl.push(conf, b"x" * 990_000)

    assert client.get(conf)[0] == b"x" * 990_000
    assert is_whole(client, conf)


def test_too_large_to_be_kept(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A content of another tool that is too large is reported, listed, and not kept."""
    client.create(conf, b"y" * 1_040_000)

    answer = zkexecctl.push(conf, b"small")

    assert answer.err == (
        f"zkexecctl: {conf}: the content set by another tool is too large to be kept\n"
    )
    assert [message["kept"] for message in zkexecctl.contents(conf)] == [True, False]
    answer = zkexecctl("undo", conf, "--yes")
    assert (answer.status, answer.err) == (
        1,
        f"zkexecctl: {conf}: the content of revision 1 is not kept any more\n",
    )


def test_more_than_ten(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """The last ten entries and their contents are kept, and nothing else."""
    for number in range(13):
        zkexecctl.push(conf, b"%d" % number)

    assert [entry["revision"] for entry in entries(client, conf)] == list(range(4, 14))
    assert kept(client, conf) == {digest(b"%d" % number) for number in range(3, 13)}
    assert zkexecctl("show", f"{conf}@3").status == 1
    assert zkexecctl.does("show", f"{conf}@4").raw == b"3"


def test_contents_that_return(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A content of several entries is kept once, while one of them exists."""
    for number in range(24):
        zkexecctl.push(conf, b"%d" % (number % 2))

    assert kept(client, conf) == {digest(b"0"), digest(b"1")}
    assert is_whole(client, conf)


def test_undo_chain(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Each undo goes one content further back, and is in the history."""
    for number in range(1, 5):
        zkexecctl.push(conf, b"%d" % number)

    for number in (3, 2, 1):
        zkexecctl.does("undo", conf, "--yes")
        assert client.get(conf)[0] == b"%d" % number
    answer = zkexecctl("undo", conf, "--yes")

    assert (answer.status, answer.err) == (
        1,
        f"zkexecctl: {conf}: nothing earlier in its history\n",
    )
    message = [entry["message"] for entry in entries(client, conf)]
    assert message[4:] == ["undo to @3", "undo to @2", "undo to @1"]


def test_undo_to_a_revision(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """An undo goes to the given revision; an unknown one is refused with the known ones."""
    for number in range(1, 4):
        zkexecctl.push(conf, b"%d" % number)

    zkexecctl.does("undo", conf, "--to", "1", "--yes", "-m", "back to the beginning")
    answer = zkexecctl("undo", conf, "--to", "9", "--yes")

    assert client.get(conf)[0] == b"1"
    assert entries(client, conf)[-1]["message"] == "back to the beginning"
    assert answer.status == 1
    assert answer.err == (f"zkexecctl: {conf}: no revision 9: its history has 1, 2, 3, 4\n")


def test_undo_of_several(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """Several znodes go back in one transaction, each to its content before."""
    paths = [f"{root}/{name}" for name in "ab"]
    for number in range(2):
        for path in paths:
            zkexecctl.push(path, f"{path} {number}".encode())

    zkexecctl.does("undo", *paths, "--yes")

    assert [client.get(path)[0] for path in paths] == [f"{path} 0".encode() for path in paths]
    assert len({client.exists(path).mzxid for path in paths}) == 1


def test_undo_of_what_another_tool_did(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """Over what another tool has set, undo goes to the last push, and keeps the other as well."""
    zkexecctl.push(conf, b"ours")
    client.set(conf, b"theirs")

    zkexecctl.does("undo", conf, "--yes")

    assert client.get(conf)[0] == b"ours"
    assert [entry["set_by_other_tool"] for entry in entries(client, conf)] == [False, True, False]
    assert zkexecctl.does("show", f"{conf}@2").raw == b"theirs"


def test_undo_of_a_deletion(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A deleted znode is created again with its last content."""
    zkexecctl.push(conf, b"precious")
    client.delete(conf)

    answer = zkexecctl.does("undo", conf, "--yes")

    assert f"{conf}: new znode" in answer.out
    assert client.get(conf)[0] == b"precious"
    assert is_whole(client, conf)


def test_nothing_to_undo(zkexecctl: Zkexecctl, conf: str) -> None:
    """If there never was a znode, undo reports this."""
    answer = zkexecctl("undo", conf, "--yes")

    assert (answer.status, answer.err) == (1, f"zkexecctl: {conf}: there is no such znode\n")


def test_below_a_chroot(zookeeper: Server, client: KazooClient, root: str, tmp_path: Path) -> None:
    """Path and history are below the chroot, and no path is shown with it."""
    client.ensure_path(f"{root}/new/chroot")
    zkexecctl = Zkexecctl(f"{zookeeper.hosts}{root}/new/chroot", tmp_path)

    answer = zkexecctl.push("/app/conf", b"inside")

    assert client.get(f"{root}/new/chroot/app/conf")[0] == b"inside"
    assert len(entries(client, "/app/conf", f"{root}/new/chroot")) == 1
    assert root not in answer.out.replace(str(tmp_path), "")
    assert zkexecctl.does("show", "/app/conf@1").raw == b"inside"


def test_the_root_itself(zookeeper: Server, client: KazooClient, root: str, tmp_path: Path) -> None:
    """The znode / of a chroot is one like any other."""
    zkexecctl = Zkexecctl(f"{zookeeper.hosts}{root}", tmp_path)

    zkexecctl.push("/", b"top", "--check", 'test "$(cat "$1")" = top')

    assert client.get(root)[0] == b"top"
    assert zkexecctl.does("show", "/@2").raw == b"top"


def test_histories_are_not_pushed_to(zkexecctl: Zkexecctl, conf: str) -> None:
    """A push to a history is refused, and so is an undo."""
    undo = zkexecctl("undo", index_of(conf), "--yes")
    assert undo.status == 2
    assert "is part of the history in /zkexec/.history: choose another znode" in undo.err
    answer = zkexecctl("push", f"{index_of(conf)}={zkexecctl.file(b'x')}", "--yes")

    assert answer.status == 2
    assert "is a znode of zkexec itself: write a ZK_PATH elsewhere" in answer.err


@pytest.mark.parametrize(
    "number", [10**15 + 1, 2**63, int("9" * 4300)], ids=["one more", "64 bits", "4300 digits"]
)
def test_a_history_with_impossible_revisions(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str, number: int
) -> None:
    """A revision that no push can have given is an error with its name, and no crash."""
    zkexecctl.push(conf, b"one")
    index = json.loads(client.get(index_of(conf))[0])
    index["entries"][-1]["revision"] = number
    client.set(index_of(conf), json.dumps(index).encode())

    for answer in (
        zkexecctl.refused(conf, b"two"),
        zkexecctl("history", conf),
        zkexecctl("show", f"{conf}@1"),
    ):
        assert answer.status == 125
        why = "expected at most 1000000000000000 as 'revision' of 'entries' of the history"
        assert answer.err.startswith(f"zkexecctl: {index_of(conf)}: {why}; to start a new history")


def test_what_others_keep_in_a_history_is_left_alone(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """A znode below the index stops no push, and neither does one below a content."""
    zkexecctl.push(conf, b"content 0")
    client.create(f"{index_of(conf)}/notes", b"of mine")
    client.create(f"{index_of(conf)}/notes/more")
    oldest = entries(client, conf)[0]["digest"]
    client.create(f"{index_of(conf)}/{oldest}/more")
    for number in range(1, 13):
        zkexecctl.push(conf, b"content %d" % number)

    assert len(entries(client, conf)) == 10
    assert {"notes", oldest} <= kept(client, conf)
    assert client.get(f"{index_of(conf)}/notes")[0] == b"of mine"
    client.delete(f"{index_of(conf)}/{oldest}/more")
    zkexecctl.push(conf, b"the last")
    assert oldest not in kept(client, conf)
    assert zkexecctl.contents(conf)[0]["present"]


def test_a_broken_history(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A history that cannot be read is named and left alone, and so is its znode."""
    zkexecctl.push(conf, b"one")
    client.set(index_of(conf), b"rubbish")

    answer = zkexecctl.refused(conf, b"two")

    assert answer.status == 125
    index = index_of(conf)
    assert answer.err == (
        f"zkexecctl: {index}: the history is no valid JSON; to start a new history: "
        f"zkCli.sh deleteall {index}\n"
    )
    assert client.get(conf)[0] == b"one"
    assert zkexecctl.does("show", conf).raw == b"one"
