"""SHA-256 from the interpreter's own code.

`hashlib` would load OpenSSL for it, which takes as much memory as half of zkexec, and time at
each start.  The configuration of a service is small, so that the slower code is no loss: 150 MB
a second where OpenSSL has 1,300.  The module is private to Python and has changed its name once,
so `hashlib` has to be what is left; `random` of the standard library does the same.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in cli.py
if TYPE_CHECKING:
    from collections.abc import Iterable
    from hashlib import sha256
else:
    try:
        from _sha256 import sha256  # Python 3.11
    except ImportError:  # pragma: no cover -- what there is depends on the version of Python
        try:
            from _sha2 import sha256  # from 3.12 on
        except ImportError:
            from hashlib import sha256

__all__ = ["digest_of_parts", "sha256"]


def digest_of_parts(parts: Iterable[tuple[bytes, ...]]) -> str:
    """Return the digest of a set of parts, whatever their order; each has one or more pieces."""
    digest = sha256()
    for part in sorted(parts):
        for piece in part:
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
    return digest.hexdigest()
