"""zkexecctl with a malicious server: it ends in time, with the right status and a clear line.

All that is run in this module is run at once, because most of that time is waiting.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from kazoo.client import KazooClient

from support.group_samples import NEW, OLD, GroupZnodes
from support.malicious_server import MaliciousServer
from support.malicious_tricks import MALICE, Malice, flipping
from support.posted_events import connected_client
from support.sandbox import Sandbox
from support.zkexecctl import ZKEXECCTL
from support.zookeeper import Server, demand_reading_at_once

LOCK = "group-with-a-malicious-server"
INPUT = "/input-with-a-malicious-server"
CONTENT = b"again"
CANNOT_WORK, TIMED_OUT = 125, 3
FEW = (
    *("drop", "huge answer", "pings only", "session timeout 0", "endless list"),
    *("answers to pings alone", "right answers, wrong numbers", "error unknown"),
)
"""The malice that all subcommands meet; the others only `status`."""

FLIPPED = {f"flipped bits {seed}": Malice(flipping(seed, CONTENT)) for seed in range(4)}
RUNS = [
    *((name, "status") for name in {**MALICE, **FLIPPED}),
    *((name, subcommand) for name in FEW for subcommand in ("push", "wait")),
]
AT_ONCE = 12

NO_ANSWER = "no answer from"
_REFUSED = "refuses a new session"
OTHER_REASONS = {
    "session timeout 0": _REFUSED,
    "session timeout -1": _REFUSED,
    "session timeout -2^31": _REFUSED,
    "another session": "does not answer a request",
    # What takes longer than the time for connecting.
    "answers to pings alone": NO_ANSWER,
    "nothing after the first answer": NO_ANSWER,
    "large answer, trickled": NO_ANSWER,
}
"""What zkexecctl reports otherwise than a client that had a session before."""

OF_A_MULTI_READ = {
    *("answers to pings alone", "nothing after the first answer"),
    *("endless results", "large answer, trickled"),
}
"""What `status` meets only if the server behind the malice does not hang up on a multi-read."""

Ended = tuple[int, str, list[str]]
"""The status, what was printed, and the lines on stderr."""


@pytest.fixture(scope="module")
def group(zookeeper: Server) -> Iterator[GroupZnodes]:
    """A group of one member that is up to date."""
    with connected_client(zookeeper.hosts) as client:
        made = GroupZnodes(client, LOCK, INPUT)
        made.show("m")
        yield made
        made.remove()
        client.delete(INPUT)


def run(sandbox: Sandbox, hosts: str, group: GroupZnodes, subcommand: str) -> Ended:
    """Run a subcommand on the group to its end."""
    words = {
        "status": ("status", group.lock),
        "push": ("push", f"{group.path}=new", "--yes"),
        "wait": ("wait", group.lock, "--timeout=3"),
    }[subcommand]
    options = (f"--cluster={hosts}", "--connect-timeout=4")
    status, out, err = sandbox.run(*ZKEXECCTL, *words, *options)
    return status, out.decode(), err.decode().splitlines()


@pytest.fixture(scope="module")
def ended(
    zookeeper: Server, group: GroupZnodes, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Ended]:
    """How each run has ended."""
    sandbox = Sandbox(tmp_path_factory.mktemp("malicious"), zookeeper.hosts)
    (sandbox.folder / "new").write_bytes(b"new content")
    with ExitStack() as stack:
        servers = {}
        for name, malice in {**MALICE, **FLIPPED}.items():
            servers[name] = MaliciousServer(zookeeper.port)
            servers[name].turn(malice.trick)
            stack.callback(servers[name].close)
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        begun = {
            (name, subcommand): pool.submit(run, sandbox, servers[name].hosts, group, subcommand)
            for name, subcommand in RUNS
        }
        return {key: future.result() for key, future in begun.items()}


@pytest.mark.parametrize(("name", "subcommand"), RUNS)
def test_it_ends_with_words(
    ended: dict[tuple[str, str], Ended], name: str, subcommand: str
) -> None:
    """Whatever the server does, zkexecctl ends, and says in a line what is wrong."""
    if name in OF_A_MULTI_READ and subcommand == "status":
        demand_reading_at_once()
    status, out, err = ended[name, subcommand]
    text = "\n".join(err)
    assert "Traceback" not in text
    assert "internal error" not in text
    assert all(line.startswith("zkexecctl: ") for line in err)
    if name in FLIPPED:
        assert status in (0, 1, CANNOT_WORK)
    elif not MALICE[name].reason:
        assert (status, err) == (0, [])
        assert "1 of 1 updated" in out
    else:
        assert (status, out) == (CANNOT_WORK, "")
        *first, last = err
        assert [line for line in first if not line.endswith("; still trying")] == []
        assert len(first) <= 1
        assert last.startswith("zkexecctl: --cluster: ")
        assert " within 4 s" in last
        assert re.search(OTHER_REASONS.get(name, MALICE[name].reason), last)


def test_nothing_was_pushed(ended: dict[tuple[str, str], Ended], group: GroupZnodes) -> None:
    """A push that ends with an error because of its server has written nothing."""
    assert all(ended[name, "push"][0] == CANNOT_WORK for name in FEW)
    assert group.client.get(group.path)[0] == CONTENT


def test_wait_outlasts_a_malicious_server(
    zookeeper: Server, client: KazooClient, root: str, sandbox: Sandbox
) -> None:
    """A server that turns malicious costs `wait` a line; it goes on when the server is good."""
    lock = f"group-{root[-12:]}"
    group = GroupZnodes(client, lock, f"{root}/input")
    group.show("m", OLD, phase="waiting", wanted=NEW)
    server = MaliciousServer(zookeeper.port)
    words = (*ZKEXECCTL, "wait", lock, f"--cluster={server.hosts}")
    limited, waiting = sandbox.start(*words, "--timeout=5"), sandbox.start(*words)
    for one in (limited, waiting):
        one.until("0 of 1 updated", on=one.stdout)
    server.turn(MALICE["huge answer"].trick)
    waiting.until("a frame of 2,147,483,647 bytes is announced.*; still trying")
    assert limited.wait() == TIMED_OUT
    assert waiting.is_running()
    group.show("m", NEW)
    server.heal()

    assert waiting.wait() == 0
    assert len(waiting.stderr.matching("still trying")) == 1
    assert "Traceback" not in limited.stderr.text + waiting.stderr.text
    server.close()
