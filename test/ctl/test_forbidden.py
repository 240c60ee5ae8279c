"""Znodes that a server does not let the operator see: one line names them, and what is missing.

Servers from 3.9 on refuse even the question whether such a znode exists.
"""

import pytest

from support.dialogue_player import at, play
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.ctl.command.steer import last_request
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.operation_store import OperationStore
from zkexec.group.paths import Paths
from zkexec.group.record_codec import encode
from zkexec.zookeeper.errors import NoAuthError, NoNodeError, RefusedError
from zkexec.zookeeper.requests import Check, Exists, MultiRead

FORGET = AuditEntry("forget", "alice", "gone", "t1", "m1")
RECORD = encode(RolloutRecord(), 1.0)


def test_forget_names_the_member_status_that_may_not_be_read() -> None:
    """If the status of the member may not be read, its path is in the message."""
    paths = Paths("", "/zkexec/web")
    member = paths.member("m1")
    znodes = [paths.state, paths.in_flight, paths.unavailable, paths.members, paths.entry("m1")]
    found = ((RECORD, at(5)), *[NoNodeError()] * 4)

    with pytest.raises(RefusedError, match=member):
        play(
            OperationStore("web", paths, FORGET, lambda: False).read(),
            ([MultiRead(tuple(znodes))], [found]),
            ([Exists(member)], [NoAuthError(member)]),
        )


@pytest.mark.parametrize("request_of", [Exists, Check])
def test_a_push_names_the_parent_that_may_not_be_read(request_of: type[Exists | Check]) -> None:
    """Each request of a push has words for what its identity may not do."""
    paths = HistoryPaths(Paths("", "/zkexec/web"))
    refusal = paths.refusal(request_of("/app"), NoAuthError("/app"))

    assert str(refusal) == "/app: no permission to read it (r)"


def test_a_token_that_is_no_text_matches_no_request() -> None:
    """A record can contain what no znode of restarts can: it is not the latest request."""
    hostile = RolloutRecord(audit=(AuditEntry("retry", "x", "", "\ud800"),))

    assert last_request(hostile, "retry", b"- other") is None
