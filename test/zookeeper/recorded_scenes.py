"""What is recorded of a server: scenes, each of one connection, with requests step by step.

`tools/record_frames.py` plays them against a server and stores the frames; the tests play them
again without a server.  A scene is a generator that yields batches of requests and receives
their outcomes; all of its paths are constant, so that its frames are always the same.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from zkexec.zookeeper.session_requests import AnyRequest, Authenticate
from zkexec.zookeeper.values import ADMIN, ALL, OPEN_ACL, READ, Acl

Play = Generator[Sequence[AnyRequest], Sequence[Any], None]

# With a character that Java sends as two surrogates of three bytes each.
_FOREIGN_ACL = (Acl(ALL, "world", "anyone"), Acl(READ, "digest", "zo\N{OWL}:x"))
_READ_ONLY = (Acl(READ | ADMIN, "world", "anyone"),)


@dataclass(frozen=True)
class RecordedScene:
    """One connection: the identities it begins with, what it does, and whether it is closed."""

    play: Callable[[], Play]
    identities: tuple[Authenticate, ...] = ()
    is_closed: bool = False
    since: tuple[int, ...] = field(default=(3, 4))
    """The first version of the servers that do not refuse the requests."""


def _writes() -> Play:
    yield [
        Create("/w", b"", OPEN_ACL),
        Create("/w", b"", OPEN_ACL),
        Create("/w/a/b", b"", OPEN_ACL),
    ]
    yield [
        Create("/w/s-", b"1", OPEN_ACL, sequential=True),
        Create("/w/e", b"2", OPEN_ACL, ephemeral=True),
        Create("/w/es-", b"3", OPEN_ACL, ephemeral=True, sequential=True),
        Create("/w/e/child", b"", OPEN_ACL),
        Create("/w/acl", b"", (Acl(ALL, "nonsense", "x"),)),
        Create("/w/\N{SNOWMAN}", b"\0\xff" * 500, OPEN_ACL),
    ]
    yield [
        SetContent("/w/e", b"new"),
        SetContent("/w/e", b"old", 0),
        SetContent("/none", b""),
        Delete("/w"),
        Delete("/none"),
        Delete("/w/e", 7),
        Delete("/w/e"),
    ]


def _reads() -> Play:
    yield [Create("/r", b"content", OPEN_ACL), Create("/r/empty", b"", OPEN_ACL)]
    yield [Get("/r"), Get("/r/empty"), Get("/none"), Exists("/r"), Exists("/none")]
    yield [Children("/r"), Children("/r/empty"), Children("/none"), Sync("/r")]


def _acls() -> Play:
    yield [Create("/a", b"", OPEN_ACL), GetAcl("/a"), GetAcl("/none")]
    yield [SetAcl("/a", _FOREIGN_ACL), GetAcl("/a"), SetAcl("/a", OPEN_ACL, 0)]
    yield [SetAcl("/a", _READ_ONLY), SetContent("/a", b"x"), Create("/a/b", b"", OPEN_ACL)]


def _transactions() -> Play:
    yield [
        Transaction(
            [Create("/t", b"1", OPEN_ACL), Create("/t/s-", b"", OPEN_ACL, sequential=True)]
        ),
        Transaction([Check("/t", 0), SetContent("/t", b"2"), Delete("/t/s-0000000000")]),
        Transaction([SetContent("/t", b"3"), Check("/t", 0), Create("/t/x", b"", OPEN_ACL)]),
        Transaction([Delete("/none"), SetContent("/t", b"3")]),
        Transaction([]),
    ]


def _watches() -> Play:
    yield [Create("/n", b"", OPEN_ACL)]
    yield [Get("/n", "g"), Exists("/n", "e"), Children("/n", "c"), Exists("/n/x", "x")]
    yield [Create("/n/x", b"", OPEN_ACL), SetContent("/n", b"1"), Get("/none", "none")]
    yield [Get("/n/x", "g"), Children("/n/x", "c"), Exists("/n", "e")]
    outcomes = yield [Delete("/n/x"), Get("/n")]
    zxid = outcomes[1][1].mzxid
    yield [
        SetWatches(zxid, ["/n"], ["/n/x"], ["/n"], "again"),
        SetWatches(0, ["/n"], ["/n"], ["/n"], "old"),
        Create("/n/x", b"", OPEN_ACL),
    ]


def _multi_read() -> Play:
    yield [Create("/m", b"content", OPEN_ACL)]
    yield [MultiRead(["/m", "/none", "/m"]), Sync("/m")]


def _remove_watches() -> Play:
    yield [Create("/v", b"", OPEN_ACL), Get("/v", "g"), Children("/v", "c")]
    yield [RemoveWatches("/v"), RemoveWatches("/v"), SetContent("/v", b"")]


def _ephemerals() -> Play:
    yield [Create("/own-1", b"", OPEN_ACL, ephemeral=True)]
    yield [GetEphemerals(), GetEphemerals("/none")]


def _nothing() -> Play:
    yield []


def _identity() -> Play:
    yield [Create("/i", b"", (Acl(ALL, "auth", ""),)), GetAcl("/i")]


_DIGEST = Authenticate("digest", b"user:password")

SCENES = {
    "writes": RecordedScene(_writes, is_closed=True),
    "reads": RecordedScene(_reads),
    "acls": RecordedScene(_acls),
    "transactions": RecordedScene(_transactions),
    "watches": RecordedScene(_watches),
    "multi-read": RecordedScene(_multi_read, since=(3, 6)),
    "remove watches": RecordedScene(_remove_watches, since=(3, 5)),
    "ephemerals": RecordedScene(_ephemerals, since=(3, 6)),
    "identity": RecordedScene(_identity, (_DIGEST, Authenticate("digest", b"other:secret"))),
    "refused identity": RecordedScene(_nothing, (_DIGEST, Authenticate("nonsense", b"x"))),
}
