"""The events of a rollout in lines, as `status --events` writes them."""

from collections.abc import Sequence

from zkexec.ctl.status.rollout_events import RolloutEvent
from zkexec.ctl.status.time_phrases import moment
from zkexec.text import LONGEST_LINE, cut, printable

_NO_TIME = "--:--:--"


def event_lines(events: Sequence[RolloutEvent], now: float) -> list[str]:
    """Write one line for each event: the time, who, and what happened."""
    return [event_line(event, now) for event in events]


def event_line(event: RolloutEvent, now: float) -> str:
    """Write an event; what has no time has dashes instead."""
    at = moment(event.at, now) or _NO_TIME
    return printable(cut(f"{at}  {_text(event)}", LONGEST_LINE))


def _text(event: RolloutEvent) -> str:
    reason = f": {event.reason}" if event.reason else ""
    step = f" in step {event.step}" if event.step else ""
    member = f" {event.member}" if event.member else ""
    if event.event in _TEXTS:
        text = _TEXTS[event.event].format(
            member=event.member,
            by=event.by or "an operator",
            revision=event.revision,
            action=event.action or "change",
        )
        return f"{text}{step}{reason}"
    if event.by:
        return f"{event.by}: {event.event}{member}{reason}"
    return f"{member.strip() or 'an operator'}: {event.event}{step}{reason}"


_TEXTS = {
    "pushed": "{by}: pushed {revision}",
    "written": "{revision} was written",
    "lost": "lost turns with {revision}",
    "began": "{member}: began its {action} to {revision}",
    "succeeded": "{member}: succeeded on {revision}",
    "failed": "{member}: failed on {revision}",
}
"""What is written of an event that is not only named."""
