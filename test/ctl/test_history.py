"""The history of a znode: its list, earlier contents, and diffs."""

import json
import os
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.program import Program
from support.sandbox import Sandbox
from support.terminal import Terminal
from support.zkexecctl import ZKEXECCTL, Zkexecctl, entries, index_of
from support.zookeeper import Server


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str) -> str:
    """The path of a znode that is not there yet."""
    return f"{root}/conf"


def rows(zkexecctl: Zkexecctl, path: str) -> list[list[str]]:
    """The table of a history, in words, without the titles."""
    return [line.split() for line in zkexecctl.does("history", path).out.splitlines()[1:]]


def test_history(zkexecctl: Zkexecctl, conf: str) -> None:
    """The newest content is first, and the present one is marked."""
    zkexecctl.push(conf, b"one", "-m", "first try", "--by", "ada")
    zkexecctl.push(conf, b"three", "--by", "bob")

    newest, oldest = rows(zkexecctl, conf)

    assert newest[:2] == ["@2", "now"]
    assert newest[5:] == ["bob", "5", "bytes", "8b5b9db0c13d"]
    assert oldest[0] == "@1"
    assert oldest[4:] == ["ada", "3", "bytes", "7692c3ad3540", "first", "try"]


def test_history_with_other_tools(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Content of another tool is marked, and has no revision while it is the present one."""
    client.create(conf, b"theirs")
    ((number, *_, by, tool, size, unit, _),) = rows(zkexecctl, conf)
    assert (number, by, tool, size, unit) == ("now", "another", "tool", "6", "bytes")
    zkexecctl.push(conf, b"ours")
    client.set(conf, b"theirs again")

    numbers = [
        (found["revision"], found["set_by_other_tool"], found["present"])
        for found in zkexecctl.contents(conf)
    ]

    assert numbers == [(None, True, True), (2, False, False), (1, True, False)]
    assert all("another tool" in " ".join(rows(zkexecctl, conf)[index]) for index in (0, 2))


def test_history_as_json(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Programs get all that is kept of each content, in one object on one line."""
    zkexecctl.push(conf, b"one", "-m", "why", "--by", "ada")
    zkexecctl.push(conf, b"two")
    zkexecctl.does("undo", conf, "--yes", "--by", "eve")

    found = json.loads(zkexecctl.does("history", conf, "--json").out)

    assert (found["path"], found["exists"]) == (conf, True)
    newest, _, oldest = found["contents"]
    assert newest["restored_revision"] == 1
    (entry, *_) = entries(client, conf)
    assert oldest == {
        "revision": 1,
        "present": False,
        "set_by_other_tool": False,
        "kept": True,
        "at": entry["at"],
        "by": "ada",
        "message": "why",
        "size": 3,
        "sha256": entry["digest"],
        "restored_revision": None,
        "held_after": None,
    }


def test_a_deleted_znode(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """The history of a deleted znode is still there, and shows that the znode was deleted."""
    zkexecctl.push(conf, b"one\n")
    client.delete(conf)

    lines = zkexecctl.does("history", conf).out.splitlines()

    assert lines[0] == f"{conf}: was deleted"
    assert len(lines) == 3
    assert zkexecctl.does("show", f"{conf}@1").raw == b"one\n"
    assert zkexecctl("show", conf).err == f"zkexecctl: {conf}: there is no such znode\n"
    answer = zkexecctl("diff", conf, "1")
    assert (answer.status, answer.err) == (
        1,
        f"zkexecctl: {conf}: there is no such znode: give two revisions\n",
    )


@pytest.mark.parametrize("words", [["history"], ["show"], ["diff", "1"]])
def test_no_such_znode(zkexecctl: Zkexecctl, conf: str, words: list[str]) -> None:
    """If there never was a znode, this is the error."""
    subcommand, *numbers = words

    answer = zkexecctl(subcommand, conf, *numbers)

    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith(f"zkexecctl: {conf}: ")


def test_diff(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Two contents are compared, or one with the present content, whichever tool has set it."""
    for content in (b"one\n", b"two\n", b"one\n"):
        zkexecctl.push(conf, content)
    client.set(conf, b"theirs\n")

    assert zkexecctl.does("diff", conf, "1", "2").out.splitlines() == [
        f"--- {conf}@1",
        f"+++ {conf}@2",
        "@@ -1 +1 @@",
        "-one",
        "+two",
    ]
    assert zkexecctl.does("diff", conf, "2").out.splitlines() == [
        f"--- {conf}@2",
        f"+++ {conf} (set by another tool)",
        "@@ -1 +1 @@",
        "-two",
        "+theirs",
    ]
    assert zkexecctl.does("diff", conf, "1", "3").out == f"{conf}: same content\n"
    assert zkexecctl("diff", conf, "1", "4").err == (
        f"zkexecctl: {conf}: no revision 4: its history has 1, 2, 3\n"
    )


def test_a_content_that_was_tampered_with(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """What is kept under a digest and has another one is not taken for the content."""
    zkexecctl.push(conf, b"one")
    (name,) = client.get_children(index_of(conf))
    client.set(f"{index_of(conf)}/{name}", b"other")

    answer = zkexecctl("show", f"{conf}@1")

    assert (answer.status, answer.out) == (1, "")
    assert answer.err == f"zkexecctl: {conf}: the content of revision 1 is not kept any more\n"


def test_what_others_write_into_a_history(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """Whatever a history contains, it does not move the cursor."""
    zkexecctl.push(conf, b"one")
    content, _ = client.get(index_of(conf))
    found = json.loads(content)
    found["entries"][0] |= {"by": "\x1b[2Jeve", "message": "a\nb\r\x9b1m"}
    client.set(index_of(conf), json.dumps(found).encode())

    out = zkexecctl.does("history", conf).out

    assert r"\x1b[2Jeve" in out
    assert r"a\nb\r\x9b1m" in out
    assert len(out.splitlines()) == 2


def on_terminal(sandbox: Sandbox, *words: str) -> Program:
    """Run zkexecctl on a terminal."""
    return sandbox.start(*ZKEXECCTL, *words, terminal=Terminal())


def test_binary_content_on_a_terminal(sandbox: Sandbox, zkexecctl: Zkexecctl, conf: str) -> None:
    """Text is shown on a terminal, and what could harm it is not."""
    zkexecctl.push(conf, b"\x1b]0;title\x07")
    zkexecctl.push(conf, "schön\n".encode())

    process = on_terminal(sandbox, "show", conf)
    process.expect("schön\r\n")
    assert process.wait() == 0
    process = on_terminal(sandbox, "show", f"{conf}@1")
    process.expect("binary content \\(10 bytes\\) is not shown on a\\s+terminal")
    assert process.wait() == 1
    assert "\x1b" not in process.stdout.text


def test_the_reader_exits(sandbox: Sandbox, zkexecctl: Zkexecctl, conf: str) -> None:
    """If the reader of a large content exits, the command ends as others do."""
    zkexecctl.push(conf, b"y\n" * 400_000)
    reading, writing = os.pipe()
    process = sandbox.start(*ZKEXECCTL, "show", conf, stdout=writing)
    os.close(writing)
    assert os.read(reading, 2) == b"y\n"
    os.close(reading)

    assert process.wait() == -13
