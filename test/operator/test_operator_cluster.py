"""A person's connection to the cluster: questions that are answered once, watches, and patience."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL

from support.posted_events import address, connected_client
from support.program import Program
from support.proxy import EXISTS, GET, Proxy, Request, Treatment
from support.steering_samples import VERBS, Group
from support.tls_server import Authority, TlsServer, known
from support.waiting import DEADLINE_S, until
from support.zkexecctl import ZKEXECCTL
from support.zookeeper import Port, Server
from zkexec.cli.security import Access, Credential
from zkexec.group.record_codec import decode
from zkexec.operator.call import Connection
from zkexec.operator.cluster import LOST, Cluster
from zkexec.operator.outcome import CANNOT_WORK, OperatorError
from zkexec.zookeeper.errors import NoNodeError, RefusedError
from zkexec.zookeeper.requests import Dialogue, Exists, Get

SECRET = "open-sesame"  # noqa: S105 - It is none.
US = Access(credentials=(Credential("digest", "us", SECRET),))


def connection(hosts: str, connect_timeout_s: float = 30.0) -> Connection:
    """What the command line tells of the cluster."""
    return Connection(
        hosts_text=hosts, servers=(address(hosts),), connect_timeout_s=connect_timeout_s
    )


@contextmanager
def cluster_at(hosts: str, connect_timeout_s: float = 30.0) -> Iterator[tuple[Cluster, list[str]]]:
    """A Cluster, and the lines that it tells."""
    told: list[str] = []
    with Cluster(connection(hosts, connect_timeout_s), told.append) as cluster:
        yield cluster, told


class Reading:
    """A question for what stands in a znode; counts how often it was asked."""

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
    """A verb on its way to these hosts."""
    return Program(*ZKEXECCTL, *words, "--reason=tea", f"--cluster={hosts}")


def ended(program: Program) -> tuple[int, str, str]:
    """Wait for the end: the status, the output, and what it said on stderr."""
    with program:
        status = program.wait()
    return status, program.stdout.text, program.stderr.text


def test_nobody_there(no_zookeeper: str, proxy: Proxy) -> None:
    """Where no connection comes about, one line tells that at once, and one why it was given up."""
    refused, wrong = Port(), "nowhere.invalid:2181"
    proxy.black_hole()
    expected = {
        f"127.0.0.1:{refused.number}": "Connection refused",
        wrong: r"cannot be resolved (",
        no_zookeeper: "the server closed the connection",
        proxy.hosts: "no answer within 3 s",
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
        assert first.endswith("; trying on")
        within = f"zkexecctl: --cluster: cannot connect to {hosts}/app within 4 s"
        assert last.startswith(f"{within}: {why}")
    refused.release()


def interrupted(cluster: Cluster, question: Reading) -> None:
    """Ask, and be interrupted by Ctrl-C."""
    cluster.ask(question)
    raise KeyboardInterrupt


def test_nothing_is_left_of_a_connection(proxy: Proxy, znode: str) -> None:
    """Whether there was a connection or not, and whatever went wrong, no thread stays behind."""
    threads = threading.active_count()
    proxy.black_hole()
    with (
        pytest.raises(OperatorError, match=r"within 0.1 s: no answer so far") as error,
        cluster_at(proxy.hosts, 0.1) as (cluster, _),
    ):
        cluster.ask(Reading(znode))
    assert error.value.status == CANNOT_WORK
    proxy.heal()
    with cluster_at(proxy.hosts) as (cluster, _):
        assert cluster.ask(Reading(znode)) == "one"
        proxy.black_hole()
    proxy.heal()
    with pytest.raises(KeyboardInterrupt), cluster_at(proxy.hosts) as (cluster, _):
        interrupted(cluster, Reading(znode))

    until(lambda: threading.active_count() <= threads, "all threads have ended")


def test_a_connection_that_is_cut(proxy: Proxy, znode: str) -> None:
    """A question is asked anew where the connection is lost in the middle of it, and only there."""
    cuts = iter([True, True, True])

    def cut(request: Request) -> Treatment:
        if request.opcode == GET and next(cuts, False):
            proxy.cut()
        return Treatment.PASS_ON

    with cluster_at(proxy.hosts) as (cluster, told):
        question = Reading(znode)
        assert cluster.ask(question) == "one"
        assert question.asked == 1
        proxy.cut()
        assert cluster.ask(question) == "one"
        proxy.on_request = cut
        before = question.asked
        assert cluster.ask(question) == "one"
        assert question.asked == before + 4
        assert cluster.touched(DEADLINE_S) == {LOST}
    assert told == []


def test_errors_of_a_question(zookeeper: Server, znode: str) -> None:
    """What a question raises is raised where it was asked, and the next one is answered."""

    def refused() -> Dialogue:
        yield from ()
        raise RefusedError("/a: no")

    def objects() -> Dialogue:
        (outcome,) = yield [Get(f"{znode}/gone")]
        assert isinstance(outcome, NoNodeError)
        raise OperatorError("there is none")

    def breaks() -> Dialogue:
        (outcome,) = yield [Exists(znode)]
        raise ValueError(f"a mistake with {outcome}")

    with cluster_at(zookeeper.hosts) as (cluster, _):
        with pytest.raises(OperatorError, match=r"^/a: no$") as error:
            cluster.ask(refused)
        assert error.value.status == CANNOT_WORK
        with pytest.raises(OperatorError, match=r"^there is none$") as error:
            cluster.ask(objects)
        assert error.value.status == 1
        with pytest.raises(ValueError, match="a mistake"):
            cluster.ask(breaks)
        assert cluster.ask(Reading(znode)) == "one"


def test_watches(proxy: Proxy, client: KazooClient, znode: str) -> None:
    """What fires is touched once, what is lost is LOST, and nothing comes of an old connection."""
    with cluster_at(proxy.hosts) as (cluster, _):
        assert cluster.touched(0.01) == set()
        watched = Reading(znode, "it")
        cluster.ask(watched)
        assert cluster.touched(-1.0) == set()
        client.set(znode, b"two")
        assert cluster.touched(DEADLINE_S) == {"it"}
        client.set(znode, b"three")
        cluster.ask(watched)
        assert cluster.touched(0.0) == set()

        proxy.cut()
        assert cluster.touched(DEADLINE_S) == {LOST}
        assert cluster.ask(Reading(znode)) == "three"
        client.set(znode, b"four")
        assert cluster.ask(Reading(znode)) == "four"
        assert cluster.touched(0.0) == set()

        cluster.ask(watched)
        threading.Thread(target=lambda: client.set(znode, b"five")).start()
        assert cluster.touched(DEADLINE_S) == {"it"}
        cluster.touch("a")
        threading.Thread(target=cluster.touch, args=("b",)).start()
        seen = cluster.touched(DEADLINE_S)
        if len(seen) < 2:
            seen |= cluster.touched(DEADLINE_S)
        assert seen == {"a", "b"}


def test_a_touch_is_not_lost_in_a_question(proxy: Proxy, client: KazooClient, znode: str) -> None:
    """What is touched while a question is on its way is there when the question is answered."""
    other = f"{znode}/other"
    client.create(other, b"x")

    def touch(request: Request) -> Treatment:
        if request.opcode == EXISTS:
            client.set(other, b"y")
        return Treatment.PASS_ON

    with cluster_at(proxy.hosts) as (cluster, _):
        cluster.ask(Reading(other, "other"))
        proxy.on_request = touch

        def question() -> Dialogue:
            (stat,) = yield [Exists(znode)]
            return stat.version

        assert cluster.ask(question) == 1
        assert cluster.touched(DEADLINE_S) == {"other"}


def test_a_server_that_freezes_stops_and_forgets(own_zookeeper: Server) -> None:
    """The same Cluster gives up on a frozen server in time, and outlives stops, wipes included."""
    with connected_client(own_zookeeper.hosts) as client:
        client.create("/a", b"one")
        client.create("/b", b"two")
    with cluster_at(own_zookeeper.hosts) as (cluster, told):
        question = Reading("/a")
        assert cluster.ask(question) == "one"
        own_zookeeper.pause()
        until(lambda: not own_zookeeper.ask("ruok", timeout_s=0.2), "the server is frozen")
        with pytest.raises(OperatorError, match=r"^--cluster: no answer from .* within 0.3 s$"):
            cluster.ask(question, 0.3)
        own_zookeeper.resume()
        # What was asked before is answered first, when nobody waits for it any more.
        assert cluster.ask(Reading("/b")) == "two"

        own_zookeeper.stop()
        assert cluster.touched(DEADLINE_S) == {LOST}
        with pytest.raises(OperatorError, match=r"^--cluster: cannot connect to .*: .*refused"):
            cluster.ask(question, 1.0)
        own_zookeeper.wipe()
        own_zookeeper.start()
        with connected_client(own_zookeeper.hosts) as client:
            client.create("/a", b"anew")
        assert cluster.ask(question, DEADLINE_S) == "anew"
        assert told[0].startswith(f"cannot connect to {own_zookeeper.hosts}: ")
        assert told[1:] == ["connected again"]


def test_a_server_that_comes_later(own_zookeeper: Server) -> None:
    """A verb that finds no server waits for it, says so, and does its deed once it is there."""
    with connected_client(own_zookeeper.hosts) as client:
        for verb, (record, _) in VERBS.items():
            Group.named(client, verb).write(record)
    own_zookeeper.stop()
    hosts = own_zookeeper.hosts
    begun = {
        verb: started(hosts, verb, verb, *words, "--connect-timeout=60")
        for verb, (_, words) in VERBS.items()
    }
    for process in begun.values():
        process.until(f"^zkexecctl: cannot connect to {hosts}: ")
    own_zookeeper.start()
    for verb, process in begun.items():
        status, out, err = ended(process)
        assert (status, err.splitlines()[1:]) == (0, ["zkexecctl: connected"])
        assert out.startswith(f"{verb}: ")
    with connected_client(hosts) as client:
        for verb in VERBS:
            content, stat = client.get(f"/zkexec/{verb}/state")
            assert [audit_entry.operation for audit_entry in decode(content).audit] == [verb]
            assert stat.version == 2


def test_identity_and_tls(tmp_path: Path) -> None:
    """Over TLS, and with the right password, a deed is done; with a wrong one or CA it is not."""
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
            hosts = f"localhost:{server.port}"
            verb = ("pause", "web", "--connect-timeout=3")
            stranger = started(hosts, *verb, f"--tls-ca={others.ca}", f"--auth=digest:@{right}")
            guest = started(hosts, *verb, f"--tls-ca={ours.ca}", f"--auth=digest:@{wrong}")
            told = [ended(process) for process in (stranger, guest)]
            assert [status for status, _, _ in told] == [125, 125]
            assert f"{hosts}: " in told[0][2].splitlines()[-1]
            assert "certificate" in told[0][2].splitlines()[-1]
            refusal = "the cluster gives no permission for this"
            assert told[1][1:] == ("", f"zkexecctl: /zkexec/web/state: {refusal}\n")
            assert "open-" not in "".join(out + err for _, out, err in told)
            assert group.record().paused is None

            us = started(hosts, *verb, f"--tls-ca={ours.ca}", f"--auth=digest:@{right}")
            assert ended(us)[::2] == (0, "")
            assert group.audit_entry("pause").reason == "tea"
    finally:
        server.close()


@pytest.mark.parametrize("is_connected", [False, True])
def test_ctrl_c_while_waiting(
    proxy: Proxy, root: str, client: KazooClient, is_connected: bool
) -> None:
    """Ctrl-C ends a verb that waits, for a connection or for an answer, by SIGINT and silently."""
    Group(client, root)

    def swallow(request: Request) -> Treatment:
        if request.opcode == GET:
            proxy.black_hole()
        return Treatment.PASS_ON

    proxy.on_request = swallow
    if not is_connected:
        proxy.black_hole()
    process = started(proxy.hosts, "pause", root)
    sent = (lambda: GET in proxy.opcodes) if is_connected else (lambda: proxy.accepted)
    until(sent, "it waits")
    process.signal(signal.SIGINT)

    assert ended(process) == (-signal.SIGINT, "", "")
    assert client.get(f"{root}/state")[1].version == 0
