"""Read `--mode` and `--owner`: which mode, user and group which targets get."""

from __future__ import annotations

from zkexec.cli import converters
from zkexec.core.target_attributes import KEPT_ID, AttributeRule, TargetAttributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from zkexec.cli.option_values import OptionReader

_MOST_ID = 2**32 - 2
_HIGHEST_MODE = 0o777
_MODE_BITS = 0o7777


def read_rules(reading: OptionReader, check_name: Callable[[str], None]) -> TargetAttributes:
    """Read both options; `check_name` raises a ValueError if a path names no target."""

    def rule_of_mode(text: str) -> AttributeRule:
        path, digits = _split(text, "OCTAL")
        mode = _mode(digits)
        check_name(path)
        return AttributeRule(path, mode=mode)

    def rule_of_owner(text: str) -> AttributeRule:
        path, names = _split(text, "USER[:GROUP]")
        owner = _owner(names)
        check_name(path)
        return AttributeRule(path, owner=owner)

    modes = reading.converted("mode", rule_of_mode)
    return TargetAttributes((*modes, *reading.converted("owner", rule_of_owner)))


def _split(text: str, form: str) -> tuple[str, str]:
    """Split [PATH=]VALUE at the last `=`; the path becomes absolute, and keeps a slash."""
    path, equals, value = text.rpartition("=")
    if equals and not path:
        raise ValueError(f"has an empty PATH: write {form}, or PATH={form}")
    return converters.path_of_rule(path) if path else "", value


def _mode(digits: str) -> int:
    if not digits or not set(digits) <= set("01234567") or int(digits, 8) > _MODE_BITS:
        raise ValueError("has no octal mode: write [PATH=]OCTAL, such as 0640")
    mode = int(digits, 8)
    if mode > _HIGHEST_MODE:
        raise ValueError("has a set-id or sticky bit, which no target may have: write up to 0777")
    return mode


def _owner(names: str) -> tuple[int, int]:
    user, colon, group = names.partition(":")
    if not user or (colon and not group):
        raise ValueError("has no owner: write [PATH=]USER[:GROUP], by names or numbers")
    return _id_of(user, "user", _user_id), _id_of(group, "group", _group_id) if group else KEPT_ID


def _id_of(name: str, kind: str, find: Callable[[str], int]) -> int:
    if name.isascii() and name.isdigit() and int(name) <= _MOST_ID:
        return int(name)
    try:
        return find(name)
    except (KeyError, ValueError):
        raise ValueError(
            f"has an unknown {kind}, {converters.shown(name)}: write one of this host, or a number"
        ) from None


def _user_id(name: str) -> int:
    import pwd  # noqa: PLC0415 - a number does without it

    return pwd.getpwnam(name).pw_uid


def _group_id(name: str) -> int:
    import grp  # noqa: PLC0415 - a number does without it

    return grp.getgrnam(name).gr_gid
