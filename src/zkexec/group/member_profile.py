"""A member's place in its group: what stands in its node beside what the core has to say."""

from collections.abc import Sequence

from zkexec.digest import sha256
from zkexec.frozen import frozen


class PhaseTime:
    """When the phase was entered that a member's node shows, over all connections.

    A restart that was over in a moment shows nothing but what runs from then on.
    """

    def __init__(self) -> None:
        self._shown = ("", "")
        self._entered = 0.0

    def entered(self, phase: str, running: str, now: float) -> float:
        """Since when it is this phase, with this running; `now` in seconds of the epoch."""
        if (phase, running) != self._shown:
            self._shown, self._entered = (phase, running), now
        return self._entered


@frozen()
class MemberProfile:
    """Which group, and who in it.

    `base` is the path of its znodes, below the chroot.  No two living processes share a `place`.
    `paths` are those of the mirrored znodes.  `acl` is that of the znodes that are made, None for
    an open one.  `shared` are members of this host that write to the same files, each with a file.
    """

    base: str
    member_id: str
    place: str
    width_text: str
    since: PhaseTime
    acl: Sequence[object] | None = None
    paths: tuple[str, ...] = ()
    shared: tuple[tuple[str, str], ...] = ()

    @property
    def duplicate_id(self) -> str:
        """The name of its node while another process has the member ID; no other process has it."""
        return f"{self.member_id}~{sha256(self.place.encode()).hexdigest()[:8]}"
