"""The znodes of the group in the model world, and what their bytes mean to an observer."""

from functools import lru_cache

from simulation.servers.znodes import Node
from zkexec.core.turn import MemberStatus
from zkexec.group import record_codec
from zkexec.group.entry_codec import decode_entry, decode_queued
from zkexec.group.member_codec import decode_status

BASE = "/g"
STATE = f"{BASE}/state"
RESTART = f"{BASE}/restart"
MEMBERS = f"{BASE}/members/"
QUEUE = f"{BASE}/queue/"
IN_FLIGHT = f"{BASE}/in_flight/"
UNAVAILABLE = f"{BASE}/unavailable/"
VERSIONS = f"{BASE}/versions/"
ZONES = f"{BASE}/zones/"

decoded_record = lru_cache(maxsize=256)(record_codec.decode)
"""The decisions in these bytes: observers read the same ones again and again."""
decoded_entry = lru_cache(maxsize=256)(decode_entry)
decoded_queued = lru_cache(maxsize=256)(decode_queued)


def status_of(node: Node) -> MemberStatus:
    """Read the status of a member from its node."""
    return decode_status(node.content)[0]


def may_lose_watch(path: str) -> bool:
    """Whether servers that lose watches may lose that of this znode: if it is no input."""
    return path.startswith(f"{BASE}/") and path != RESTART
