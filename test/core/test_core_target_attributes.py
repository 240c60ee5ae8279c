"""Which mode and owner a target gets of several rules."""

import pytest

from zkexec.core.target_attributes import KEPT_ID, AttributeRule, TargetAttributes

RULES = TargetAttributes(
    (
        AttributeRule("/etc/app/", mode=0o600),
        AttributeRule("", mode=0o644),
        AttributeRule("/etc/app/bin/", owner=(0, 0)),
        AttributeRule("/etc/app/bin/", mode=0o755),
        AttributeRule("/etc/app/bin/", mode=0o700),
        AttributeRule("/etc/app/bin/x", owner=(5, KEPT_ID)),
    )
)


@pytest.mark.parametrize(
    ("path", "mode", "owner"),
    [
        ("/f", 0o644, None),
        ("/etc/app/a", 0o600, None),
        ("/etc/app/", 0o600, None),
        ("/etc/app", 0o644, None),
        ("/etc/application", 0o644, None),
        ("/etc/app/bin/a", 0o700, (0, 0)),
        ("/etc/app/bin/x", 0o700, (5, KEPT_ID)),
        ("/etc/app/bin/x/y", 0o700, (5, KEPT_ID)),
        ("/etc/app/bin/x/", 0o700, (5, KEPT_ID)),
        ("/etc/app/bin/xy", 0o700, (0, 0)),
    ],
)
def test_the_longest_path_counts(path: str, mode: int, owner: tuple[int, int] | None) -> None:
    """Mode and owner are chosen each by itself: the longest path counts, of equal ones the last."""
    assert (RULES.mode_of(path), RULES.owner_of(path)) == (mode, owner)


def test_without_rules_nothing_is_set() -> None:
    """A target that no rule covers has neither a mode nor an owner of its own."""
    assert TargetAttributes().mode_of("/f") is None
    assert TargetAttributes((AttributeRule("/g", mode=0o600),)).mode_of("/f") is None
    assert TargetAttributes((AttributeRule("/g", owner=(0, 0)),)).owner_of("/f") is None
