"""Our requests beside kazoo's: the same bytes, and the outcomes that become of its answers."""

import pytest
from kazoo.exceptions import EXCEPTIONS, ConnectionClosedError
from kazoo.exceptions import NoNodeError as KazooNoNodeError
from kazoo.protocol.states import ZnodeStat

from zkexec.zookeeper import errors
from zkexec.zookeeper.kazoo_requests import outcome_of, to_kazoo
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Exists,
    Get,
    GetAcl,
    Operation,
    SetContent,
    Transaction,
    first_error,
    size_of,
)
from zkexec.zookeeper.values import ALL, OPEN_ACL, READ, Acl, Stat

OPERATIONS: list[Operation] = [
    Create("/a", b"", OPEN_ACL),
    Create("/ä/b-", b"content", (Acl(READ, "auth", ""), *OPEN_ACL), ephemeral=True),
    Delete("/a", 3),
    SetContent("/a", b"\0\1\2"),
    Check("/a/b", 7),
]


@pytest.mark.parametrize("request_", [*OPERATIONS, Transaction(OPERATIONS), Transaction([])])
def test_the_size_on_the_wire(request_: Operation | Transaction) -> None:
    """The size of a request is that of its bytes."""
    assert size_of(request_) == len(to_kazoo(request_, lambda _: None).serialize())


def test_a_watch_is_asked_for_by_its_name() -> None:
    """What kazoo calls for a watch is made of what the request names it with."""
    made = to_kazoo(Get("/a", "w"), lambda watch: None if watch is None else print)
    assert made.watcher is print
    assert to_kazoo(Get("/a"), lambda watch: None if watch is None else print).watcher is None


def test_answers_as_values() -> None:
    """Contents, names, statistics and ACLs are values of our own."""
    theirs, ours = ZnodeStat(*range(11)), Stat(*range(11))
    acl = to_kazoo(Create("/a", b"", OPEN_ACL), lambda _: None).acl
    assert outcome_of(Get("/a"), (None, theirs), None) == (b"", ours)
    assert outcome_of(Children("/a"), (["b"], theirs), None) == (("b",), ours)
    assert outcome_of(Exists("/a"), theirs, None) == ours
    assert outcome_of(Exists("/a"), None, None) is None
    assert outcome_of(GetAcl("/a"), (acl, theirs), None) == ((Acl(ALL, "world", "anyone"),), ours)


@pytest.mark.parametrize("code", sorted(EXCEPTIONS))
def test_every_error_has_its_code_or_its_words(code: int) -> None:
    """Each error of the servers becomes one of ours, with the path and a reason for a person."""
    outcome = outcome_of(Get("/a"), None, EXCEPTIONS[code]())
    assert isinstance(outcome, errors.ZooKeeperError)
    assert outcome.path == "/a"
    assert str(outcome)
    assert outcome.code == code or isinstance(outcome, errors.OtherError)


def test_a_closed_client_ends_a_connection() -> None:
    """What kazoo raises for a client that was closed is no answer of a server."""
    outcome = outcome_of(Get("/a"), None, ConnectionClosedError())
    assert isinstance(outcome, errors.ConnectionEndError)


def test_a_mistake_is_an_error_with_words() -> None:
    """An answer that cannot be read becomes an error that names the mistake."""
    outcome = outcome_of(Get("/a"), None, ValueError("odd"))
    assert str(outcome) == "ValueError: odd"


def test_the_operation_that_failed() -> None:
    """Of a transaction that failed, the one operation is found that the others failed for."""
    transaction = Transaction([Check("/a"), Delete("/b"), Delete("/c")])
    answers = [EXCEPTIONS[0](), KazooNoNodeError(), EXCEPTIONS[-2]()]
    found = first_error(outcome_of(transaction, answers, None))
    assert found is not None
    index, error = found
    assert (index, type(error), error.path) == (1, errors.NoNodeError, "/b")
    assert first_error(outcome_of(transaction, [True, True, True], None)) is None
