"""What zkexecctl writes about a hold, in sentences: for a push, for `wait` and for `approve`.

The file is short because it is what `ctl/status` and `ctl/command` share about holds.
"""

from collections.abc import Sequence

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import Hold
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.time_phrases import full_time


def members_text(limit: MaxUnavailable, population: int = 0) -> str:
    """Write a number of members; of a percentage also how many it is of this population."""
    if limit.percent:
        number = f" ({limit.of(population)} of {population})" if population else ""
        return f"{limit} of the members{number}"
    return "1 member" if limit.amount == 1 else f"{limit} members"


def author_text(hold: Hold) -> str:
    """Write who has begun a hold, since when, and why."""
    reason = f": {hold.reason}" if hold.reason else ""
    return f"by {hold.by} since {full_time(hold.at)}{reason}"


def held_text(hold: Hold, population: int = 0) -> str:
    """Write after how many members it is held, and the author."""
    return f"held after {members_text(hold.after, population)} {author_text(hold)}"


def group_hold(group: GroupStatus) -> str:
    """Write the hold of a group, also if all members have the newest version; "" if none."""
    hold = group.record.hold
    if hold is None:
        return ""
    text = held_text(hold, group.record.population.members)
    if group.held is not None:
        return f"{text}; the other members get the version when an operator approves it"
    left = [one for one in group.progress if not one.is_complete]
    if all(one.digest in hold.known_good for one in left):
        free = "the wanted version was known good, so nothing holds it; " if left else ""
        return f"{free}a new version is {text}"
    return f"to be {text}"


def hold_advice(group: GroupStatus) -> list[str]:
    """Write how an operator ends a hold that keeps no member waiting now."""
    if group.record.hold is None or group.held is not None:
        return []
    command = printed_command(group.connection_words, "approve", group.name)
    return [f"to remove the hold: {command}"]


def summary_hold(group: GroupSummary) -> str:
    """Write the hold of a group for the list of all groups; "" if there is none."""
    hold = group.record.hold
    if hold is None:
        return ""
    text = held_text(hold, group.alive)
    return text if group.is_held else f"a new version is {text}"


def approval(lock: str, connection: Sequence[str]) -> str:
    """Write how an operator lets all members follow; `connection` are the options to repeat."""
    return f"to let all members follow: {printed_command(connection, 'approve', lock)}"
