"""Records, member statuses and names as anything could have written them.

Most of what is drawn is nearly right: what is plainly wrong is refused before it can do harm.
`make test` tries the same examples each time; ZKEXEC_EXAMPLES=100000 tries that many new ones.
"""

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from zkexec.znode_paths import check_zk_path

MEMBERS = ("m1", "m2", "web-10")
DIGESTS = ("a" * 64, "b" * 64, "b" * 64 + ".restart1", "c")
HUGE = int("7" * 3000)

_EXAMPLES = int(os.environ.get("ZKEXEC_EXAMPLES", "0"))


def examples(count: int) -> settings:
    """Try this many, the same each time, or as many new ones as ZKEXEC_EXAMPLES requests."""
    return settings(
        derandomize=not _EXAMPLES,
        max_examples=_EXAMPLES or count,
        print_blob=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


def _is_name(name: str) -> bool:
    try:
        check_zk_path(f"/{name}")
    except ValueError:
        return False
    return "/" not in name


def _mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(*[usual] * 9, odd)


NAMES = st.one_of(
    st.sampled_from(["notes", "m1", "0", "x-0000000001", "a-0000000005", "state", "-", " "]),
    st.text(min_size=1, max_size=30).filter(_is_name),
    st.from_regex(r"[a-z]{1,3}-[0-9]{9,11}", fullmatch=True),
    st.sampled_from(["n" * 2000, "9" * 5000, "\u0669" * 10, "\u202e" * 300]),
)
"""What ZooKeeper takes for the name of a znode."""

WORDS = st.one_of(
    st.sampled_from(["", "-", "why", "x" * 5000, "界é " * 600, "\ud800\x1b[2J\n\u202e"]),
    st.text(max_size=20),
)
WHOLE = st.one_of(
    st.integers(-1, 30), st.sampled_from([2**31, 2**53, 2**63 - 1, 2**63, -(2**63), HUGE])
)
TIMES = st.one_of(
    st.integers(0, 2_000_000_000), st.floats(0, 2e9), st.sampled_from([0, 1e12, 1e300, -1, HUGE])
)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
_MEMBER = _mostly(st.sampled_from(MEMBERS), NAMES)
_DIGEST = _mostly(st.sampled_from(DIGESTS), WORDS)
_COUNT = _mostly(st.integers(0, 30), WHOLE)
_TIME = _mostly(st.integers(0, 2_000_000_000), TIMES)
_STEP = _mostly(st.sampled_from(["", "check", "health"]), WORDS)
_LIMIT = st.sampled_from(["1", "3", "50%", "20%/zone", "999999999"])
_ZONE = _mostly(st.sampled_from(["", "rack1", "rack2"]), WORDS)
ENTRIES = st.fixed_dictionaries(
    {
        "format": st.just(2),
        "token": _mostly(st.sampled_from(["t1", "t2", "a", "b"]), WORDS),
        "digest": _DIGEST,
        "zxid": _COUNT,
        "phase": _mostly(st.sampled_from(["restarting", "failed"]), WORDS),
        "since": _TIME,
        "zone": _ZONE,
        "admission": _COUNT,
    }
)
"""Objects that most often are entries of members in flight."""

QUEUED = st.fixed_dictionaries(
    {
        "format": st.just(2),
        "member": _MEMBER,
        "token": _mostly(st.sampled_from(["t1", "t2", "a", "b"]), WORDS),
        "digest": _DIGEST,
        "zone": _ZONE,
    }
)
"""Objects that most often are the contents of queue nodes."""

SUMMARIES = st.fixed_dictionaries(
    {"format": st.just(2), "member": _MEMBER, "reason": WORDS, "step": _STEP, "at": _TIME}
)
"""Objects that most often are what a version's znode contains: its last failure."""

FAILURES = st.fixed_dictionaries(
    {"format": st.just(2), "reason": WORDS, "step": _STEP, "at": _TIME, "zxid": _COUNT}
)
"""Objects that most often are the failure of a version on one member."""

TRIALS = st.one_of(
    st.sampled_from(["succeeded", "failed.m1", "failed.m2", "condemned.m1", "lost.t1", "lost.x"]),
    st.sampled_from(["failed.", "lost", "failed", "condemned.a.b", "more"]),
    NAMES.filter(lambda name: len(name) < 300),
)
"""Names of znodes below that of a version."""

_VERSION = st.fixed_dictionaries(
    {
        "zxid": _COUNT,
        "scope": _mostly(st.sampled_from(["", "scope"]), WORDS),
        "known_good": st.booleans(),
    },
    optional={"lost_zone": _ZONE, "lost_until": _COUNT},
)
_AUDIT_ENTRY = st.fixed_dictionaries(
    {
        "operation": _mostly(st.sampled_from(["pause", "retry", "restart", "forget"]), WORDS),
        "by": WORDS,
        "reason": WORDS,
        "member": _mostly(st.sampled_from(["", *MEMBERS]), WORDS),
        "at": _TIME,
        "token": WORDS,
    }
)
_MAX_UNAVAILABLE = st.fixed_dictionaries({"limit": _mostly(_LIMIT, WORDS), "by": _MEMBER})
_MAX_FAILED = st.fixed_dictionaries(
    {"limit": _mostly(st.sampled_from(["0", "2", "10%"]), WORDS), "by": _MEMBER}
)
_PAUSE = st.fixed_dictionaries({"by": WORDS, "reason": WORDS, "at": _TIME})
_HOLD = st.fixed_dictionaries(
    {
        "after": _mostly(_LIMIT, WORDS),
        "by": WORDS,
        "reason": WORDS,
        "known_good": st.lists(_DIGEST, max_size=2),
        "at": _TIME,
    }
)
_HEAD = st.fixed_dictionaries({"member": _MEMBER, "number": _COUNT, "since": _TIME})
RECORDS = st.fixed_dictionaries(
    {
        "format": st.just(2),
        "versions": st.dictionaries(_DIGEST, _VERSION, max_size=4),
        "max_unavailable": st.none() | _MAX_UNAVAILABLE,
        "max_failed": st.none() | _MAX_FAILED,
        "paused": _mostly(st.none(), _PAUSE),
        "hold": _mostly(st.none(), _HOLD),
        "zone": _ZONE,
        "head": _mostly(st.none(), _HEAD),
        "last_admitted": _COUNT,
        "admissions": _COUNT,
        "audit": st.lists(_AUDIT_ENTRY, max_size=2),
    }
)
"""Objects that most often are the decisions of a group."""

CARDS = st.fixed_dictionaries(
    {
        "format": st.just(2),
        "host": WORDS,
        "pid": _COUNT,
        "zkexec_version": WORDS,
        "lock_file_id": WORDS,
        "max_unavailable": WORDS,
        "max_failed": WORDS,
        "since": _TIME,
        "phase": _mostly(st.sampled_from(["running", "waiting", "verifying", "failed"]), WORDS),
        "running": _DIGEST,
        "wanted": _DIGEST,
        "health": _mostly(st.sampled_from(["healthy", "unhealthy", "unknown"]), WORDS),
        "reason": WORDS,
        "zxid": _COUNT,
        "running_at": _TIME,
        "wanted_at": _TIME,
        "step": _STEP,
        "inputs": st.lists(
            st.sampled_from(["/app/first", "/app/second"]) | NAMES.map("/{}".format), max_size=2
        ),
    },
    optional={"zone": _ZONE, "unavailable": st.booleans()},
)
"""Objects that most often are the statuses of members."""


def in_bytes(value: object) -> bytes:
    """An object as the bytes of a znode; numbers may have more digits than Python likes."""
    return json.dumps(value).encode()


def decisions(**changes: object) -> dict[str, object]:
    """The decisions of a group in which nothing has happened, with these changes."""
    return {
        "format": 2,
        "versions": {},
        "max_unavailable": None,
        "max_failed": None,
        "paused": None,
        "hold": None,
        "head": None,
        "last_admitted": -1,
        "admissions": 0,
        "audit": [],
        **changes,
    }


RUBBISH: dict[str, bytes] = {
    "nothing": b"",
    "no text": b"\x00\xff\xfe\x80" * 20,
    "no JSON": b"{",
    "another type": b"[]",
    "null": b"null",
    "parts missing": b'{"format":2}',
    "an earlier format": b'{"format":1}',
    "a later format": b'{"format":9}',
    "wrong types": in_bytes(
        decisions(
            versions=3,
            max_unavailable="1",
            max_failed=[],
            paused=False,
            hold="x",
            head=[],
            last_admitted="x",
            admissions=None,
            audit={},
        )
    ),
    "deep nesting": b"[" * 400_000,
    "deep objects": b'{"format":' * 60_000,
    "a megabyte": b"x" * 1_000_000,
    "a megabyte of digits": b'{"format":' + b"7" * 999_000 + b"}",
    "numbers that cannot be": in_bytes(
        decisions(
            versions={"d": {"zxid": HUGE, "scope": "", "known_good": True}}, last_admitted=HUGE
        )
    ),
    "a name that is a path": in_bytes(
        decisions(versions={"../state": {"zxid": 1, "scope": "", "known_good": True}})
    ),
}
"""What any znode may contain: garbage, wrong types, a megabyte, deep nesting."""
