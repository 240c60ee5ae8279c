"""Whole trees on a real server: pushed, shown, compared and undone, as one content each."""

import json
import os
import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.group_samples import GroupZnodes
from support.zkexecctl import CompletedRun, Zkexecctl, entries, index_of, kept
from support.znode_trees import SOLR, read_files, write_files, write_znodes, znodes_below
from support.zookeeper import Server

Files = dict[str, bytes]


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str) -> str:
    """The path of a tree that is not there yet."""
    return f"{root}/conf/"


def push(zkexecctl: Zkexecctl, path: str, files: Files, *options: str) -> CompletedRun:
    """Push a folder with just these files."""
    folder = write_files(zkexecctl.folder / f"tree-{os.urandom(4).hex()}", files)
    return zkexecctl("push", f"{path}={folder}", "--yes", *options)


def pushed(zkexecctl: Zkexecctl, path: str, files: Files, *options: str) -> CompletedRun:
    """Push a folder, which has to succeed."""
    answer = push(zkexecctl, path, files, *options)
    assert answer.status == 0, answer
    return answer


def pulled(zkexecctl: Zkexecctl, path: str) -> Files:
    """The files of a pull."""
    folder = zkexecctl.folder / f"pulled-{os.urandom(4).hex()}"
    zkexecctl.does("pull", f"{path}={folder}/")
    return read_files(folder)


TREES: dict[str, Files] = {
    "solr": SOLR,
    "one file": {"a": b"1"},
    "only the root": {"zknode.data": b"1"},
    "empty files": {"a": b"", "b/c": b""},
    "deep": {f"{'x/' * 40}y": b"1", "x/zknode.data": b"2"},
    "names": {"ü ö": b"1", "a=b@3": b"2", "-x": b"3", "x..y": b"4", "%2F": b"5"},
    "many": {f"{number // 50}/{number}": b"%d" % number for number in range(700)},
}


@pytest.mark.parametrize("files", TREES.values(), ids=TREES.keys())
def test_there_and_back(zkexecctl: Zkexecctl, client: KazooClient, conf: str, files: Files) -> None:
    """A pull writes the files that were pushed, and pushing these changes nothing."""
    pushed(zkexecctl, conf, files)

    back = pulled(zkexecctl, conf)
    again = pushed(zkexecctl, conf, back)

    assert back == files
    assert again.out.splitlines() == [f"{conf}: same content", "nothing to push"]
    (entry,) = entries(client, conf)
    assert entry["size"] == sum(map(len, files.values()))
    assert kept(client, conf) == {entry["digest"]}


def test_from_the_znodes_and_back(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """What another tool has written is pulled, and pushing that changes nothing."""
    write_znodes(client, conf[:-1], {"": b"top", "a": b"", "b/.c": b"1", "b": b"2", ".d/e": b"3"})

    back = pulled(zkexecctl, conf)
    again = pushed(zkexecctl, conf, back)

    assert back == {"zknode.data": b"top", "a": b"", "b/zknode.data": b"2", "b/.c": b"1"} | {
        ".d/e": b"3"
    }
    assert again.out.endswith("nothing to push\n")


def test_znodes_of_a_push(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Each file is a znode, and the file zknode.data the content of its folder's znode."""
    pushed(zkexecctl, conf, {"a": b"1", "b/zknode.data": b"2", "b/c": b"3", "zknode.data": b"4"})

    assert znodes_below(client, conf[:-1]) == {"": b"4", "a": b"1", "b": b"2", "b/c": b"3"}


def test_one_transaction(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Files are added, changed and removed at once; the root is written with its content."""
    pushed(zkexecctl, conf, {"a": b"1", "b/c": b"2", "b/d": b"3", "same": b"4"})
    before = client.exists(conf[:-1])
    same = client.exists(f"{conf}same").mzxid

    answer = pushed(zkexecctl, conf, {"a": b"0", "b": b"5", "e/f": b"6", "same": b"4"})

    assert znodes_below(client, conf[:-1]) == {
        "": b"",
        "a": b"0",
        "b": b"5",
        "e": b"",
        "e/f": b"6",
        "same": b"4",
    }
    after = client.exists(conf[:-1])
    assert after.version == before.version + 1
    written = {client.exists(f"{conf}{name}").mzxid for name in ("a", "b", "e/f", "e")}
    assert written == {after.mzxid, client.exists(index_of(conf)).mzxid} == {after.mzxid}
    assert client.exists(f"{conf}same").mzxid == same
    assert "  added    b (1 byte)" in answer.out.splitlines()
    assert "  added    e/f (1 byte)" in answer.out.splitlines()
    assert "  changed  a (1 byte, was 1 byte)" in answer.out.splitlines()
    assert "  removed  b/c (1 byte)" in answer.out.splitlines()


def test_what_is_shown(zkexecctl: Zkexecctl, conf: str) -> None:
    """A push lists what differs, shows the diffs of changed files, and what it has written."""
    pushed(zkexecctl, conf, {"a": b"one\n", "b": b"x"})
    folder = write_files(zkexecctl.folder / "new", {"a": b"two\n", "c": b"yy"})

    answer = zkexecctl.does("push", f"{conf}={folder}", "--yes")

    *lines, last = answer.out.splitlines()
    assert lines == [
        f"{conf}: 1 added, 1 changed, 1 removed",
        "  changed  a (4 bytes, was 4 bytes)",
        "  removed  b (1 byte)",
        "  added    c (2 bytes)",
        f"--- {conf}a (@1)",
        f"+++ {conf}a ({folder})",
        "@@ -1 +1 @@",
        "-one",
        "+two",
        f"{conf}: will have 2 files, 6 bytes",
    ]
    assert last.startswith(f"{conf}: pushed as @2 (6 bytes, sha256 ")


@pytest.mark.parametrize(
    ("count", "lines", "is_shown"), [(20, 1, True), (21, 1, False), (2, 900, False)]
)
def test_too_much_to_be_shown(
    zkexecctl: Zkexecctl, conf: str, count: int, lines: int, is_shown: bool
) -> None:
    """Of more than twenty files, or of too many lines, only the list is shown."""
    names = [f"f{number}" for number in range(count)]
    pushed(zkexecctl, conf, dict.fromkeys(names, b"old\n" * lines))

    answer = pushed(zkexecctl, conf, dict.fromkeys(names, b"new\n" * lines))

    assert answer.out.count("  changed  ") == count
    assert ("-old" in answer.out.splitlines()) == is_shown
    assert ("The diffs are not shown: " in answer.out) != is_shown


def test_dots_are_left_alone(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Names that begin with a dot are neither pushed nor deleted, and this is reported."""
    write_znodes(client, conf[:-1], {".here": b"1", "a/.here": b"2", "b": b"3"})

    answer = pushed(zkexecctl, conf, {".git/x": b"4", "a/.y": b"5", "c": b"6"})

    assert answer.err.startswith("zkexecctl: ")
    assert answer.err.endswith(": skipped names with a dot: .git, a/.y\n")
    assert znodes_below(client, conf[:-1]) == {
        "": b"",
        ".here": b"1",
        "a": b"",
        "a/.here": b"2",
        "c": b"6",
    }


def test_empty_files(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """An empty file becomes an empty znode, with the warning that members refuse it."""
    answer = pushed(zkexecctl, conf, {"a": b"", "b": b"1"})

    assert answer.err == (
        f"zkexecctl: {conf}: empty content, which members take only with --allow-empty: a\n"
    )
    assert client.get(f"{conf}a")[0] == b""


def test_trees_and_files_together(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """Several trees and files are pushed in one transaction."""
    one = write_files(zkexecctl.folder / "one", {"x": b"1"})
    two = write_files(zkexecctl.folder / "two", {"y": b"2"})
    file = zkexecctl.file(b"3")

    zkexecctl.does(
        "push", f"{root}/one/={one}", f"{root}/single={file}", f"{root}/deep/two/={two}", "--yes"
    )

    paths = ["one", "one/x", "single", "deep/two", "deep/two/y"]
    assert len({client.exists(f"{root}/{path}").mzxid for path in paths}) == 1
    histories = [f"{root}/one/", f"{root}/single", f"{root}/deep/two/"]
    assert [len(entries(client, path)) for path in histories] == [1, 1, 1]


def test_undo(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """An undo adds, changes and removes until the tree is as it was; a deleted one returns."""
    pushed(zkexecctl, conf, SOLR)
    before = znodes_below(client, conf[:-1])
    pushed(zkexecctl, conf, {"lang": b"a file now", "stopwords.txt": b"# one\n", "new/x": b"1"})

    answer = zkexecctl.does("undo", conf, "--yes")

    assert znodes_below(client, conf[:-1]) == before
    assert "  removed  new/x (1 byte)" in answer.out
    client.delete(conf[:-1], recursive=True)
    zkexecctl.does("undo", conf, "--yes", "--to", "2")
    assert pulled(zkexecctl, conf)["lang"] == b"a file now"
    assert [entry["restored_revision"] for entry in entries(client, conf)] == [0, 0, 1, 2]


def test_what_another_tool_did(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """What others wrote anywhere in the tree is marked, and kept before it is overwritten."""
    pushed(zkexecctl, conf, {"a/b": b"1", "c": b"2"})
    client.set(f"{conf}a/b", b"theirs")
    client.create(f"{conf}d", b"also theirs")

    marked = zkexecctl.contents(conf)
    zkexecctl.does("undo", conf, "--yes")

    assert [(one["revision"], one["set_by_other_tool"]) for one in marked] == [
        (None, True),
        (1, False),
    ]
    assert pulled(zkexecctl, conf) == {"a/b": b"1", "c": b"2"}
    shown = zkexecctl.does("show", f"{conf}@2").out.splitlines()
    assert [line.split()[:3] for line in shown[1:]] == [
        ["a/b", "6", "bytes"],
        ["c", "1", "byte"],
        ["d", "11", "bytes"],
    ]


def test_show_and_diff(zkexecctl: Zkexecctl, conf: str) -> None:
    """The files are listed with sizes and digests, and two trees are compared."""
    pushed(zkexecctl, conf, {"a": b"one\n"})
    pushed(zkexecctl, conf, {"a": b"two\n", "b": b""})

    assert zkexecctl.does("show", conf).out.splitlines() == [
        "FILE  SIZE     SHA256",
        "a     4 bytes  27dd8ed44a83",
        "b     0 bytes  e3b0c44298fc",
    ]
    assert zkexecctl.does("show", f"{conf}a").raw == b"two\n"
    assert zkexecctl.does("diff", conf, "1").out.splitlines() == [
        f"{conf}: 1 added, 1 changed",
        "  changed  a (4 bytes, was 4 bytes)",
        "  added    b (0 bytes)",
        f"--- {conf}a (@1)",
        f"+++ {conf}a (@2)",
        "@@ -1 +1 @@",
        "-one",
        "+two",
    ]
    assert zkexecctl.does("diff", conf, "2", "2").out == f"{conf}: same content\n"


def test_the_history_is_a_table(zkexecctl: Zkexecctl, conf: str) -> None:
    """The history of a tree has one line for each push, with the size of all files."""
    pushed(zkexecctl, conf, {"a": b"123", "b": b"45"}, "-m", "why", "--by", "ada")

    line = zkexecctl.does("history", conf).out.splitlines()[1].split()

    assert line[:2] == ["@1", "now"]
    assert (line[5:8], line[-1]) == (["ada", "5", "bytes"], "why")


def test_the_check_gets_folders(zkexecctl: Zkexecctl, root: str) -> None:
    """The copy of a tree is a folder of its name, among the copies of files."""
    said = zkexecctl.folder / "said"
    folder = write_files(zkexecctl.folder / "new", {"b/c": b"1", "b/zknode.data": b"2"})
    file = zkexecctl.file(b"3", "file")
    script = f'cd "$1" && pwd >{said}; grep -r . | sort >>{said}; cat "$2" >>{said}'

    zkexecctl.does("push", f"{root}/conf/={folder}", f"{root}/x={file}", "--yes", "--check", script)

    place, *lines = said.read_text().splitlines()
    assert place.endswith("/conf")
    assert lines == ["b/c:1", "b/zknode.data:2", "3"]
    assert zkexecctl("undo", f"{root}/conf/", "--yes", "--check", "false").status == 1


def test_dry_run(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A dry run shows the list and writes nothing."""
    answer = pushed(zkexecctl, conf, {"a": b"1"}, "--dry-run")

    assert "  added    a (1 byte)" in answer.out
    assert client.exists(conf[:-1]) is None
    assert client.exists(index_of(conf)) is None


def test_in_the_way(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Ephemeral znodes are skipped and stay; one that is in the way is named."""
    write_znodes(client, conf[:-1], {"a": b"1", "b": b"2"})
    client.create(f"{conf}live", b"ephemeral", ephemeral=True)
    client.create(f"{conf}b/live", b"ephemeral", ephemeral=True)

    pushed(zkexecctl, conf, {"a": b"0", "b": b"2"})
    at_it = push(zkexecctl, conf, {"b": b"2", "live": b"3"})
    below_it = push(zkexecctl, conf, {"b": b"2", "live/x": b"3"})
    above_it = push(zkexecctl, conf, {"a": b"0"})

    assert pulled(zkexecctl, conf) == {"a": b"0", "b": b"2"}
    assert at_it.err == below_it.err
    assert at_it.err == (
        f"zkexecctl: {conf}live: is an ephemeral znode, which ends with its session: no file can "
        "be there or below it\n"
    )
    assert above_it.err == (
        f"zkexecctl: {conf}b: cannot be deleted, as there is an ephemeral znode below it: "
        f"{conf}b/live\n"
    )
    assert client.get(f"{conf}live")[0] == client.get(f"{conf}b/live")[0] == b"ephemeral"


def test_an_ephemeral_root(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A tree whose root is an ephemeral znode is refused."""
    client.create(conf[:-1], b"x", ephemeral=True)

    answer = push(zkexecctl, conf, {"a": b"1"})

    assert (answer.status, "is an ephemeral znode" in answer.err) == (125, True)


def test_as_large_as_can_be(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A tree of nearly a million bytes is pushed over another one of this size."""
    for letter in b"xy":
        pushed(zkexecctl, conf, {f"{n}": bytes([letter]) * 98_000 for n in range(10)})

    assert client.get(f"{conf}0")[0] == b"y" * 98_000
    assert len(kept(client, conf)) == 2


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([600_000, 400_001], "1000001 bytes in 2 files, more than the 1000000 that a server takes"),
        ([500_000, 499_990], "has 999990 bytes in 2 files, which with its path is more than the"),
    ],
)
def test_too_large(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str, sizes: list[int], message: str
) -> None:
    """A tree of more than a million bytes is refused before anything is written."""
    answer = push(zkexecctl, conf, {f"{n}": b"x" * size for n, size in enumerate(sizes)})

    assert (answer.status, message in answer.err) == (1, True), answer.err
    assert answer.err.endswith(": push its files or folders one by one\n")
    assert client.exists(conf[:-1]) is None
    assert client.exists(index_of(conf)) is None


def folder_link(folder: Path) -> None:
    """Make a link to a folder."""
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("sub")


def socket_file(folder: Path) -> None:
    """Make a socket."""
    os.chdir(folder)
    socket.socket(socket.AF_UNIX).bind("socket")


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (Path.exists, "has no files: a push would delete the whole tree"),
    "dots": (
        lambda folder: (folder / ".x").touch(),
        "has no files, besides names that begin with a dot: a push would delete the whole tree",
    ),
    "pipe": (lambda folder: os.mkfifo(folder / "pipe"), "pipe: is no regular file"),
    "socket": (socket_file, "socket: is no regular file"),
    "device": (
        lambda folder: (folder / "null").symlink_to("/dev/null"),
        "null: is no regular file",
    ),
    "link to a folder": (
        folder_link,
        "link: is a symbolic link to a folder, which is not followed",
    ),
    "link to nothing": (
        lambda folder: (folder / "link").symlink_to("nothing"),
        "link: cannot read the file: No such file or directory",
    ),
    "link to itself": (
        lambda folder: (folder / "loop").symlink_to("loop"),
        "loop: cannot read the file: Too many levels of symbolic links",
    ),
    "link below a file": (
        lambda folder: (folder / "link").symlink_to("/dev/null/x"),
        "link: cannot read the file: Not a directory",
    ),
    "link to a long name": (
        lambda folder: (folder / "link").symlink_to("n" * 256),
        "link: cannot read the file: File name too long",
    ),
    "folder with the name of a content": (
        lambda folder: (folder / "zknode.data").mkdir(),
        "zknode.data: is a folder; this name is for the content of a znode",
    ),
    "name in Latin-1": (
        lambda folder: open(os.fsencode(folder) + b"/\xe4", "w").close(),
        "\\xe4: the name is no UTF-8",
    ),
    "control character": (
        lambda folder: (folder / "a\x07").touch(),
        "a\\x07: ZooKeeper takes no such name",
    ),
}


@pytest.mark.parametrize(("make", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_folders_that_are_refused(
    zkexecctl: Zkexecctl,
    client: KazooClient,
    conf: str,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], object],
    reason: str,
) -> None:
    """A folder that cannot become a tree is refused with the path, before anything is written."""
    monkeypatch.chdir(zkexecctl.folder)
    folder = zkexecctl.folder / "f"
    folder.mkdir()
    make(folder)

    answer = zkexecctl("push", f"{conf}={folder}/", "--yes")

    assert answer.status == 2
    assert answer.err == f"zkexecctl: {conf}={folder}/: {reason}\n"
    assert client.exists(conf[:-1]) is None


def test_links_to_files_are_files(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A symbolic link to a file is read as this file."""
    (zkexecctl.folder / "elsewhere").write_bytes(b"1")
    folder = zkexecctl.folder / "new"
    folder.mkdir()
    (folder / "link").symlink_to("../elsewhere")

    zkexecctl.does("push", f"{conf}={folder}/", "--yes")

    assert client.get(f"{conf}link")[0] == b"1"


def test_more_than_ten(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """The last ten trees are kept, and nothing else."""
    for number in range(12):
        pushed(zkexecctl, conf, {"a": b"%d" % number})

    found = entries(client, conf)
    assert [entry["revision"] for entry in found] == list(range(3, 13))
    assert kept(client, conf) == {entry["digest"] for entry in found}


def test_a_secret_in_an_open_tree(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A znode that fewer may read than the root is not copied into the history."""
    write_znodes(client, conf[:-1], {"a": b"1", "secret": b"2"})
    acl = client.get_acls(conf[:-1])[0]
    (one,) = acl
    client.set_acls(f"{conf}secret", [one.__class__(31, one.id.__class__("ip", "127.0.0.1"))])

    answer = push(zkexecctl, conf, {"a": b"2", "secret": b"2"})

    assert answer.status == 125
    assert answer.err == (
        f"zkexecctl: {conf}secret: may be read by fewer identities than {conf}, and so its content "
        "cannot be in the history of this tree: give both the same ACL\n"
    )
    assert client.exists(index_of(conf)) is None


def test_a_kept_tree_that_was_tampered_with(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """What is kept and is no tree is an error, and no znode is written by it."""
    pushed(zkexecctl, conf, {"a": b"1"})
    pushed(zkexecctl, conf, {"a": b"2"})
    hostile = b"zkexec tree 1\n1 ../../zookeeper/quota\n\nx"
    digest = sha256(hostile).hexdigest()
    client.create(f"{index_of(conf)}/{digest}", hostile)
    index = json.loads(client.get(index_of(conf))[0])
    index["entries"][0]["digest"] = digest
    client.set(index_of(conf), json.dumps(index).encode())

    for words in (["undo", conf, "--yes"], ["show", f"{conf}@1"], ["diff", conf, "1"]):
        answer = zkexecctl(*words)
        assert answer.status == 1
        assert answer.err == (f"zkexecctl: {conf}: what is kept of revision 1 is no valid tree\n")
    assert znodes_below(client, conf[:-1]) == {"": b"", "a": b"2"}


def test_more_znodes_than_a_tree_can_have(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """A tree of more than 5,000 znodes is refused with this number."""
    client.create(conf[:-1])
    for number in range(5):
        transaction = client.transaction()
        for each in range(1_000):
            transaction.create(f"{conf}{number}-{each}")
        transaction.commit()

    answer = push(zkexecctl, conf, {"a": b"1"})

    assert answer.status == 125
    assert answer.err == f"zkexecctl: {conf}: more than 5000 znodes are too many\n"


def test_below_a_chroot(zookeeper: Server, client: KazooClient, root: str, tmp_path: Path) -> None:
    """Tree and history are below the chroot, and no path is shown with it."""
    client.ensure_path(f"{root}/new/chroot")
    zkexecctl = Zkexecctl(f"{zookeeper.hosts}{root}/new/chroot", tmp_path)

    answer = pushed(zkexecctl, "/app/conf/", {"a/b": b"1"})

    assert client.get(f"{root}/new/chroot/app/conf/a/b")[0] == b"1"
    assert len(entries(client, "/app/conf/", f"{root}/new/chroot")) == 1
    assert root not in answer.out.replace(str(tmp_path), "")
    assert pulled(zkexecctl, "/app/conf/") == {"a/b": b"1"}


def test_files_that_members_have_as_inputs(
    zkexecctl: Zkexecctl, group: GroupZnodes, conf: str
) -> None:
    """A push that removes inputs from a tree warns, with the group and the members."""
    pushed(zkexecctl, conf, {"app.conf": b"1", "d/a": b"2", "other": b"3"})
    group.show("m1", paths=(f"{conf}app.conf",))
    group.show("m2", paths=(f"{conf}d/",))
    group.show("m3", paths=(conf,))

    kept = pushed(zkexecctl, conf, {"app.conf": b"2", "d/b": b"3"})
    answer = pushed(zkexecctl, conf, {"other": b"1"})

    paths = f"{conf}app.conf, {conf}d/"
    warning = (
        f"zkexecctl: warning: {group.lock}: removes {paths}, an input of m1, m2, whose snapshot"
    )
    assert answer.err.startswith(warning)
    assert "warning" not in kept.err
