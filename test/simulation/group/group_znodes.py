"""The znodes of the group in the model world, and what their bytes mean to an observer."""

from functools import lru_cache

from simulation.servers.znodes import Node
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.turn import MemberStatus
from zkexec.group import record_codec
from zkexec.group.member_codec import decode_status

BASE = "/g"
STATE = f"{BASE}/state"
RESTART = f"{BASE}/restart"
MEMBERS = f"{BASE}/members/"
QUEUE = f"{BASE}/queue/"

decoded_record = lru_cache(maxsize=256)(record_codec.decode)
"""The record of these bytes: observers read the same ones again and again."""


def record_of(node: Node | None) -> RolloutRecord:
    """Read the record; it is empty if there is no znode.  Numbers of another history are cut."""
    return RolloutRecord() if node is None else decoded_record(node.content).clamped_to(node.mzxid)


def status_of(node: Node) -> MemberStatus:
    """Read the status of a member from its node."""
    return decode_status(node.content)[0]


def may_lose_watch(path: str) -> bool:
    """Whether servers that lose watches may lose that of this znode: if it is no input."""
    return path.startswith(f"{BASE}/") and path != RESTART
