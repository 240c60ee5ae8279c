"""What ZooKeeper keeps beside a znode's content: its statistics, and who may use it.

These values are the same for every client library, so nothing outside this package knows one.
"""

from zkexec.frozen import frozen

READ, WRITE, CREATE, DELETE, ADMIN = 1, 2, 4, 8, 16
"""The permissions of an ACL entry, as ZooKeeper numbers them."""

ALL = READ | WRITE | CREATE | DELETE | ADMIN


@frozen()
class Stat:
    """The statistics of a znode; the names are ZooKeeper's own.

    `ctime` and `mtime` are milliseconds of the epoch.  `ephemeral_owner` is the session that an
    ephemeral znode belongs to, 0 if the znode lasts, or a mark, see `is_ephemeral`.
    """

    czxid: int = 0
    mzxid: int = 0
    ctime: int = 0
    mtime: int = 0
    version: int = 0
    cversion: int = 0
    aversion: int = 0
    ephemeral_owner: int = 0
    data_length: int = 0
    num_children: int = 0
    pzxid: int = 0

    @property
    def is_ephemeral(self) -> bool:
        """Whether the znode goes with a session.

        Those of containers and of znodes with a time to live have a mark in place of the session:
        ZooKeeper's `EphemeralType` has both.
        """
        owner = self.ephemeral_owner % _ALL_NUMBERS
        return owner not in (0, _CONTAINER) and owner >> _TTL_BITS != _TTL


_ALL_NUMBERS = 1 << 64
_CONTAINER = 1 << 63
_TTL_BITS, _TTL = 40, 0xFF0000
"""The upper bytes are 0xff and the kind, 0; a session of the server 255 has its time there."""


@frozen()
class Acl:
    """One entry of an access control list: what an identity may do."""

    permissions: int
    scheme: str
    identity: str


OPEN_ACL = (Acl(ALL, "world", "anyone"),)
"""Every client may do everything."""
