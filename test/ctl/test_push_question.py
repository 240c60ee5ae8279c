"""The question before a push, on a real terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.program import Program
from support.sandbox import Sandbox
from support.terminal import Terminal
from support.zkexecctl import ZKEXECCTL, Zkexecctl, entries
from support.zookeeper import Server
from zkexec.ctl.command.change_display import question
from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import PathHistory

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server, whose folder is that of the sandbox."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str, zkexecctl: Zkexecctl) -> str:
    """The path of a znode with content, for which there is a file with new content."""
    path = f"{root}/conf"
    zkexecctl.push(path, b"old\n")
    zkexecctl.file(b"new\n")
    return path


RunOnTerminal = Callable[..., Program]
"""Starts zkexecctl with these words on a terminal of this kind."""


@pytest.fixture
def on_terminal(sandbox: Sandbox) -> RunOnTerminal:
    """Start zkexecctl where a person can be asked."""

    def start(*words: str, kind: str = "dumb") -> Program:
        return sandbox.start(*ZKEXECCTL, *words, terminal=Terminal(kind=kind))

    return start


def test_yes(on_terminal: RunOnTerminal, client: KazooClient, conf: str) -> None:
    """The difference is shown before the question, and yes pushes."""
    process = on_terminal("push", f"{conf}=new")
    process.expect(r"-old\r\n\+new\r\n")
    process.expect(r"Push this znode\? \[y/N\] ")
    assert client.get(conf)[0] == b"old\n"

    process.enter("y")

    process.expect(f"{conf}: pushed as @2 ")
    assert process.wait() == 0
    assert client.get(conf)[0] == b"new\n"


@pytest.mark.parametrize("keys", ["n\r", "\r", "yellow\r", CTRL_D])
def test_no(on_terminal: RunOnTerminal, client: KazooClient, conf: str, keys: str) -> None:
    """Everything but yes, also the end of the input, pushes nothing, with a message."""
    process = on_terminal("push", f"{conf}=new", f"{conf}2=new")
    process.expect(r"Push these 2 znodes\? \[y/N\] ")

    process.send(keys)

    process.expect("zkexecctl: nothing was pushed")
    assert process.wait() == 1
    assert client.get(conf)[0] == b"old\n"
    assert len(entries(client, conf)) == 1


def test_ctrl_c(on_terminal: RunOnTerminal, client: KazooClient, conf: str) -> None:
    """Ctrl-C at the question ends it quietly, and nothing is pushed."""
    process = on_terminal("push", f"{conf}=new")
    process.expect(r"\[y/N\] ")

    process.send(CTRL_C)

    assert process.wait() == -2
    assert "Traceback" not in process.stdout.text
    assert client.get(conf)[0] == b"old\n"


def test_changed_while_asked(on_terminal: RunOnTerminal, client: KazooClient, conf: str) -> None:
    """A yes to a diff that is not true any more pushes nothing, and reports what happened."""
    process = on_terminal("push", f"{conf}=new")
    process.expect(r"\[y/N\] ")
    client.set(conf, b"theirs\n")

    process.enter("y")

    process.expect(
        rf"zkexecctl: {conf} was changed since the diff was shown \(version\s+0, now 1\); "
        "nothing was pushed"
    )
    assert process.wait() == 1
    assert client.get(conf)[0] == b"theirs\n"


def test_undo_asks(
    on_terminal: RunOnTerminal, zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """An undo shows what it would do, and asks as well."""
    zkexecctl.push(conf, b"new\n")
    process = on_terminal("undo", conf)
    process.expect(rf"--- {conf}@2\r\n\+\+\+ {conf} \(@1\)\r\n")
    process.expect(r"Push this znode\? ")

    process.enter("yes")

    assert process.wait() == 0
    assert client.get(conf)[0] == b"old\n"


def test_no_question_with_yes(on_terminal: RunOnTerminal, client: KazooClient, conf: str) -> None:
    """With --yes there is no question."""
    process = on_terminal("push", f"{conf}=new", "--yes")

    assert process.wait() == 0
    assert "[y/N]" not in process.stdout.text
    assert client.get(conf)[0] == b"new\n"


def test_the_input_is_the_content(on_terminal: RunOnTerminal, conf: str) -> None:
    """If the content comes from the terminal, there is no one to ask."""
    process = on_terminal("push", f"{conf}=-")

    process.expect("the content comes from stdin: add --yes to push without confirmation")
    assert process.wait() == 2


def test_colours(on_terminal: RunOnTerminal, conf: str) -> None:
    """On a terminal that can, what goes is red and what comes is green."""
    process = on_terminal("push", f"{conf}=new", "--dry-run", kind="xterm")

    process.expect(r"\x1b\[1;31m-old\x1b\[0m\r\n\x1b\[32m\+new\x1b\[0m\r\n")
    assert process.wait() == 0


def test_standard_input(sandbox: Sandbox, client: KazooClient, conf: str) -> None:
    """A content may come from a pipe."""
    status, out, _ = sandbox.run(*ZKEXECCTL, "push", f"{conf}=-", "--yes", input=b"piped")

    assert status == 0
    assert f"+++ {conf} (the standard input)\n" in out.decode()
    assert client.get(conf)[0] == b"piped"


def test_trees_are_named_in_the_question() -> None:
    """A tree is called a tree; several contents of both kinds are called changes."""
    tree = ContentChange(history=PathHistory(path="/a/", content=None), content=b"", source="")
    znode = ContentChange(history=PathHistory(path="/b", content=None), content=b"", source="")

    assert question([tree]) == "Push this tree?"
    assert question([tree, znode]) == "Push these 2 changes?"
    assert question([znode, znode]) == "Push these 2 znodes?"
