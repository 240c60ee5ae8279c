"""The question before a push, on a real terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from e2e.stage import Stage
from e2e.terminal import Terminal
from pushing import ZKEXECCTL, Hand, entries
from zookeeper import Server

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture
def hand(zookeeper: Server, tmp_path: Path) -> Hand:
    """An operator at the shared server, whose folder is that of the stage."""
    return Hand(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str, hand: Hand) -> str:
    """The path of a znode with content, for which there is a file with new content."""
    path = f"{root}/conf"
    hand.push(path, b"old\n")
    hand.file(b"new\n")
    return path


class Typist:
    """Opens terminals, each with one command on it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._opened: list[Terminal] = []

    def run(self, *words: str, term: str = "dumb") -> Terminal:
        """Run zkexecctl on a terminal of that kind."""
        terminal = Terminal(
            "env",
            f"TERM={term}",
            *ZKEXECCTL,
            *words,
            environment=self._stage.environment(),
            folder=self._stage.folder,
        )
        self._opened.append(terminal)
        return terminal

    def close(self) -> None:
        """Close them all."""
        for terminal in self._opened:
            terminal.close()


@pytest.fixture
def typist(stage: Stage) -> Iterator[Typist]:
    """Somebody with terminals."""
    one = Typist(stage)
    yield one
    one.close()


def test_yes(typist: Typist, client: KazooClient, conf: str) -> None:
    """The difference is shown before the question, and yes pushes."""
    terminal = typist.run("push", f"{conf}=new")
    terminal.expect(r"-old\r\n\+new\r\n")
    terminal.expect(r"Push this znode\? \[y/N\] ")
    assert client.get(conf)[0] == b"old\n"

    terminal.enter("y")

    terminal.expect(f"{conf}: pushed as @2 ")
    assert terminal.process.wait(timeout=60) == 0
    assert client.get(conf)[0] == b"new\n"


@pytest.mark.parametrize("keys", ["n\r", "\r", "yellow\r", CTRL_D])
def test_no(typist: Typist, client: KazooClient, conf: str, keys: str) -> None:
    """Whatever is not yes, the end of the input too, pushes nothing and says so."""
    terminal = typist.run("push", f"{conf}=new", f"{conf}2=new")
    terminal.expect(r"Push these 2 znodes\? \[y/N\] ")

    terminal.type(keys)

    terminal.expect("zkexecctl: nothing was pushed")
    assert terminal.process.wait(timeout=60) == 1
    assert client.get(conf)[0] == b"old\n"
    assert len(entries(client, conf)) == 1


def test_ctrl_c(typist: Typist, client: KazooClient, conf: str) -> None:
    """Ctrl-C at the question ends it quietly, and nothing is pushed."""
    terminal = typist.run("push", f"{conf}=new")
    terminal.expect(r"\[y/N\] ")

    terminal.type(CTRL_C)

    assert terminal.process.wait(timeout=60) == -2
    assert "Traceback" not in terminal.text
    assert client.get(conf)[0] == b"old\n"


def test_changed_while_asked(typist: Typist, client: KazooClient, conf: str) -> None:
    """Who says yes to what is no longer true is told what has happened, and by whom."""
    terminal = typist.run("push", f"{conf}=new")
    terminal.expect(r"\[y/N\] ")
    client.set(conf, b"theirs\n")

    terminal.enter("y")

    terminal.expect(
        rf"zkexecctl: {conf} was changed since the diff was shown \(version 0, now 1\); "
        "nothing was pushed"
    )
    assert terminal.process.wait(timeout=60) == 1
    assert client.get(conf)[0] == b"theirs\n"


def test_undo_asks(typist: Typist, hand: Hand, client: KazooClient, conf: str) -> None:
    """An undo shows what it would do, and asks as well."""
    hand.push(conf, b"new\n")
    terminal = typist.run("undo", conf)
    terminal.expect(rf"--- {conf}@2\r\n\+\+\+ {conf} \(@1\)\r\n")
    terminal.expect(r"Push this znode\? ")

    terminal.enter("yes")

    assert terminal.process.wait(timeout=60) == 0
    assert client.get(conf)[0] == b"old\n"


def test_no_question_with_yes(typist: Typist, client: KazooClient, conf: str) -> None:
    """With --yes nobody is asked."""
    terminal = typist.run("push", f"{conf}=new", "--yes")

    assert terminal.process.wait(timeout=60) == 0
    assert "[y/N]" not in terminal.text
    assert client.get(conf)[0] == b"new\n"


def test_the_input_is_the_content(typist: Typist, conf: str) -> None:
    """Where the content comes from the terminal, nobody can be asked there."""
    terminal = typist.run("push", f"{conf}=-")

    terminal.expect("--yes: expected where FILE is -")
    assert terminal.process.wait(timeout=60) == 2


def test_colours(typist: Typist, conf: str) -> None:
    """On a terminal that can, what goes is red and what comes is green."""
    terminal = typist.run("push", f"{conf}=new", "--dry-run", term="xterm")

    terminal.expect(r"\x1b\[1;31m-old\x1b\[0m\r\n\x1b\[32m\+new\x1b\[0m\r\n")
    assert terminal.process.wait(timeout=60) == 0


def test_standard_input(stage: Stage, client: KazooClient, conf: str) -> None:
    """A content may come from a pipe."""
    status, out, _ = stage.run(*ZKEXECCTL, "push", f"{conf}=-", "--yes", input=b"piped")

    assert status == 0
    assert f"+++ {conf} (the standard input)\n" in out.decode()
    assert client.get(conf)[0] == b"piped"
