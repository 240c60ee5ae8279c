"""The modes and owners that `--mode` and `--owner` give to targets; nothing is set here."""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT_ID = -1
"""The number of a user or group that stays what it is."""


@frozen()
class AttributeRule:
    """One `--mode` or `--owner`: what a target gets, or all targets if `path` is "".

    `path` is absolute, and means everything below as well; if it ends with a slash, only that.  An
    owner is a user and a group by their numbers, each of them KEPT_ID if it stays what it is.
    """

    path: str
    mode: int | None = None
    owner: tuple[int, int] | None = None

    def covers(self, target: str) -> bool:
        """Whether this target is meant."""
        below = f"{self.path.rstrip('/')}/"
        return not self.path or target == self.path or target.startswith(below)


@frozen()
class TargetAttributes:
    """All `--mode` and `--owner`.  The longest path that matches counts; of two equal, the last."""

    rules: tuple[AttributeRule, ...] = ()

    def mode_of(self, path: str) -> int | None:
        """Return the mode of a target, None if none is given."""
        rule = _longest(rule for rule in self.rules if rule.mode is not None and rule.covers(path))
        return rule.mode if rule else None

    def owner_of(self, path: str) -> tuple[int, int] | None:
        """Return the user and group of a target, None if none are given."""
        rule = _longest(rule for rule in self.rules if rule.owner and rule.covers(path))
        return rule.owner if rule else None


def _longest(rules: Iterable[AttributeRule]) -> AttributeRule | None:
    longest = None
    for rule in rules:
        if longest is None or len(rule.path) >= len(longest.path):
            longest = rule
    return longest
