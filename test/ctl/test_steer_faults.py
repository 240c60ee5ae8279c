"""Operations while replies are lost, and while other operators and members write as well.

The rules of this file: each operator has a way to the server of its own; two that should meet are
held back there until both have made up their minds.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError

from support.proxy import TRANSACTION, Proxy, Request, Treatment, pass_all
from support.steering_samples import OPERATIONS, PAUSED, Group, command, one_line
from support.waiting import until
from support.zkexecctl import CompletedRun, Zkexecctl
from support.zookeeper import Server, can_read_at_once
from zkexec.frozen import replace
from zkexec.group.record_codec import decode, encode

ROUNDS = 40
_MEETS_WITHIN_S = 30.0


@pytest.fixture
def group(client: KazooClient, root: str) -> Group:
    """A group of this test, whose NAME is its path."""
    return Group(client, root, asked=b"abc def")


class Operator:
    """An operator with a way to the cluster of their own, `proxy`."""

    def __init__(self, name: str, zookeeper: Server, folder: Path, *options: str) -> None:
        self.name = name
        self.proxy = Proxy(zookeeper.port)
        self._hand = Zkexecctl(self.proxy.hosts, folder, *options)

    def does(self, operation: str, group: Group) -> CompletedRun:
        """Run a operation to its end."""
        return self._hand(*command(operation, group.base, self.name))


@pytest.fixture
def ann(zookeeper: Server, tmp_path: Path) -> Iterator[Operator]:
    """An operator."""
    one = Operator("ann", zookeeper, tmp_path)
    yield one
    one.proxy.close()


@pytest.fixture
def bob(zookeeper: Server, tmp_path: Path) -> Iterator[Operator]:
    """Another one."""
    one = Operator("bob", zookeeper, tmp_path)
    yield one
    one.proxy.close()


@pytest.fixture
def hasty(zookeeper: Server, tmp_path: Path) -> Iterator[Operator]:
    """One without much patience."""
    one = Operator("hasty", zookeeper, tmp_path, "--connect-timeout=1.5")
    yield one
    one.proxy.close()


@contextmanager
def at_the_write(operator: Operator, treatment: Treatment, then: str) -> Iterator[None]:
    """Let the operator's first write have this treatment; `then` is what happens to the connection.

    It is cut, or refused for good, at once where the write is not to arrive, or when it has.
    """
    happened = threading.Event()
    proxy = operator.proxy

    def see(request: Request) -> Treatment:
        if request.opcode != TRANSACTION or happened.is_set():
            return Treatment.PASS_ON
        happened.set()
        if treatment is Treatment.LOSE_REPLY:
            # A reply that is kept back has been sent long before that.
            threading.Timer(0.25, getattr(proxy, then)).start()
        else:
            getattr(proxy, then)()
        return treatment

    proxy.on_request = see
    yield
    proxy.on_request = pass_all
    assert happened.is_set()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("treatment", [Treatment.LOSE_REPLY, Treatment.PASS_ON])
def test_a_lost_reply_and_a_lost_request(
    group: Group, ann: Operator, operation: str, treatment: Treatment
) -> None:
    """Whatever is lost on the way, an operation is done once, and reported as done."""
    group.write(OPERATIONS[operation][0])
    group.live(["m2"])
    undisturbed = ann.does(operation, group)
    group.write(OPERATIONS[operation][0])
    version = group.client.exists(group.state).version
    asked = group.client.exists(group.restart).version
    with at_the_write(ann, treatment, "cut"):
        answer = ann.does(operation, group)

    assert answer.status == 0, answer
    # Each zkexecctl finds out by itself that servers cannot read at once.
    assert ann.proxy.accepted == (3 if can_read_at_once() else 3 + 2)
    assert timeless(answer.out) == timeless(undisturbed.out)
    assert [audit_entry.operation for audit_entry in group.record().audit] == [operation]
    assert group.client.exists(group.state).version == version + 1
    steps = 1 if operation in ("restart", "retry") else 0
    assert group.client.exists(group.restart).version == asked + steps


def timeless(text: str) -> str:
    """What was said, without the name that each restart has of its own."""
    before, asked, after = one_line(text).partition(" requested; ")
    return before.rpartition(" ")[0] + asked + after if asked else before


def test_an_operation_that_was_undone_before_its_reply(group: Group, ann: Operator) -> None:
    """An operation whose reply was lost counts as done, even if others have acted since."""

    def see(request: Request) -> Treatment:
        if request.opcode != TRANSACTION:
            return Treatment.PASS_ON
        threading.Timer(0.25, resume).start()
        return Treatment.LOSE_REPLY

    def resume() -> None:
        group.write(replace(group.record(), paused=None))
        ann.proxy.cut()

    ann.proxy.on_request = see
    answer = ann.does("pause", group)

    assert (answer.status, answer.err) == (0, "")
    assert "paused: no member is admitted" in answer.out
    assert len(group.record().audit) == 1
    assert group.record().paused is None


def test_an_unknown_result_is_reported_as_unknown(group: Group, hasty: Operator) -> None:
    """If the connection stays away after a write, the error leaves open whether it was done."""
    with at_the_write(hasty, Treatment.LOSE_REPLY, "refuse"):
        answer = hasty.does("pause", group)

    assert (answer.status, answer.out) == (125, "")
    said = answer.err.splitlines()[-1]
    assert said.startswith(
        f"zkexecctl: --cluster: cannot connect to {hasty.proxy.hosts} within 1.5 s"
    )
    assert said.endswith(f"; it may have been done: check with zkexecctl status {group.base}")
    assert len(group.record().audit) == 1

    hasty.proxy.heal()
    hasty.proxy.refuse()
    answer = hasty.does("resume", group)
    assert answer.status == 125
    assert "whether it was done" not in answer.err


@contextmanager
def just_before_the_write(operator: Operator, act: Callable[[], object]) -> Iterator[None]:
    """Let something happen in the moment in which the operator writes for the first time."""
    done = threading.Event()

    def see(request: Request) -> Treatment:
        if request.opcode == TRANSACTION and not done.is_set():
            done.set()
            act()
        return Treatment.PASS_ON

    operator.proxy.on_request = see
    yield
    operator.proxy.on_request = pass_all
    assert done.is_set()


def test_a_lost_request_that_has_become_pointless(group: Group, ann: Operator) -> None:
    """What is certainly not done is reported without doubt, even after a lost write."""

    def pause_and_cut() -> None:
        group.write(PAUSED)
        ann.proxy.cut()

    with just_before_the_write(ann, pause_and_cut):
        answer = ann.does("pause", group)

    assert (answer.status, answer.out) == (1, "")
    assert f"{group.base}: already paused by ann@hill since" in answer.err
    assert one_line(answer.err).endswith(": lunch")
    assert group.record() == PAUSED


def test_restarts_that_are_requested_by_hand(group: Group, ann: Operator) -> None:
    """A write to the znode of restarts by another tool is not overwritten."""
    with just_before_the_write(ann, lambda: group.client.set(group.restart, b"by-hand")):
        answer = ann.does("restart", group)

    assert answer.status == 1
    said = "another operator has requested a restart at the same time; nothing was done"
    assert one_line(answer.err) == f"zkexecctl: {group.base}: {said}"
    assert (group.asked(), group.record().audit) == (["by-hand"], ())

    with just_before_the_write(ann, lambda: group.client.delete(group.restart)):
        answer = ann.does("restart", group)
    assert answer.status == 0
    assert group.asked()[1] == group.audit_entry("restart").token


class Meeting:
    """Lets the first writes of two operators go on only when both are there."""

    def __init__(self, *operators: Operator) -> None:
        self._barrier = threading.Barrier(len(operators))
        for operator in operators:
            operator.proxy.on_request = self._held_back()

    def _held_back(self) -> "Meeting._See":
        return Meeting._See(self._barrier)

    class _See:
        def __init__(self, barrier: threading.Barrier) -> None:
            self._barrier = barrier
            self._has_met = False

        def __call__(self, request: Request) -> Treatment:
            if request.opcode == TRANSACTION and not self._has_met:
                self._has_met = True
                self._barrier.wait(_MEETS_WITHIN_S)
            return Treatment.PASS_ON


@pytest.mark.parametrize("operation", OPERATIONS)
def test_two_operators_at_once(group: Group, ann: Operator, bob: Operator, operation: str) -> None:
    """Of two operators who do the same at once one does it; the other's error names it."""
    for _ in range(ROUNDS):
        group.write(OPERATIONS[operation][0])
        version = group.client.exists(group.state).version
        Meeting(ann, bob)
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda one: one.does(operation, group), (ann, bob)))

        assert sorted(answer.status for answer in answers) == [0, 1], answers
        won = [answer.status for answer in answers].index(0)
        winner, loser = (ann, bob)[won], answers[1 - won]
        audit_entry = group.audit_entry(operation)
        assert [one.by for one in group.record().audit] == [audit_entry.by] == [winner.name]
        assert (loser.out, answers[won].err) == ("", "")
        assert winner.name in one_line(loser.err)
        assert group.client.exists(group.state).version == version + 1
        if operation in ("restart", "retry"):
            assert group.asked()[1] == audit_entry.token


def test_a_restart_and_a_retry_at_once(group: Group, ann: Operator, bob: Operator) -> None:
    """The error of another operation at the same time names the first one."""
    group.write(OPERATIONS["retry"][0])
    Meeting(ann, bob)
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(
                lambda do: do(),
                [lambda: ann.does("restart", group), lambda: bob.does("retry", group)],
            )
        )

    loser = next(answer for answer in answers if answer.status == 1)
    (audit_entry,) = group.record().audit
    assert f"{audit_entry.by} (" in loser.err
    assert (
        f"has requested a {audit_entry.operation} at the same time; nothing was done" in loser.err
    )


def test_a_pause_and_a_restart_at_once(group: Group, ann: Operator, bob: Operator) -> None:
    """A restart that comes after a pause is refused; one that came before it is in the record."""
    for _ in range(ROUNDS):
        group.write(replace(PAUSED, paused=None))
        asked = group.asked()
        Meeting(ann, bob)
        with ThreadPoolExecutor(2) as pool:
            paused = pool.submit(ann.does, "pause", group)
            restarted = pool.submit(bob.does, "restart", group).result()

        assert paused.result().status == 0
        assert group.record().paused is not None
        done = [audit_entry.operation for audit_entry in group.record().audit]
        if restarted.status:
            assert ": paused by ann since" in restarted.err
            assert (done, group.asked()) == (["pause"], asked)
        else:
            assert done == ["restart", "pause"]
            assert group.asked()[1] == group.record().audit[0].token


class Committing:
    """A member that commits again and again, each time against the version that it has read."""

    def __init__(self, group: Group) -> None:
        self.done = 0
        self._group = group
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._commit, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.done, "the member commits")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _commit(self) -> None:
        client, state = self._group.client, self._group.state
        while not self._over.is_set():
            content, stat = client.get(state)
            record = decode(content)
            try:
                client.set(
                    state,
                    encode(replace(record, last_admitted=record.last_admitted + 1), 1.0),
                    stat.version,
                )
            except BadVersionError:
                continue
            self.done += 1
            # Nobody commits faster than it can read what it has to.
            self._over.wait(0.002)


def test_members_that_commit_all_the_time(group: Group, ann: Operator) -> None:
    """No operation fails because members write the record, and nothing that they write is lost."""
    group.write(replace(OPERATIONS["retry"][0], last_admitted=0))
    with Committing(group) as member:
        for operation in ("pause", "resume", "restart", "retry") * 5:
            answer = ann.does(operation, group)
            assert answer.status == 0, answer
        answer = ann.does("forget", group)
        assert answer.status == 0, answer

    record = group.record()
    assert record.last_admitted == member.done
    assert [audit_entry.operation for audit_entry in record.audit[-5:]] == [
        "pause",
        "resume",
        "restart",
        "retry",
        "forget",
    ]
    assert group.asked()[1] == record.audit[-2].token
