"""Records of a group in short words, for the tests of the record and of who reads it."""

from zkexec.core.max_unavailable import GroupWidth, Width
from zkexec.core.rollout.record import Entry, EntryPhase, Refusal, Rollout, Verdict
from zkexec.core.rollout.version import Target

SCOPE = "scope"
FAILED = EntryPhase.FAILED


def target(word: str, scope: str = SCOPE) -> Target:
    """Make a target from content@revision."""
    digest, _, revision = word.partition("@")
    return Target(digest, int(revision), scope)


def entry(word: str, under: str = "t", phase: EntryPhase = EntryPhase.RESTARTING) -> Entry:
    """Make an entry for content@revision."""
    wanted = target(word)
    return Entry(under, wanted.digest, wanted.revision, phase)


def proven(revision: int, *failed_by: str, lost: int = 0) -> Verdict:
    """Make a verdict of a content that some member was healthy on."""
    return Verdict(revision, SCOPE, proven=True, failed_by=failed_by, lost=lost)


def unproven(revision: int, *failed_by: str, lost: int = 0) -> Verdict:
    """Make a verdict of a content that nobody was healthy on yet."""
    return Verdict(revision, SCOPE, failed_by=failed_by, lost=lost)


def width(amount: int, by: str = "m1", *, percent: bool = False) -> GroupWidth:
    """Make the width that a member has asked for."""
    return GroupWidth(Width(amount, percent), by)


def admitted(record: Rollout, member: str, word: str, *, of: int = 10, under: str = "") -> Rollout:
    """Admit a member, which has to be possible."""
    wanted = target(word)
    found = record.admit(member, entry(word, under or f"{member}-turn"), wanted.scope, of, 0)
    if isinstance(found, Refusal):
        raise AssertionError(f"{member} is not admitted to {word}: {found.value}")
    return found
