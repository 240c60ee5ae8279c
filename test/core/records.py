"""Records of a group in short words, for the tests of the record and of what reads it."""

from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxFailed, AgreedMaxUnavailable, Population
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, Refusal, RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis, VersionBasis
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import VersionState

SCOPE = "scope"
FAILED = EntryPhase.FAILED


def version(word: str, scope: str = SCOPE) -> ConfigVersion:
    """Make a version from content@zxid."""
    digest, _, zxid = word.partition("@")
    return ConfigVersion(digest, int(zxid), scope)


def entry(
    word: str,
    under: str = "t",
    phase: EntryPhase = EntryPhase.RESTARTING,
    *,
    zone: str = "",
    admission: int = 0,
) -> InFlightEntry:
    """Make an entry for content@zxid."""
    wanted = version(word)
    return InFlightEntry(under, wanted.digest, wanted.zxid, phase, zone=zone, admission=admission)


def known_good(
    zxid: int, *failed_by: str, lost: int = 0, succeeded: int = 0, scope: str = SCOPE
) -> VersionState:
    """Make the state of a known good version."""
    return VersionState(
        zxid, scope, known_good=True, failed_by=failed_by, lost_turns=lost, succeeded=succeeded
    )


def not_good(zxid: int, *failed_by: str, lost: int = 0, lost_until: int = -1) -> VersionState:
    """Make the state of a version that is not known good."""
    return VersionState(zxid, SCOPE, failed_by=failed_by, lost_turns=lost, lost_until=lost_until)


def limit(
    amount: int, by: str = "m1", *, percent: bool = False, per_zone: bool = False
) -> AgreedMaxUnavailable:
    """Make the max unavailable that a member has requested."""
    return AgreedMaxUnavailable(MaxUnavailable(amount, percent, per_zone), by)


def failures(amount: int, by: str = "m1", *, percent: bool = False) -> AgreedMaxFailed:
    """Make the max failed that a member has requested."""
    return AgreedMaxFailed(MaxFailed(amount, percent), by)


def population(members: int, **zones: int) -> Population:
    """Count the living members, of the group and of zones."""
    return Population(members, zones)


def basis_of_record(record: RolloutRecord, state: int = 4) -> RecordBasis:
    """Return the znodes of a record that exists, each with the znode version of the decisions."""
    return RecordBasis(
        state,
        dict.fromkeys(record.in_flight, state),
        {digest: VersionBasis(state) for digest in record.versions},
    )


def admitted(
    record: RolloutRecord, member: str, word: str, *, under: str = "", zone: str = ""
) -> RolloutRecord:
    """Admit a member, which has to be possible; its queue node has the number 0."""
    wanted = version(word)
    requested = entry(word, under or f"{member}-turn", zone=zone)
    found = record.admit(member, requested, wanted.scope, 0)
    if isinstance(found, Refusal):
        raise AssertionError(f"{member} is not admitted to {word}: {found.value}")
    return found
