"""Who types, for the record, where `--by` does not say it."""

import os
import pwd
from collections.abc import Mapping


def author(environment: Mapping[str, str]) -> str:
    """Name the user and the host, and in front of a borrowed user who has borrowed it."""
    user, host = _user(), os.uname().nodename
    borrower = environment.get("SUDO_USER", "")
    if borrower and borrower != user and borrower.isprintable() and len(borrower) < 100:
        user = f"{borrower} ({user})"
    return f"{user}@{host}"


def _user() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        # In a container a number may be all that there is.
        return str(uid)
