"""The tutorial, sentence by sentence, typed as it stands there.

The rules of this file: what differs from what a reader types is told by `typed`, and by the
environment: the cluster is the tests' own, and below a root of its own the znode is /prefix.
What shows on a terminal is tried on a terminal; where stdout and stderr must be told apart, or
lines be compared one by one, zkexec runs with pipes.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from itertools import pairwise
from subprocess import PIPE

import pytest
from kazoo.client import KazooClient

from support.interactive_shell import InteractiveShell
from support.program import Program
from support.sandbox import TEST, ZKEXEC, Sandbox
from support.waiting import until
from support.zookeeper import Port, Server

ROOT = TEST.parent
CAT = "./test/libexec/prefixed-cat /tmp/prefix"
STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d -0700\] "
CTRL_C, CTRL_D = "\x03", "\x04"
ROLLING = """\
zkexec \\
     --exec "./test/libexec/prefixed-cat /tmp/prefix" \\
     --lock foo \\
     --health "test/libexec/slowcheck 2181 10" \\
     --mirror /tmp/prefix=/prefix \\
     --health-delay 20 \\
     --health-interval 1
"""

# The options that the first description of zkexec lists.
FIRST_OPTIONS = """\
-e, --exec COMMAND
-c, --cluster HOST:PORT,...
-H, --health COMMAND
-i, --health-interval INTERVAL
-d, --health-delay INTERVAL
-m, --mirror LOCAL_PATH=ZK_PATH
-l, --lock NAME
-a, --alert COMMAND
-v, --verbose
-s, --silent
-h, --help
"""


class Reader:
    """Somebody who follows the tutorial, in the checkout, with zkexec on the PATH."""

    def __init__(self, sandbox: Sandbox, server: Server, root: str) -> None:
        self.sandbox = sandbox
        self.port = server.port
        self.cluster = server.hosts + root
        self.prefix = sandbox.folder / "prefix"
        script = sandbox.folder / "bin" / "zkexec"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m zkexec "$@"\n')
        script.chmod(0o755)
        environment = sandbox.environment(ZKEXEC_CLUSTER=self.cluster, TZ="MST+7")
        environment["PATH"] = f"{script.parent}:{environment['PATH']}"
        self.environment = environment

    def typed(self, text: str) -> str:
        """The tutorial's text, for this reader's folder and ZooKeeper."""
        for name in ("prefix", "succeeded_at"):
            text = text.replace(f"/tmp/{name}", f"{self.sandbox.folder}/{name}")
        # Of the rolling restart only the slowness of the check is less than in the tutorial.
        text = text.replace("slowcheck 2181 10", "slowcheck 2181 1")
        return text.replace("slowcheck 2181", f"slowcheck {self.port}")

    def run(self, text: str) -> Program:
        """Start one of the tutorial's zkexec commands with pipes."""
        words = shlex.split(self.typed(text).replace("\\\n", ""))
        return Program(*ZKEXEC, *words[1:], env=self.environment, cwd=ROOT, stdin=PIPE)


@pytest.fixture
def reader(sandbox: Sandbox, zookeeper: Server, root: str) -> Reader:
    """A reader whose root in ZooKeeper is still empty."""
    return Reader(sandbox, zookeeper, root)


@pytest.fixture
def console(reader: Reader) -> Iterator[InteractiveShell]:
    """The reader's terminal, with a shell at its first prompt."""
    with InteractiveShell(ROOT, reader.environment) as shell:
        yield shell


@pytest.fixture
def znode(client: KazooClient, root: str) -> str:
    """The path of the tutorial's /prefix, which holds hello."""
    path = f"{root}/prefix"
    client.create(path, b"hello")
    return path


def without_stamps(lines: list[str]) -> list[str]:
    """The messages of log lines, each of which must begin with the time."""
    assert [line for line in lines if not re.match(STAMP, line)] == []
    return [re.sub(STAMP, "", line, count=1) for line in lines]


def conversation(reader: Reader, command: str, end_by: str) -> tuple[str, str]:
    """Type two lines into a command and end it by a key; the screen, and the status."""
    console = InteractiveShell(ROOT, reader.environment)
    try:
        console.enter(reader.typed(command))
        console.expect("\r\n")
        start = len(console.stdout.text)
        for word in ("world", "again"):
            console.enter(word)
            console.expect(f"hello {word}\r\n")
        console.send(end_by)
        console.prompt()
        return console.stdout.text[start:], console.command("echo $?")
    finally:
        console.close()


def test_prefixed_cat_alone(reader: Reader, console: InteractiveShell) -> None:
    """The script of the tutorial does what the tutorial shows."""
    assert console.command(reader.typed("echo -n hello > /tmp/prefix")) == ""
    assert console.command(reader.typed(f"echo world | {CAT}")) == "hello world\n"


@pytest.mark.parametrize(
    ("end_by", "status"), [(CTRL_C, "130\n"), (CTRL_D, "0\n")], ids=["ctrl-c", "ctrl-d"]
)
def test_wrapped_command_behaves_like_itself(reader: Reader, end_by: str, status: str) -> None:
    """On a terminal nothing tells a silent zkexec from the command, up to the return code."""
    reader.prefix.write_text("hello")
    bare = conversation(reader, CAT, end_by)
    wrapped = conversation(reader, f'zkexec --silent --exec "{CAT}"', end_by)

    assert wrapped == bare
    assert wrapped[1] == status


def test_wrapped_command_in_a_pipe(reader: Reader, console: InteractiveShell) -> None:
    """Input and output may be pipes, and the log is on neither of them."""
    reader.prefix.write_text("hello")

    piped = reader.typed(f'echo world | zkexec --exec "{CAT}" 2>/dev/null | cat')
    assert console.command(piped) == "hello world\n"


def test_command_without_quotes(reader: Reader, console: InteractiveShell) -> None:
    """Behind two dashes the command is the same without quotes."""
    reader.prefix.write_text("hello")

    assert console.command(reader.typed(f"echo world | zkexec -s -- {CAT}")) == "hello world\n"


def test_mirror_and_change(
    reader: Reader, console: InteractiveShell, client: KazooClient, znode: str
) -> None:
    """The prefix comes from ZooKeeper, and after a change there the next lines have the new one."""
    for line in ("zkexec --silent \\", f'--exec "{CAT}" \\', "--mirror /tmp/prefix=/prefix"):
        console.enter(reader.typed(line))
    console.enter("world")
    console.expect("hello world\r\n")
    client.set(znode, b"goodbye")

    # The file changes between the old command and the new one; a line that is typed before
    # would go to the old one, or to both of them, letter by letter.
    until(lambda: reader.prefix.read_text() == "goodbye", "the new prefix")
    console.enter("world")
    console.expect("goodbye world\r\n")
    console.send(CTRL_C)
    console.prompt()
    assert console.command("echo $?") == "130\n"


@pytest.mark.parametrize("command", ["false", "/usr/bin/false"])
def test_command_that_terminates(reader: Reader, console: InteractiveShell, command: str) -> None:
    """The log is as the tutorial shows it, on stderr, and the return code is the command's."""
    shown = console.command(f"zkexec --exec {command}").splitlines()
    pid = shown[3].rpartition(" ")[2]

    assert pid.isdigit()
    assert without_stamps(shown) == [
        f"connecting to {reader.cluster}",
        "connected",
        f"forking {command}",
        f"forked {pid}",
        "command failed: exit status 1",
    ]
    assert console.command("echo $?") == "1\n"
    assert console.command(f"zkexec --exec {command} 2>/dev/null") == ""


def test_health_checks(reader: Reader, znode: str) -> None:
    """Checks begin after the delay and go on, and the log is as the tutorial shows it."""
    assert znode.endswith("/prefix")
    reader.prefix.write_text("hello")
    with reader.run(f"""\
zkexec \\
     --exec "{CAT}" \\
     --mirror /tmp/prefix=/prefix \\
     --health "./test/libexec/slowcheck 2181 1" \\
     --health-delay 1 \\
     --health-interval 1
""") as zkexec:
        zkexec.until("successful health check", count=2)
        shown = without_stamps(zkexec.stderr.lines[:9])

    pid = shown[4].rpartition(" ")[2]
    assert pid.isdigit()
    checking = f"health checking via: ./test/libexec/slowcheck {reader.port} 1"
    assert shown == [
        f"connecting to {reader.cluster}",
        "connected",
        "registering callback on /prefix",
        f"forking {reader.typed(CAT)}",
        f"forked {pid}",
        checking,
        "successful health check",
        checking,
        "successful health check",
    ]


def test_dead_mans_switch(reader: Reader) -> None:
    """A health check may be several commands: the file is touched only after a success."""
    succeeded_at = reader.sandbox.folder / "succeeded_at"
    quick = "zkexec --exec 'sleep 1000' --health-delay 0.1 --health-interval 0.1"
    closed = Port()
    with reader.run(
        f'{quick} --health "./test/libexec/slowcheck {closed.number} 0 && touch /tmp/succeeded_at"'
    ) as zkexec:
        zkexec.until("failed health check")
        assert not succeeded_at.exists()
    closed.release()

    with reader.run(
        f'{quick} --health "./test/libexec/slowcheck 2181 1 && touch /tmp/succeeded_at"'
    ) as zkexec:
        zkexec.until("successful health check")
        assert succeeded_at.exists()


def test_alert_of_a_failed_health_check(reader: Reader, client: KazooClient, znode: str) -> None:
    """A health check that fails runs the alert; after a restart not before another check."""
    with reader.run("""\
zkexec --exec 'sleep 1000' --mirror /tmp/prefix=/prefix \\
    --health 'exit 3' --health-delay 0.5 --health-interval 1000 \\
    --alert 'echo "$ZKEXEC_EVENT, $ZKEXEC_REASON"'
""") as zkexec:
        zkexec.until("^health-failed, exit status 3$")
        client.set(znode, b"goodbye")
        zkexec.until("^health-failed, exit status 3$", count=2)

    logged = [line for line in zkexec.stderr.lines if not line.startswith("health-failed, ")]
    said = [line.split()[0] for line in without_stamps(logged)]
    steps = [word for word in said if word in ("forked", "health", "failed", "alerting")]
    assert steps == ["forked", "health", "failed", "alerting"] * 2


def test_alert_of_a_failed_command(reader: Reader) -> None:
    """A command that fails runs the alert, too, and zkexec still ends with its status."""
    with reader.run("""\
zkexec --exec 'exit 7' --alert 'echo "$ZKEXEC_EVENT, $ZKEXEC_EXIT_STATUS"'
""") as zkexec:
        assert zkexec.wait() == 7
        assert zkexec.stderr.lines[-1] == "command-failed, 7"


def test_check_of_an_earlier_command(reader: Reader, client: KazooClient, znode: str) -> None:
    """A check that began before a restart says nothing about the new command."""
    gate = reader.sandbox.folder / "gate"
    check = f"while ! test -e {gate}; do sleep 0.01; done; exit 1"
    with reader.run(
        "zkexec --exec 'sleep 1000' --mirror /tmp/prefix=/prefix --health-delay 0.1 "
        f"--health-interval 1000 --health '{check}'"
    ) as zkexec:
        zkexec.until("health checking via")
        client.set(znode, b"goodbye")
        between = lines_until_forked(zkexec)
        gate.touch()
        zkexec.until("failed health check")

    assert "restarting for the new configuration" in "\n".join(between)
    assert "failed health check" not in "\n".join(between)


def test_rolling_restart(reader: Reader, client: KazooClient, znode: str) -> None:
    """Members in three terminals take turns: the times of their logs do not overlap."""
    consoles = [InteractiveShell(ROOT, reader.environment) for _ in range(3)]
    try:
        for console in consoles:
            for line in reader.typed(ROLLING).splitlines():
                console.enter(line)
        for console in consoles:
            console.expect(r"\] forked \d+\r\n")
        client.set(znode, b"woot")
        turns = sorted(turn_in_the_log(console) for console in consoles)
        for console in consoles:
            console.enter("world")
            console.expect("woot world\r\n")
            console.send(CTRL_C)
            console.prompt()
    finally:
        for console in consoles:
            console.close()

    assert all(ended <= taken for (_, ended), (taken, _) in pairwise(turns))


def test_config_failure_in_a_rolling_restart(
    reader: Reader, client: KazooClient, znode: str
) -> None:
    """A config failure pauses the restart; with new config it picks up where it left off."""
    command = """\
zkexec --exec 'grep -qv bad /tmp/prefix && exec sleep 1000' --min-healthy 0.2 \\
    --lock foo --mirror /tmp/prefix=/prefix
"""
    with reader.run(command) as one, reader.run(command) as other:
        for member in (one, other):
            member.expect("forked")
        client.set(znode, b"bad")
        until(lambda: said("restart failed", one, other), "a failure")
        until(lambda: said("no other member tries it", one, other), "a member that waits")
        client.set(znode, b"woot")
        for member in (one, other):
            member.expect("turn released")

    assert len(said("restart failed", one, other)) == 1
    assert (
        "restart failed: the command ended (exit status 1)" in said("restart failed", one, other)[0]
    )


def said(text: str, *members: Program) -> list[str]:
    """What the logs of all members say with these words, up to now."""
    return [line for member in members for line in member.stderr.lines if text in line]


def turn_in_the_log(console: InteractiveShell) -> tuple[str, str]:
    """Wait for a whole turn on a terminal; when it was taken and when it was released."""
    taken = console.expect(rf"({STAMP})turn taken for version \w+\r\n")[1]
    console.expect(r"\] forked \d+\r\n")
    console.expect(r"\] successful health check\r\n")
    return taken, console.expect(rf"({STAMP})turn released\r\n")[1]


def lines_until_forked(zkexec: Program) -> list[str]:
    """What the log says up to the next start of the command."""
    before = len(zkexec.stderr.lines)
    zkexec.until("forked", count=2)
    return zkexec.stderr.lines[before:]


def test_all_options_of_the_first_description(console: InteractiveShell) -> None:
    """Every option that the first description listed is in the help, spelled as there."""
    shown = " ".join(console.command("zkexec -h").split())

    assert [line for line in FIRST_OPTIONS.splitlines() if line not in shown] == []
    assert shown.startswith("Usage: zkexec [options]")
