"""Records of a group in short words, for the tests of the record and of what reads it."""

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import (
    AgreedMaxUnavailable,
    EntryPhase,
    InFlightEntry,
    Refusal,
    RolloutRecord,
    VersionState,
)
from zkexec.core.rollout.version import ConfigVersion

SCOPE = "scope"
FAILED = EntryPhase.FAILED


def version(word: str, scope: str = SCOPE) -> ConfigVersion:
    """Make a version from content@zxid."""
    digest, _, zxid = word.partition("@")
    return ConfigVersion(digest, int(zxid), scope)


def entry(word: str, under: str = "t", phase: EntryPhase = EntryPhase.RESTARTING) -> InFlightEntry:
    """Make an entry for content@zxid."""
    wanted = version(word)
    return InFlightEntry(under, wanted.digest, wanted.zxid, phase)


def known_good(zxid: int, *failed_by: str, lost: int = 0) -> VersionState:
    """Make the state of a known good version."""
    return VersionState(zxid, SCOPE, known_good=True, failed_by=failed_by, lost_turns=lost)


def not_good(zxid: int, *failed_by: str, lost: int = 0) -> VersionState:
    """Make the state of a version that is not known good."""
    return VersionState(zxid, SCOPE, failed_by=failed_by, lost_turns=lost)


def limit(amount: int, by: str = "m1", *, percent: bool = False) -> AgreedMaxUnavailable:
    """Make the max unavailable that a member has requested."""
    return AgreedMaxUnavailable(MaxUnavailable(amount, percent), by)


def admitted(
    record: RolloutRecord, member: str, word: str, *, of: int = 10, under: str = ""
) -> RolloutRecord:
    """Admit a member, which has to be possible."""
    wanted = version(word)
    found = record.admit(member, entry(word, under or f"{member}-turn"), wanted.scope, of, 0)
    if isinstance(found, Refusal):
        raise AssertionError(f"{member} is not admitted to {word}: {found.value}")
    return found
