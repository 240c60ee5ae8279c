"""Pulls on a real server: which files they write, where, and that nothing is left if they fail."""

import os
import signal
import stat
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.proxy import CHILDREN2, GET, Proxy, Request, Treatment, Way, pass_all
from support.sandbox import Sandbox
from support.waiting import until
from support.zkexecctl import ZKEXECCTL, Zkexecctl
from support.znode_trees import DEEP, read_files, write_chain, write_znodes
from support.zookeeper import Server

TREE = {"": b"top", "a": b"1", "b": b"2", "b/c": b"3", "d/e": b"4", "f": b""}
FILES = {
    "zknode.data": b"top",
    "a": b"1",
    "b/zknode.data": b"2",
    "b/c": b"3",
    "d/e": b"4",
    "f": b"",
}
FULL = ("sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "sh")
"""Runs a command that can write no file with content, as if the disk were full."""


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str, client: KazooClient) -> str:
    """The path of a tree."""
    write_znodes(client, f"{root}/conf", TREE)
    return f"{root}/conf/"


@pytest.mark.parametrize("exists", [False, True])
def test_into_a_new_or_empty_folder(zkexecctl: Zkexecctl, conf: str, *, exists: bool) -> None:
    """All files are written, into a folder that is new or empty, and a line reports it."""
    folder = zkexecctl.folder / "pulled"
    if exists:
        folder.mkdir()

    answer = zkexecctl.does("pull", f"{conf}={folder}/")

    assert answer.out == f"{conf}: 6 files, 7 bytes, in {folder}/\n"
    assert read_files(folder) == FILES


def test_modes(zkexecctl: Zkexecctl, conf: str) -> None:
    """Files have the mode 0644 less the umask, and folders 0777 less the umask."""
    folder = zkexecctl.folder / "pulled"
    before = os.umask(0o027)
    try:
        zkexecctl.does("pull", f"{conf}={folder}/")
    finally:
        os.umask(before)

    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()} == {0o640}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (folder, folder / "b")} == {0o750}


def test_into_a_folder_with_files(zkexecctl: Zkexecctl, conf: str) -> None:
    """A folder that is not empty is refused, and what is in it stays."""
    (zkexecctl.folder / "mine").write_bytes(b"x")

    answer = zkexecctl("pull", f"{conf}={zkexecctl.folder}/")

    assert answer.status == 2
    assert "is not empty: write the path of a new folder" in answer.err
    assert read_files(zkexecctl.folder) == {"mine": b"x"}


def test_no_such_tree(zkexecctl: Zkexecctl, root: str) -> None:
    """If the tree does not exist, this is the error, and no folder is created."""
    answer = zkexecctl("pull", f"{root}/none/={zkexecctl.folder}/new/")

    assert (answer.status, answer.err) == (1, f"zkexecctl: {root}/none/: there is no such znode\n")
    assert not (zkexecctl.folder / "new").exists()


def test_a_tree_without_files(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A root with neither content nor children is an empty folder."""
    client.create(f"{root}/conf")

    zkexecctl.does("pull", f"{root}/conf/={zkexecctl.folder}/new/")

    assert list((zkexecctl.folder / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"b/zknode.data": b"1"}, "b/zknode.data: two znodes would be this file"),
        ({"n" * 256: b"1"}, f"{'n' * 256}: a name of more than 255 bytes is no file"),
    ],
)
def test_what_cannot_be_files(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str, tree: dict[str, bytes], reason: str
) -> None:
    """A tree that cannot be files is refused with the path, and nothing is written."""
    write_znodes(client, conf[:-1], tree)

    answer = zkexecctl("pull", f"{conf}={zkexecctl.folder}/new/")

    assert (answer.status, answer.err) == (1, f"zkexecctl: {conf}{reason}; nothing was written\n")
    assert not (zkexecctl.folder / "new").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_nothing(sandbox: Sandbox, conf: str, *, exists: bool) -> None:
    """If a file cannot be written, all that was written is removed again."""
    folder = sandbox.folder / "pulled"
    if exists:
        folder.mkdir()

    status, _, err = sandbox.run(*FULL, *ZKEXECCTL, "pull", f"{conf}={folder}/")

    assert status == 125
    assert b"cannot write the files: File too large; nothing was written" in err
    assert folder.exists() == exists
    if exists:
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("exists", [False, True])
def test_a_deep_tree_leaves_nothing(
    sandbox: Sandbox, client: KazooClient, root: str, *, exists: bool
) -> None:
    """Nothing is left of folders either that are nested deeper than calls can be."""
    write_chain(client, root, DEEP)
    folder = sandbox.folder / "pulled"
    if exists:
        folder.mkdir()

    status, _, err = sandbox.run(*FULL, *ZKEXECCTL, "pull", f"{root}/={folder}/")

    assert status == 125
    assert err.endswith(b": cannot write the files: File too large; nothing was written\n")
    assert folder.exists() == exists
    if exists:
        assert list(folder.iterdir()) == []


HIDDEN = """
mount -t tmpfs none /proc && mount -t tmpfs none "$0" || exit 77
"$@"
echo "status $?, left $(find "$0" -mindepth 1 | wc -l)"
"""
"""Hides /proc from a command, and reports what it has left in a folder of this namespace alone."""


@pytest.mark.parametrize(
    ("depth", "end", "is_left"),
    [
        (20, b"; nothing was written\n", False),
        (DEEP, b"; not all that was written could be removed\n", True),
    ],
)
def test_without_proc(
    sandbox: Sandbox, client: KazooClient, root: str, depth: int, end: bytes, *, is_left: bool
) -> None:
    """Without /proc ordinary trees are removed; if a tree cannot be removed, this is reported."""
    write_chain(client, root, depth)
    folder = sandbox.folder / "pulled"
    folder.mkdir()

    hidden = ("unshare", "--mount", "sh", "-c", HIDDEN, folder)
    words = (*ZKEXECCTL, "pull", f"{root}/={folder}/new/")
    status, out, err = sandbox.run(*hidden, *FULL, *words)

    if status:
        pytest.skip("this machine allows no mounts")
    assert err.endswith(b": cannot write the files: File too large" + end)
    assert out.startswith(b"status 125, left ")
    assert (out != b"status 125, left 0\n") == is_left


def test_a_signal_leaves_nothing(sandbox: Sandbox, client: KazooClient, conf: str) -> None:
    """A pull that is ended by a signal ends by it, and leaves nothing behind."""
    for number in range(1_500):
        client.create(f"{conf}b/{number}", b"x" * 100)
    folder = sandbox.folder / "pulled"
    process = sandbox.start(*ZKEXECCTL, "pull", f"{conf}={folder}/")
    until(lambda: (folder / "b").exists() or not process.is_running(), "it writes")

    process.signal(signal.SIGTERM)

    assert process.wait() in (-signal.SIGTERM, 0)
    assert not folder.exists() or len(read_files(folder)) == 1_506


def test_links_are_not_followed(zkexecctl: Zkexecctl, conf: str) -> None:
    """A folder that is given as a link is used; nothing below it is a link."""
    real = zkexecctl.folder / "real"
    real.mkdir()
    (zkexecctl.folder / "link").symlink_to("real")

    zkexecctl.does("pull", f"{conf}={zkexecctl.folder}/link/")

    assert read_files(real) == FILES


@pytest.mark.parametrize("opcode", [CHILDREN2, GET])
def test_as_it_was_at_one_moment(
    zkexecctl: Zkexecctl, proxy: Proxy, client: KazooClient, conf: str, opcode: int
) -> None:
    """A tree that is changed while it is read is read again."""
    behind = Zkexecctl(proxy.hosts, zkexecctl.folder)
    seen = 0

    def look(request: Request) -> Treatment:
        nonlocal seen
        seen += request.opcode == opcode
        if request.opcode == opcode and seen in (2, 4):
            with client.transaction() as change:
                change.set_data(f"{conf}a", b"new %d" % seen)
                change.set_data(f"{conf}d/e", b"new %d" % seen)
        return Treatment.PASS_ON

    proxy.on_request = look

    behind.does("pull", f"{conf}={zkexecctl.folder}/new/")

    found = read_files(zkexecctl.folder / "new")
    assert seen > 4
    assert (found["a"], found["d/e"]) == (b"new 4", b"new 4")


@pytest.mark.parametrize("way", list(Way), ids=lambda way: way.name)
def test_lost_on_the_way(proxy: Proxy, sandbox: Sandbox, conf: str, way: Way) -> None:
    """If the connection is lost while the tree is read, the next connection reads all of it."""
    lost: list[Request] = []

    def look(request: Request) -> Treatment:
        if request.opcode == GET and not lost:
            proxy.black_hole(way)
            lost.append(request)
        return Treatment.PASS_ON

    proxy.on_request = look
    words = ("pull", f"{conf}={sandbox.folder}/new/", f"--cluster={proxy.hosts}")
    process = sandbox.start(*ZKEXECCTL, *words)
    until(lambda: lost, "the request was lost")
    proxy.on_request = pass_all
    proxy.heal()

    assert process.wait() == 0
    assert read_files(sandbox.folder / "new") == FILES
