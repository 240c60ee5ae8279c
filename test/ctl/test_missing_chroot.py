"""A chroot that does not exist: it is named, and only a push that a person confirms creates it."""

from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.program import Program
from support.sandbox import Sandbox
from support.terminal import Terminal
from support.waiting import until
from support.web_server import WebServer, words
from support.zkexecctl import ZKEXECCTL, Zkexecctl
from support.zookeeper import Server


@pytest.fixture
def chroot(root: str) -> str:
    """A chroot that does not exist, and neither does the znode above it."""
    return f"{root}/typo/chroot"


@pytest.fixture
def zkexecctl(zookeeper: Server, chroot: str, tmp_path: Path) -> Zkexecctl:
    """An operator below this chroot."""
    return Zkexecctl(f"{zookeeper.hosts}{chroot}", tmp_path)


@pytest.mark.parametrize(
    "typed",
    [
        ["status"],
        ["status", "--json"],
        ["status", "web"],
        ["wait", "web"],
        ["history", "/app"],
        ["show", "/app"],
        ["diff", "/app", "1"],
        ["pull", "/app/=folder/"],
        ["undo", "/app", "--yes"],
        ["pause", "web", "--reason=lunch"],
        ["retry", "web"],
        ["forget", "web", "m1"],
        ["delete", "web", "--yes"],
        ["delete", "/app", "--yes"],
    ],
)
def test_every_subcommand_names_it(zkexecctl: Zkexecctl, chroot: str, typed: list[str]) -> None:
    """125, with the chroot and how to create it."""
    answer = zkexecctl(*typed)

    assert (answer.status, answer.raw) == (125, b"")
    assert answer.err == (
        f"zkexecctl: --cluster: the chroot {chroot} does not exist: create it, "
        f"with zkCli.sh create {chroot}\n"
    )


@pytest.mark.parametrize("subcommand", ["web", "exporter"])
def test_a_server_names_it_and_waits_for_it(
    zookeeper: Server, client: KazooClient, chroot: str, subcommand: str
) -> None:
    """It is on stderr once, at the start; each answer has it, until the chroot is created."""
    error = (
        f"--cluster: the chroot {chroot} does not exist: create it, with zkCli.sh create {chroot}"
    )
    with Program(*words(subcommand, f"{zookeeper.hosts}{chroot}")) as program:
        server = WebServer(program)
        browser = server.browser()
        program.until("does not exist")
        metrics = browser.get("/metrics")
        if subcommand == "web":
            page = browser.get("/").text
            assert "The groups cannot be read since <time" in page
            assert error in page
            assert "No connection to ZooKeeper" not in page
            assert browser.get("/groups/web").status == 503
        client.ensure_path(chroot)
        server.until_connected()
        if subcommand == "web":
            until(lambda: "cannot be read" not in browser.get("/").text, "the banner is gone")

        assert (metrics.status, metrics.text) == (503, f"the groups could not be read: {error}\n")
        assert program.stderr.text == f"zkexecctl: the groups cannot be read: {error}\n"


def test_a_push_without_a_question_is_refused(
    zkexecctl: Zkexecctl, client: KazooClient, chroot: str
) -> None:
    """With --yes no person can notice a mistake in the chroot, so nothing is created."""
    answer = zkexecctl.refused("/app", b"new")

    assert answer.status == 125
    assert f"the chroot {chroot} does not exist, and --yes does not create it" in answer.err
    assert client.exists(chroot) is None


def test_a_push_shows_it_and_creates_it(
    zkexecctl: Zkexecctl, client: KazooClient, chroot: str, zookeeper: Server, sandbox: Sandbox
) -> None:
    """What a push creates includes the chroot; once it is confirmed, everything works."""
    file = zkexecctl.file(b"new")
    shown = f"the chroot {chroot} does not exist: this push creates it"
    dry = zkexecctl.does("push", f"/app={file}", "--dry-run")
    assert shown in dry.out
    assert client.exists(chroot) is None

    cluster = f"--cluster={zookeeper.hosts}{chroot}"
    process = sandbox.start(
        *ZKEXECCTL, "push", f"/app={file}", cluster, terminal=Terminal(kind="dumb")
    )
    process.expect(shown)
    process.expect(r"\[y/N\] ")
    process.enter("y")

    assert process.wait() == 0
    assert client.get(f"{chroot}/app")[0] == b"new"
    assert zkexecctl.does("show", "/app").raw == b"new"
