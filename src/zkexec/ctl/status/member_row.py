"""One member of a group as `status` shows it, and the znodes that it is computed from.

A member is *up to date* if it has read the newest write of its inputs, runs the version that it
wants, and neither has a turn nor waits for one.  The znode of rolling restarts counts as an input.
While one of its inputs does not exist, or most members want other contents of the same inputs,
it is not.  A duplicate, whose member ID another process has, never is: it gets no turn.
"""

from zkexec.core.phases import Phase
from zkexec.core.rollout.record import EntryPhase
from zkexec.core.turn import MemberStatus
from zkexec.enumeration import Enum
from zkexec.frozen import frozen
from zkexec.group.member_codec import StatusFacts

_WITHOUT_SERVICE = (
    Phase.LOADING.value,
    Phase.DRAINING.value,
    Phase.STOPPING.value,
    Phase.EXITING.value,
    Phase.DONE.value,
)
"""The phases in which no command runs yet, or its end has begun."""

MISSING = "missing"
"""Instead of a phase: the member is in flight, and its znode is gone."""
_HEALTHY, _UNHEALTHY = "healthy", "unhealthy"
UNKNOWN = "unknown"
"""The health of a command before its first health check, or without any."""

UNREADABLE = "unreadable"
"""Instead of a phase: the znode exists, and its content is not a member status."""


@frozen()
class LastWrite:
    """The newest write of an input: its zxid, seconds of the epoch, and the size of the content.

    Of a tree it is that of any znode in it, also a removal.  `excess` is why no member can read the
    tree: it is too much.  One that is `is_partly_hidden` contains znodes that may not be read here.
    `request` is the content of the znode of restarts: the name of the restart, and a token.
    """

    zxid: int
    at: float = 0.0
    size: int = 1
    excess: str = ""
    is_partly_hidden: bool = False
    request: str = ""


@frozen()
class MemberZnode:
    """The znode of a member: its status, or why there is none.

    `created_at` is when the znode was created.  One that `is_left_over` is persistent, so it
    belongs to no living process.
    """

    status: MemberStatus | None = None
    facts: StatusFacts | None = None
    created_at: float = 0.0
    error: str = ""
    is_left_over: bool = False


class IgnoreReason(Enum):
    """Why a znode among those of the members is ignored."""

    STRANGER = "no member can have created it"
    NO_REQUEST = "it was not written by zkexecctl"
    LEFT_OVER = "it is persistent, so it belongs to no living member (restored from a dump?)"


@frozen()
class IgnoredZnode:
    """A znode below `members` or `queue` that is not a member's, or a `restart` that is invalid."""

    path: str
    reason: IgnoreReason


@frozen()
class Intruder:
    """A queue node with the name of no member; the members behind its position wait for its end."""

    queue_position: int
    name: str
    path: str


@frozen(kw_only=True)
class MemberRow:
    """One member, living or missing.

    `queue_position` counts from 1; it is None if the member does not wait.  `turn_phase` is what
    the record contains about its turn, None if it has none.  Times are seconds of the epoch.

    `zone` is "" for none.  `has_mark` is about the znode that marks it as unavailable.

    `inputs_behind` are the inputs whose newest write it has not read, or cannot read because the
    tree is too much; `absent` are those that do not exist.  `others_want` is the digest that most
    members with the same inputs want, if it differs.  `shares_with` are members that write to the
    same files on its host, each with one of the files.
    """

    name: str
    phase: str
    queue_position: int | None = None
    znode: MemberZnode = MemberZnode()
    turn_phase: EntryPhase | None = None
    since: float = 0.0
    wanted: str = ""
    reason: str = ""
    inputs_behind: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    others_want: str = ""
    shares_with: tuple[tuple[str, str], ...] = ()
    zone: str = ""
    has_mark: bool = False

    @property
    def duplicate_of(self) -> str:
        """The member ID that it was given and that another process has, or ""."""
        return self.znode.facts.duplicate_of if self.znode.facts else ""

    @property
    def status(self) -> MemberStatus:
        """The status that it publishes; an empty one if there is none."""
        return self.znode.status or MemberStatus("")

    @property
    def step(self) -> str:
        """The step of a change that it is in, or in which it failed; "" if that is not known."""
        return self.status.step

    @property
    def is_alive(self) -> bool:
        """Whether the znode of the member exists."""
        return self.phase != MISSING

    @property
    def is_serving(self) -> bool:
        """Whether its command runs and did not fail its last health check.

        A command that was just started serves once a health check has succeeded.
        """
        status = self.znode.status
        if status is None or not status.running or self.has_mark or status.unavailable:
            return False
        if status.phase == Phase.VERIFYING.value:
            return status.health == _HEALTHY
        return status.health != _UNHEALTHY and status.phase not in _WITHOUT_SERVICE

    @property
    def first_check_at(self) -> float:
        """When the first health check of its command is due, if none has come; 0 if not known."""
        delay_s = self.znode.facts.first_check_s if self.znode.facts else 0.0
        is_quiet = self.phase == Phase.RUNNING.value and self.status.health == UNKNOWN
        return self.since + delay_s if is_quiet and delay_s and self.since else 0.0

    @property
    def health_words(self) -> str:
        """The result of the last health check, or why there is none; "" without a command."""
        status, facts = self.znode.status, self.znode.facts
        if status is None or (status.health == UNKNOWN and not status.running):
            return ""
        if status.health != UNKNOWN:
            return status.health
        return "no check yet" if facts is not None and facts.first_check_s else "not checked"

    @property
    def needs_attention(self) -> bool:
        """Whether a person has to know of it: more than that it waits for its turn."""
        is_stopped = self.phase in (Phase.FAILED.value, Phase.BLOCKED.value)
        is_odd = bool(self.duplicate_of or self.inputs_behind or self.absent or self.others_want)
        return is_stopped or is_odd or self.is_in_flight or not self.is_serving

    @property
    def is_in_flight(self) -> bool:
        """Whether it has a turn, or had one when it went missing."""
        return self.turn_phase is not None

    @property
    def is_up_to_date(self) -> bool:
        """Whether it runs the newest version and waits for nothing."""
        return self.has_finished and not self.absent and not self.others_want

    @property
    def has_finished(self) -> bool:
        """Whether it has nothing to do, as far as its inputs exist and agree with those of others.

        A member with a turn, in the queue or behind its inputs has something to do.
        """
        is_left_alone = self.queue_position is None and not self.is_in_flight
        is_member = is_left_alone and not self.duplicate_of
        return is_member and not self.inputs_behind and self.runs_wanted

    @property
    def runs_wanted(self) -> bool:
        """Whether its status shows that it runs the version that it wants."""
        status = self.znode.status
        return (
            status is not None
            and status.phase == Phase.RUNNING.value
            and status.running == status.wanted
        )

    @property
    def needs_resume(self) -> bool:
        """Whether a pause keeps it from becoming up to date."""
        if self.is_up_to_date or self.duplicate_of:
            return False
        return self.turn_phase is not EntryPhase.RESTARTING
