"""The names in the cluster that shells complete: found, safe, and silent about every fault."""

import io
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.group_samples import GroupZnodes, entry
from support.interactive_shell import InteractiveShell
from support.zkexecctl import ZKEXECCTL
from support.zookeeper import Server
from zkexec.core.rollout.record import RolloutRecord
from zkexec.ctl.command.word_completion import question_of, run
from zkexec.ctl.terminal.console import Console
from zkexec.resources import read_resource

# Names that a shell or a terminal could misunderstand.
HOSTILE = ("a b", "$(touch x)", "`id`", "q'q", 'd"d', "x;y", "x\u202ey", "*", "back\\slash", "a&b")


def offered(hosts: str, *words: str, **environment: str) -> list[str]:
    """What the last of the words can become."""
    out, err = io.StringIO(), io.StringIO()
    console = Console(out, err, {}, io.StringIO())
    assert run(words, {"ZKEXEC_CLUSTER": hosts, **environment}, console) == 0
    assert err.getvalue() == ""
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("status ", "NAME"),
        ("-c zk1 status --watch we", "NAME"),
        ("push --lock ", "NAME"),
        ("push --lock=", "NAME"),
        ("forget web ", "MEMBER"),
        ("push /a=b /c", "ZK_PATH=FILE"),
        ("diff /a", "ZK_PATH"),
        ("diff /a ", "N"),
        ("delete w", "NAME|ZK_PATH"),
        ("completion b", "SHELL"),
        ("", None),
        ("sta", None),
        ("frob ", None),
        ("status --wa", None),
        ("status web more", None),
        ("push --message ", None),
    ],
)
def test_what_a_word_is(line: str, kind: str | None) -> None:
    """The position on the line decides what a word can become."""
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    question = question_of(words)

    assert (question.metavar if question else None) == kind


def test_names_of_groups_and_members(group: GroupZnodes, zookeeper: Server) -> None:
    """Groups, members in flight and living members are offered, by how they begin."""
    group.show("web10")
    group.show("web2")
    group.decide(RolloutRecord(in_flight={"web7": entry()}))
    begun = group.lock[:-2]

    assert offered(zookeeper.hosts, "status", begun) == [group.lock]
    assert offered(zookeeper.hosts, "push", f"--lock={begun}") == [group.lock]
    assert offered(zookeeper.hosts, "forget", group.lock, "") == ["web7", "web2", "web10"]
    assert offered(zookeeper.hosts, "forget", group.lock, "web1") == ["web10"]
    assert offered("127.0.0.1:1", "status", f"--cluster={zookeeper.hosts}", begun) == [group.lock]


def test_paths_go_on_level_by_level(client: KazooClient, zookeeper: Server, root: str) -> None:
    """A znode is offered as it is, one that has others below it with a slash."""
    for path in ("conf/a/b", "conf/both/c", "conf/single"):
        client.create(f"{root}/{path}", b"1", makepath=True)
    client.set(f"{root}/conf/both", b"1")
    conf = f"{root}/conf/"
    hosts = zookeeper.hosts

    assert offered(hosts, "show", f"{root}/co") == [conf]
    assert offered(hosts, "undo", conf) == [
        *(f"{conf}a/", f"{conf}both", f"{conf}both/", f"{conf}single")
    ]
    assert offered(hosts, "push", "/x=y", f"{conf}s") == [f"{conf}single="]
    assert offered(hosts, "pull", f"{conf}a/") == [f"{conf}a/="]
    assert offered(hosts, "pull", conf[:-1]) == [conf]
    assert offered(hosts, "push", f"{conf}single=") == []
    assert not {"/zkexec/", "/zookeeper/"} & set(offered(hosts, "show", "/"))
    client.ensure_path("/zkexec/.history")
    assert "/zkexec/" in offered(hosts, "show", "/zk")
    assert "/zkexec/.history" in {word.rstrip("/") for word in offered(hosts, "show", "/zkexec/")}
    for subcommand in ("push", "pull", "undo", "delete"):
        assert offered(hosts, subcommand, "/zke") == offered(hosts, subcommand, "/zkexec/") == []


def test_hostile_names_are_left_out(client: KazooClient, zookeeper: Server, root: str) -> None:
    """A name with a character that a shell or a terminal could act on is not offered."""
    for name in (*HOSTILE, "plain", "größe", "-x"):
        client.create(f"{root}/{name}", makepath=True)

    found = offered(zookeeper.hosts, "show", f"{root}/")

    assert sorted(found) == sorted(f"{root}/{name}" for name in ("plain", "größe", "-x"))


def test_every_fault_is_silent(tmp_path: Path) -> None:
    """Without a server, or with a mistake on the line, there are no words and no message."""
    missing = ("status", f"--auth=digest:@{tmp_path}/missing", "")

    assert offered("127.0.0.1:1", "status", "") == []
    assert offered("127.0.0.1:1", *missing) == []
    assert offered("a,,b", "status", "") == []
    run = subprocess.run(
        [*ZKEXECCTL, "complete-words", "status", "--cluster=127.0.0.1:1", ""],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_printed(shell: str) -> None:
    """`completion SHELL` prints the scripts of both commands, which are in the package."""
    run = subprocess.run(
        [*ZKEXECCTL, "completion", shell], capture_output=True, text=True, timeout=60, check=True
    )

    assert run.stdout.count(f" for {shell}; drawn by") == 2
    assert offered("127.0.0.1:1", "completion", shell[:2]) == [shell]
    assert read_resource("bash-completion/completions/zkexecctl")


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with a zkexecctl that runs this one."""
    program = tmp_path / "bin" / "zkexecctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(ZKEXECCTL)} "$@"\n')
    program.chmod(0o755)
    return program.parent


def environment(commands: Path, server: Server) -> dict[str, str]:
    """What a shell finds: the command, and the cluster."""
    return {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "HOME": str(commands.parent),
        "INPUTRC": "/dev/null",
        "ZKEXEC_CLUSTER": server.hosts,
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }


SHOW = "zkexecctl() { printf '<%s>' \"$@\"; echo ' shown'; }"
STARTS = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), ()),
    "zsh": (("zsh", "-f", "-i"), ("autoload -Uz compinit && compinit -u -D",)),
}


@pytest.fixture(params=STARTS)
def shell(
    request: pytest.FixtureRequest, commands: Path, zookeeper: Server
) -> Iterator[InteractiveShell]:
    """A shell that has read what `zkexecctl completion` prints."""
    words, before = STARTS[request.param]
    found = environment(commands, zookeeper)
    with InteractiveShell(commands.parent, found, words) as one:
        for line in (*before, f"source <(zkexecctl completion {request.param})", SHOW):
            one.command(line)
        yield one


def test_shells_complete_names(
    shell: InteractiveShell, group: GroupZnodes, client: KazooClient
) -> None:
    """In bash and zsh, Tab completes a group, a member and a path from the real cluster."""
    group.show("member1")
    client.create(f"{group.path}-more/deep", makepath=True)
    lines = (
        (f"status {group.lock[:-3]}", f"<status><{group.lock}>"),
        (f"push --lock {group.lock[:-3]}", f"<push><--lock><{group.lock}>"),
        (f"forget {group.lock} mem", f"<forget><{group.lock}><member1>"),
        (f"show {group.path}-mo\tde", f"<show><{group.path}-more/deep>"),
    )

    for typed, expected in lines:
        shell.send(f"zkexecctl {typed}\t\r")
        assert shell.expect(r"\n((?:<[^\n>]*>)+) shown")[1] == expected
        shell.prompt()


def test_fish_completes_names(
    group: GroupZnodes, client: KazooClient, commands: Path, zookeeper: Server
) -> None:
    """In fish, the same lines have the same answers."""
    group.show("member1")
    client.create(f"{group.path}-more/deep", makepath=True)
    lines = {
        f"zkexecctl status {group.lock[:-3]}": group.lock,
        f"zkexecctl push --lock {group.lock[:-3]}": group.lock,
        f"zkexecctl push --lock={group.lock[:-3]}": f"--lock={group.lock}",
        f"zkexecctl forget {group.lock} mem": "member1",
        f"zkexecctl show {group.path}-mo": f"{group.path}-more/",
    }
    script = ["zkexecctl completion fish | source"]
    script += [f"complete -C {shlex.quote(line)}; echo :" for line in lines]
    run = subprocess.run(
        ["fish", "--no-config", "-c", "\n".join(script)],
        env=environment(commands, zookeeper),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert run.stderr == ""
    found = [line.partition("\t")[0] for line in run.stdout.splitlines() if line != ":"]
    assert found == list(lines.values())
