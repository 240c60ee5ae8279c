"""Requests and outcomes as hypothesis draws them."""

from typing import Any

from hypothesis import strategies as st

from zkexec.zookeeper.errors import ZooKeeperError, error_of
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Exists,
    Get,
    GetAcl,
    GetEphemerals,
    MultiRead,
    RemoveWatches,
    SetAcl,
    SetContent,
    SetWatches,
    Sync,
    Transaction,
)
from zkexec.zookeeper.session_requests import (
    AnyRequest,
    Authenticate,
    CloseSession,
    Ping,
    SaslToken,
)
from zkexec.zookeeper.values import Acl, Stat
from zookeeper.wire_server import WATCHED

INTS = st.integers(-(2**31), 2**31 - 1)
LONGS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CONTENTS = st.binary(max_size=50)
STATS = st.builds(Stat, LONGS, LONGS, LONGS, LONGS, INTS, INTS, INTS, LONGS, INTS, INTS, LONGS)
ENTRIES = st.builds(Acl, INTS, TEXTS, TEXTS)


def several(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A few of them, or none."""
    return st.lists(items, max_size=4).map(tuple)


_WATCHES = st.sampled_from([None, WATCHED])
_CREATES = st.builds(Create, TEXTS, CONTENTS, several(ENTRIES), st.booleans(), st.booleans())
_DELETES = st.builds(Delete, TEXTS, INTS)
_SETS = st.builds(SetContent, TEXTS, CONTENTS, INTS)
_CHECKS = st.builds(Check, TEXTS, INTS)

REQUESTS: st.SearchStrategy[AnyRequest] = st.one_of(
    st.builds(Get, TEXTS, _WATCHES),
    st.builds(Exists, TEXTS, _WATCHES),
    st.builds(Children, TEXTS, _WATCHES),
    st.builds(GetAcl, TEXTS),
    st.builds(SetAcl, TEXTS, several(ENTRIES), INTS),
    _CREATES,
    _DELETES,
    _SETS,
    st.builds(Transaction, several(st.one_of(_CREATES, _DELETES, _SETS, _CHECKS))),
    st.builds(MultiRead, several(TEXTS)),
    st.builds(Sync, TEXTS),
    st.builds(SetWatches, LONGS, several(TEXTS), several(TEXTS), several(TEXTS)),
    st.builds(Authenticate, TEXTS, CONTENTS),
    st.builds(SaslToken, CONTENTS),
    st.builds(GetEphemerals, TEXTS),
    st.builds(RemoveWatches, TEXTS, INTS),
    st.just(Ping()),
    st.just(CloseSession()),
)

_RESULT_CODES = (0, -2, -101, -102, -103, -110, -111)


def _errors(path: str) -> st.SearchStrategy[ZooKeeperError]:
    return st.sampled_from(_RESULT_CODES).map(lambda code: error_of(code, path))


def outcomes_of(request: AnyRequest) -> st.SearchStrategy[Any]:
    """What a server can answer to a request, but for the errors of the whole answer."""
    match request:
        case Get():
            return st.tuples(CONTENTS, STATS)
        case Exists() | SetContent() | SetAcl():
            return STATS
        case Children():
            return st.tuples(several(TEXTS), STATS)
        case GetAcl():
            return st.tuples(several(ENTRIES), STATS)
        case Create():
            return TEXTS
        case SaslToken():
            return CONTENTS
        case GetEphemerals():
            return several(TEXTS)
        case Transaction(operations):
            return st.tuples(*[outcomes_of(one) | _errors(one.path) for one in operations])
        case MultiRead(paths):
            return st.tuples(*[outcomes_of(Get(path)) | _errors(path) for path in paths])
        case _:
            return st.none()
