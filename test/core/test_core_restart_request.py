"""Check that only an operator's request in the znode of restarts is one."""

import pytest

from zkexec.core import events
from zkexec.core.actions import Note
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.inputs import Inputs
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot, Znode

TERMS = Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"),)), in_group=True, restart_path="/r")


class _Reads:
    """Inputs, and what they log at each read."""

    def __init__(self) -> None:
        self.source = Inputs(TERMS)
        self.source.handle(events.SessionConnected(1, 10.0), 0)
        self._count = 0

    def read(self, asked: bytes, mzxid: int) -> list[str]:
        """Read an old file, and this content of the znode of restarts."""
        self._count += 1
        znodes = {"/z": Znode("/z", b"a", 1), "/r": Znode("/r", asked, mzxid)}
        actions = self.source.handle(events.ZnodesRead(self._count, znodes), 0)
        self.source.handle(events.ZnodeTouched("/r"), 0)
        return [action.topic for action in actions if isinstance(action, Note)]


@pytest.mark.parametrize("rubbish", [b"\0\0", b"\xff\xfe", b"[" * 400_000, b"x" * 1_000_000])
def test_invalid_content_restarts_no_command(rubbish: bytes) -> None:
    """The last valid restart stays the wanted one; the znode is logged once."""
    reads = _Reads()
    assert reads.read(b"first token", 2) == []
    assert reads.read(rubbish, 3) == ["restart-ignored"]
    assert reads.source.wanted == Snapshot({"/f": b"a"}, restart="first")
    assert reads.source.wanted.zxid == 1
    assert reads.read(rubbish + b"!", 4) == []
    assert reads.read(b"second token", 5) == []
    assert reads.source.wanted == Snapshot({"/f": b"a"}, 5, restart="second")
    assert reads.read(rubbish, 6) == ["restart-ignored"]


def test_invalid_content_is_no_request_at_a_first_start() -> None:
    """A member that has read no valid request knows none."""
    reads = _Reads()
    assert reads.read(b"\0\0", 3) == ["restart-ignored"]
    assert reads.source.wanted == Snapshot({"/f": b"a"})
