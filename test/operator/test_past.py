"""The past of a znode as it is told: histories, earlier contents, and differences."""

import json
import os
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from e2e.stage import Stage
from e2e.terminal import Terminal
from pushing import ZKEXECCTL, Hand, entries, index_of
from zookeeper import Server


@pytest.fixture
def hand(zookeeper: Server, tmp_path: Path) -> Hand:
    """An operator at the shared server."""
    return Hand(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str) -> str:
    """The path of a znode that is not there yet."""
    return f"{root}/conf"


def rows(hand: Hand, path: str) -> list[list[str]]:
    """The table of a history, in words, without the titles."""
    return [line.split() for line in hand.does("history", path).out.splitlines()[1:]]


def test_history(hand: Hand, conf: str) -> None:
    """The newest stands first, and what the znode holds now is marked."""
    hand.push(conf, b"one", "-m", "first try", "--by", "ada")
    hand.push(conf, b"three", "--by", "bob")

    newest, oldest = rows(hand, conf)

    assert newest[:2] == ["@2", "now"]
    assert newest[5:] == ["bob", "5", "bytes", "8b5b9db0c13d"]
    assert oldest[0] == "@1"
    assert oldest[4:] == ["ada", "3", "bytes", "7692c3ad3540", "first", "try"]


def test_history_with_other_tools(hand: Hand, client: KazooClient, conf: str) -> None:
    """Content of another tool is shown as such: with no number as long as it is the present one."""
    client.create(conf, b"theirs")
    ((number, *_, by, tool, size, unit, _),) = rows(hand, conf)
    assert (number, by, tool, size, unit) == ("now", "another", "tool", "6", "bytes")
    hand.push(conf, b"ours")
    client.set(conf, b"theirs again")

    numbers = [(told["number"], told["foreign"], told["present"]) for told in hand.contents(conf)]

    assert numbers == [(None, True, True), (2, False, False), (1, True, False)]
    assert all("another tool" in " ".join(rows(hand, conf)[index]) for index in (0, 2))


def test_history_as_json(hand: Hand, client: KazooClient, conf: str) -> None:
    """Programs get all that is kept of each content, in one object on one line."""
    hand.push(conf, b"one", "-m", "why", "--by", "ada")
    hand.push(conf, b"two")
    hand.does("undo", conf, "--yes", "--by", "eve")

    told = json.loads(hand.does("history", conf, "--json").out)

    assert (told["path"], told["exists"]) == (conf, True)
    newest, _, oldest = told["contents"]
    assert newest["restores"] == 1
    (entry, *_) = entries(client, conf)
    assert oldest == {
        "number": 1,
        "present": False,
        "foreign": False,
        "kept": True,
        "at": entry["at"],
        "by": "ada",
        "message": "why",
        "size": 3,
        "sha256": entry["digest"],
        "restores": None,
    }


def test_a_deleted_znode(hand: Hand, client: KazooClient, conf: str) -> None:
    """The history of a znode that is gone is still there, and says that it is gone."""
    hand.push(conf, b"one\n")
    client.delete(conf)

    lines = hand.does("history", conf).out.splitlines()

    assert lines[0] == f"{conf}: was deleted"
    assert len(lines) == 3
    assert hand.does("show", f"{conf}@1").raw == b"one\n"
    assert hand("show", conf).err == f"zkexecctl: {conf}: there is no such znode\n"
    answer = hand("diff", conf, "1")
    assert (answer.status, answer.err) == (
        1,
        f"zkexecctl: {conf}: there is no such znode; name two contents\n",
    )


@pytest.mark.parametrize("words", [["history"], ["show"], ["diff", "1"]])
def test_no_such_znode(hand: Hand, conf: str, words: list[str]) -> None:
    """Where there never was a znode, that is what one is told."""
    verb, *numbers = words

    answer = hand(verb, conf, *numbers)

    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith(f"zkexecctl: {conf}: ")


def test_diff(hand: Hand, client: KazooClient, conf: str) -> None:
    """Two contents are compared, or one with what the znode holds now, whoever has set it."""
    for content in (b"one\n", b"two\n", b"one\n"):
        hand.push(conf, content)
    client.set(conf, b"theirs\n")

    assert hand.does("diff", conf, "1", "2").out.splitlines() == [
        f"--- {conf}@1",
        f"+++ {conf}@2",
        "@@ -1 +1 @@",
        "-one",
        "+two",
    ]
    assert hand.does("diff", conf, "2").out.splitlines() == [
        f"--- {conf}@2",
        f"+++ {conf} (set by another tool)",
        "@@ -1 +1 @@",
        "-two",
        "+theirs",
    ]
    assert hand.does("diff", conf, "1", "3").out == f"{conf}: same content\n"
    assert hand("diff", conf, "1", "4").err == (
        f"zkexecctl: {conf}: expected a number of its history (@1, @2, @3), got @4\n"
    )


def test_a_content_that_was_tampered_with(hand: Hand, client: KazooClient, conf: str) -> None:
    """What is kept under a digest and has another one is not taken for the content."""
    hand.push(conf, b"one")
    (name,) = client.get_children(index_of(conf))
    client.set(f"{index_of(conf)}/{name}", b"other")

    answer = hand("show", f"{conf}@1")

    assert (answer.status, answer.out) == (1, "")
    assert answer.err == f"zkexecctl: {conf}: the content of @1 is not kept any more\n"


def test_what_others_write_into_a_history(hand: Hand, client: KazooClient, conf: str) -> None:
    """Whatever stands in a history, no cursor is moved by it."""
    hand.push(conf, b"one")
    content, _ = client.get(index_of(conf))
    told = json.loads(content)
    told["entries"][0] |= {"by": "\x1b[2Jeve", "message": "a\nb\r\x9b1m"}
    client.set(index_of(conf), json.dumps(told).encode())

    out = hand.does("history", conf).out

    assert r"\x1b[2Jeve" in out
    assert r"a\nb\r\x9b1m" in out
    assert len(out.splitlines()) == 2


def on_terminal(stage: Stage, *words: str) -> Terminal:
    """Run zkexecctl on a terminal."""
    return Terminal(*ZKEXECCTL, *words, environment=dict(stage.environment()), folder=stage.folder)


def test_binary_content_on_a_terminal(stage: Stage, hand: Hand, conf: str) -> None:
    """Text is shown on a terminal, and what could harm it is not."""
    hand.push(conf, b"\x1b]0;title\x07")
    hand.push(conf, "schön\n".encode())

    terminal = on_terminal(stage, "show", conf)
    terminal.expect("schön\r\n")
    assert terminal.process.wait(timeout=60) == 0
    terminal.close()
    terminal = on_terminal(stage, "show", f"{conf}@1")
    terminal.expect("binary content \\(10 bytes\\) is not shown on a terminal")
    assert terminal.process.wait(timeout=60) == 1
    assert "\x1b" not in terminal.text
    terminal.close()


def test_nobody_reads(stage: Stage, hand: Hand, conf: str) -> None:
    """Where the reader of a large content goes away, the command ends as others do."""
    hand.push(conf, b"y\n" * 400_000)
    reading, writing = os.pipe()
    process = stage.start(*ZKEXECCTL, "show", conf, stdout=writing)
    os.close(writing)
    assert os.read(reading, 2) == b"y\n"
    os.close(reading)

    assert process.wait(timeout=60) == -13
