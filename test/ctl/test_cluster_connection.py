"""A person's connection to the cluster: questions that are answered once, watches, and patience."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL

from support.posted_events import address, connected_client
from support.program import Program
from support.proxy import EXISTS, GET, MULTI_READ, Proxy, Request, Treatment
from support.steering_samples import OPERATIONS, Group
from support.tls_server import Authority, TlsServer, known
from support.waiting import DEADLINE_S, until
from support.zkexecctl import ZKEXECCTL
from support.zookeeper import Port, Server
from zkexec.cli.security import Access, Credential
from zkexec.ctl.arguments import ClusterOptions
from zkexec.ctl.cluster_connection import LOST, ClusterConnection
from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.group.record_codec import decode
from zkexec.zookeeper.errors import NoNodeError, RefusedError
from zkexec.zookeeper.requests import Dialogue, Exists, Get

SECRET = "open-sesame"  # noqa: S105 - It is none.
US = Access(credentials=(Credential("digest", "us", SECRET),))


def connection(hosts: str, connect_timeout_s: float = 30.0) -> ClusterOptions:
    """The options for this cluster."""
    return ClusterOptions(
        hosts_text=hosts, servers=(address(hosts),), connect_timeout_s=connect_timeout_s
    )


@contextmanager
def cluster_at(
    hosts: str, connect_timeout_s: float = 30.0
) -> Iterator[tuple[ClusterConnection, list[str]]]:
    """A connection, and the lines that it reports."""
    reported: list[str] = []
    with ClusterConnection(connection(hosts, connect_timeout_s), reported.append) as cluster:
        yield cluster, reported


class Reading:
    """A dialogue that reads a znode; counts how often it was run."""

    def __init__(self, path: str, watch: str | None = None) -> None:
        self.asked = 0
        self._path = path
        self._watch = watch

    def __call__(self) -> Dialogue:
        """Ask."""
        self.asked += 1
        ((content, _),) = yield [Get(self._path, self._watch)]
        return content.decode()


@pytest.fixture
def znode(client: KazooClient, root: str) -> str:
    """A znode with some content."""
    client.set(root, b"one")
    return root


@pytest.fixture
def no_zookeeper() -> Iterator[str]:
    """The address of a server that talks, but not as ZooKeeper does."""
    port = Port()
    listener = socket.create_server(("127.0.0.1", port.number))

    def talk() -> None:
        try:
            while True:
                caller, _ = listener.accept()
                with caller:
                    caller.recv(1000)
                    caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
        except OSError:
            return

    talking = threading.Thread(target=talk)
    talking.start()
    yield f"127.0.0.1:{port.number}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    talking.join()
    port.release()


def started(hosts: str, *words: str) -> Program:
    """A subcommand on its way to these hosts."""
    return Program(*ZKEXECCTL, *words, "--reason=tea", f"--cluster={hosts}")


def ended(program: Program) -> tuple[int, str, str]:
    """Wait for the end: the status, the output, and what it said on stderr."""
    with program:
        status = program.wait()
    return status, program.stdout.text, program.stderr.text


def test_no_server(no_zookeeper: str, proxy: Proxy) -> None:
    """Without a connection, one line reports that at once, and one why it was given up."""
    refused, wrong = Port(), "nowhere.invalid:2181"
    proxy.black_hole()
    expected = {
        f"127.0.0.1:{refused.number}": "Connection refused",
        wrong: r"cannot be resolved (",
        no_zookeeper: "the server does not speak ZooKeeper's protocol: ",
        proxy.hosts: "the server does not answer the handshake",
    }
    begun = {
        hosts: started(f"{hosts}/app", "pause", "web", "--connect-timeout=4") for hosts in expected
    }
    for hosts, process in begun.items():
        status, out, err = ended(process)
        assert (status, out) == (125, "")
        first, last = err.splitlines()
        why = f"{hosts}: {expected[hosts]}"
        assert first.startswith(f"zkexecctl: cannot connect to {why}")
        assert first.endswith("; still trying")
        within = f"zkexecctl: --cluster: cannot connect to {hosts}/app within 4 s"
        assert last.startswith(f"{within}: {why}")
    refused.release()


def interrupted(cluster: ClusterConnection, dialogue: Reading) -> None:
    """Ask, and be interrupted by Ctrl-C."""
    cluster.run(dialogue)
    raise KeyboardInterrupt


def test_nothing_is_left_of_a_connection(proxy: Proxy, znode: str) -> None:
    """Whatever went wrong, with a connection or without, no thread and no descriptor stays."""
    before = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    proxy.black_hole()
    with (
        pytest.raises(SubcommandError, match=r"within 0.1 s: no answer so far") as error,
        cluster_at(proxy.hosts, 0.1) as (cluster, _),
    ):
        cluster.run(Reading(znode))
    assert error.value.status == CANNOT_WORK
    proxy.heal()
    with cluster_at(proxy.hosts) as (cluster, _):
        assert cluster.run(Reading(znode)) == "one"
        proxy.black_hole()
    proxy.heal()
    with pytest.raises(KeyboardInterrupt), cluster_at(proxy.hosts) as (cluster, _):
        interrupted(cluster, Reading(znode))

    # The proxy's own end later.
    until(lambda: len(os.listdir("/proc/self/task")) <= before[0], "no thread more")
    until(
        lambda: len(os.listdir("/proc/self/fd")) <= before[1],
        lambda: f"no descriptor more than {before[1]}: {descriptors()}",
    )


def descriptors() -> list[str]:
    """What the descriptors of this process are."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return found


def test_a_connection_that_is_cut(proxy: Proxy, znode: str) -> None:
    """A dialogue runs again if the connection is lost in the middle of it, and only then."""
    cuts = iter([True, True, True])

    def cut(request: Request) -> Treatment:
        if request.opcode == GET and next(cuts, False):
            proxy.cut()
        return Treatment.PASS_ON

    with cluster_at(proxy.hosts) as (cluster, reported):
        dialogue = Reading(znode)
        assert cluster.run(dialogue) == "one"
        assert dialogue.asked == 1
        proxy.cut()
        assert cluster.run(dialogue) == "one"
        proxy.on_request = cut
        before = dialogue.asked
        assert cluster.run(dialogue) == "one"
        assert dialogue.asked == before + 4
        assert cluster.changed(DEADLINE_S) == {LOST}
    assert reported == []


def test_errors_of_a_question(zookeeper: Server, znode: str) -> None:
    """An error of a dialogue is raised to its caller, and the next dialogue is answered."""

    def refused() -> Dialogue:
        yield from ()
        raise RefusedError("/a: no")

    def objects() -> Dialogue:
        (outcome,) = yield [Get(f"{znode}/gone")]
        assert isinstance(outcome, NoNodeError)
        raise SubcommandError("there is none")

    def breaks() -> Dialogue:
        (outcome,) = yield [Exists(znode)]
        raise ValueError(f"a mistake with {outcome}")

    with cluster_at(zookeeper.hosts) as (cluster, _):
        with pytest.raises(SubcommandError, match=r"^/a: no$") as error:
            cluster.run(refused)
        assert error.value.status == CANNOT_WORK
        with pytest.raises(SubcommandError, match=r"^there is none$") as error:
            cluster.run(objects)
        assert error.value.status == 1
        with pytest.raises(ValueError, match="a mistake"):
            cluster.run(breaks)
        assert cluster.run(Reading(znode)) == "one"


def test_watches(proxy: Proxy, client: KazooClient, znode: str) -> None:
    """What fires is touched once, what is lost is LOST, and nothing comes of an old connection."""
    with cluster_at(proxy.hosts) as (cluster, _):
        assert cluster.changed(0.01) == set()
        watched = Reading(znode, "it")
        cluster.run(watched)
        assert cluster.changed(-1.0) == set()
        client.set(znode, b"two")
        assert cluster.changed(DEADLINE_S) == {"it"}
        client.set(znode, b"three")
        cluster.run(watched)
        assert cluster.changed(0.0) == set()

        proxy.cut()
        assert cluster.changed(DEADLINE_S) == {LOST}
        assert cluster.run(Reading(znode)) == "three"
        client.set(znode, b"four")
        assert cluster.run(Reading(znode)) == "four"
        assert cluster.changed(0.0) == set()

        cluster.run(watched)
        threading.Thread(target=lambda: client.set(znode, b"five")).start()
        assert cluster.changed(DEADLINE_S) == {"it"}
        cluster.report_change("a")
        threading.Thread(target=cluster.report_change, args=("b",)).start()
        seen = cluster.changed(DEADLINE_S)
        if len(seen) < 2:
            seen |= cluster.changed(DEADLINE_S)
        assert seen == {"a", "b"}


def test_a_touch_is_not_lost_in_a_question(proxy: Proxy, client: KazooClient, znode: str) -> None:
    """What is touched while a dialogue is on its way is there when the dialogue is answered."""
    other = f"{znode}/other"
    client.create(other, b"x")

    def touch(request: Request) -> Treatment:
        if request.opcode == EXISTS:
            client.set(other, b"y")
        return Treatment.PASS_ON

    with cluster_at(proxy.hosts) as (cluster, _):
        cluster.run(Reading(other, "other"))
        proxy.on_request = touch

        def dialogue() -> Dialogue:
            (stat,) = yield [Exists(znode)]
            return stat.version

        assert cluster.run(dialogue) == 1
        assert cluster.changed(DEADLINE_S) == {"other"}


def test_a_server_that_freezes_stops_and_forgets(own_zookeeper: Server) -> None:
    """One connection gives up on a frozen server in time, and survives stops and wipes."""
    with connected_client(own_zookeeper.hosts) as client:
        client.create("/a", b"one")
        client.create("/b", b"two")
    with cluster_at(own_zookeeper.hosts) as (cluster, reported):
        dialogue = Reading("/a")
        assert cluster.run(dialogue) == "one"
        own_zookeeper.pause()
        until(lambda: not own_zookeeper.ask("ruok", timeout_s=0.2), "the server is frozen")
        with pytest.raises(SubcommandError, match=r"^--cluster: no answer from .* within 0.3 s$"):
            cluster.run(dialogue, 0.3)
        own_zookeeper.resume()
        # The dialogue before is answered first, although its caller has given up.
        assert cluster.run(Reading("/b")) == "two"

        own_zookeeper.stop()
        assert cluster.changed(DEADLINE_S) == {LOST}
        with pytest.raises(SubcommandError, match=r"^--cluster: cannot connect to .*: .*refused"):
            cluster.run(dialogue, 1.0)
        own_zookeeper.wipe()
        own_zookeeper.start()
        with connected_client(own_zookeeper.hosts) as client:
            client.create("/a", b"anew")
        assert cluster.run(dialogue, DEADLINE_S) == "anew"
        assert reported[0].startswith(f"cannot connect to {own_zookeeper.hosts}: ")
        assert reported[1:] == ["connected again"]


def test_a_server_that_comes_later(own_zookeeper: Server) -> None:
    """A subcommand without a server reports it, waits, and does its work when there is one."""
    with connected_client(own_zookeeper.hosts) as client:
        for operation, (record, _) in OPERATIONS.items():
            Group.named(client, operation).write(record)
    own_zookeeper.stop()
    hosts = own_zookeeper.hosts
    begun = {
        operation: started(hosts, operation, operation, *words, "--connect-timeout=60")
        for operation, (_, words) in OPERATIONS.items()
    }
    for process in begun.values():
        process.until(f"^zkexecctl: cannot connect to {hosts}: ")
    own_zookeeper.start()
    for operation, process in begun.items():
        status, out, err = ended(process)
        assert (status, err.splitlines()[1:]) == (0, ["zkexecctl: connected"])
        assert out.startswith(f"{operation}: ")
    with connected_client(hosts) as client:
        for operation in OPERATIONS:
            content, stat = client.get(f"/zkexec/{operation}/state")
            assert [audit_entry.operation for audit_entry in decode(content).audit] == [operation]
            assert stat.version == 2


def test_identity_and_tls(tmp_path: Path) -> None:
    """Over TLS, and with the right password, an operation is done; with a wrong one it is not."""
    ours, others = (Authority(tmp_path, name) for name in ("ours", "others"))
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for file, secret in ((right, SECRET), (wrong, "open-wheat")):
        file.write_text(f"us:{secret}\n")
        file.chmod(0o600)
    server = TlsServer(ours.ca, ours.issue("server"))
    try:
        server.start()
        with known(server.plain.hosts, US) as client:
            group = Group(client, "/zkexec/web", CREATOR_ALL_ACL)
            hosts = f"127.0.0.1:{server.port}"
            subcommand = ("pause", "web", "--connect-timeout=3")
            stranger = started(
                hosts, *subcommand, f"--tls-ca={others.ca}", f"--auth=digest:@{right}"
            )
            guest = started(hosts, *subcommand, f"--tls-ca={ours.ca}", f"--auth=digest:@{wrong}")
            reported = [ended(process) for process in (stranger, guest)]
            assert [status for status, _, _ in reported] == [125, 125]
            assert f"{hosts}: its certificate is refused" in reported[0][2].splitlines()[-1]
            refusal = "the cluster gives no permission for this"
            assert reported[1][1:] == ("", f"zkexecctl: /zkexec/web/state: {refusal}\n")
            assert "open-" not in "".join(out + err for _, out, err in reported)
            assert group.record().paused is None

            us = started(hosts, *subcommand, f"--tls-ca={ours.ca}", f"--auth=digest:@{right}")
            assert ended(us)[::2] == (0, "")
            assert group.audit_entry("pause").reason == "tea"
    finally:
        server.close()


@pytest.mark.parametrize("is_connected", [False, True])
def test_ctrl_c_while_waiting(
    proxy: Proxy, root: str, client: KazooClient, is_connected: bool
) -> None:
    """Ctrl-C ends a subcommand that waits for a connection or an answer, by SIGINT and silently."""
    Group(client, root)

    def swallow(request: Request) -> Treatment:
        if request.opcode == MULTI_READ:
            proxy.black_hole()
        return Treatment.PASS_ON

    proxy.on_request = swallow
    if not is_connected:
        proxy.black_hole()
    process = started(proxy.hosts, "pause", root)
    sent = (lambda: MULTI_READ in proxy.opcodes) if is_connected else (lambda: proxy.accepted)
    until(sent, "it waits")
    process.signal(signal.SIGINT)

    assert ended(process) == (-signal.SIGINT, "", "")
    assert client.get(f"{root}/state")[1].version == 0
