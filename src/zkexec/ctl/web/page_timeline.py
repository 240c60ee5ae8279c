"""The time line of a rollout on the page of a group: what happened, the newest first."""

from collections.abc import Sequence

from zkexec.ctl.status.rollout_events import RolloutEvent
from zkexec.frozen import frozen

MOST_ENTRIES = 60
"""The time line has at most this many entries: a large group has thousands."""

_TONES = {
    "pushed": "busy",
    "written": "busy",
    "admitted": "busy",
    "began": "busy",
    "succeeded": "good",
    "failed": "bad",
    "blocked": "warn",
    "lost": "bad",
    "missing": "bad",
    "pause": "warn",
    "hold": "warn",
    "forget": "warn",
}
"""The classes of events in the style sheet; all others are `idle`."""

_TEXTS = {
    "pushed": "pushed {revision}",
    "written": "{revision} was written",
    "began": "began its {action} to {revision}",
    "succeeded": "succeeded on {revision}",
    "failed": "failed on {revision}",
    "blocked": "is blocked by its host",
    "lost": "lost turns with {revision}: {reason}",
    "missing": "is missing in its turn",
}
"""What is written of an event that is not only named."""


@frozen(kw_only=True)
class TimelineEntry:
    """One event: when, who, and what happened; `at` is 0 if the time is not known.

    `without_time` is written then: what is true now is "now".  `who` is the member or the operator,
    "" for neither; `reason` is in the words of the cause.
    """

    at: float
    tone: str
    who: str
    text: str
    reason: str
    without_time: str = "now"


def timeline_of(events: Sequence[RolloutEvent]) -> tuple[TimelineEntry, ...]:
    """Return the entries of the time line, the newest first; what has no time comes first."""
    newest = sorted(events, key=lambda event: (bool(event.at), -event.at))
    return tuple(_entry(event) for event in newest[:MOST_ENTRIES])


def _entry(event: RolloutEvent) -> TimelineEntry:
    is_operation = bool(event.by) and event.event not in _TEXTS
    about = f" {event.member}" if is_operation and event.member else ""
    text = event.event
    if text in _TEXTS:
        text = _TEXTS[text].format(
            revision=event.revision or "the new version",
            action=event.action or "change",
            reason=event.reason,
        )
    step = f" in step {event.step}" if event.step else ""
    return TimelineEntry(
        at=event.at,
        tone=_TONES.get(event.event, "idle"),
        who=event.by if is_operation or not event.member else event.member,
        text=f"{text}{about}{step}",
        # Of lost turns the reason is their number, which is in the text; they can be long ago.
        reason="" if event.event == "lost" else event.reason,
        without_time="earlier" if event.event == "lost" else "now",
    )
