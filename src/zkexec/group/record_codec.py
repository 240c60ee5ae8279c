"""The group's record as the bytes of its znode, and back.

What is no valid record raises a ValueError whose one line says what is wrong, see `fields`.
Names of members become parts of paths, so only what can be one is taken for a name.  What is
missing is filled in only where its meaning is clear: an entry that has failed tells so itself.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from zkexec.core.max_unavailable import GroupWidth, Width
from zkexec.core.rollout.audit import MOST_DEEDS, Deed
from zkexec.core.rollout.record import AS_COMMITTED, Entry, EntryPhase, Pause, Rollout, Verdict
from zkexec.group.json_fields import FORMAT, Fields, clean, to_json
from zkexec.text import cut
from zkexec.zookeeper.connect_string import check_zk_path

_LONGEST_NAME = 255
_MOST_LOSSES = 1000
"""More losses than that are not counted: two condemn already."""


def encode(record: Rollout, now: float) -> bytes:
    """The bytes of the record; `now` (seconds of the epoch) becomes the time of what is new."""
    return to_json(
        {
            "format": FORMAT,
            "inflight": {name: _from_entry(e, now) for name, e in record.inflight.items()},
            "verdicts": {digest: _from_verdict(v, now) for digest, v in record.verdicts.items()},
            "width": _from_width(record.width),
            "paused": _from_pause(record.paused, now),
            "served": record.served,
            "deeds": [_from_deed(deed, now) for deed in record.deeds],
        }
    )


def decode(content: bytes) -> Rollout:
    """The record; no bytes at all are the empty one."""
    if not content:
        return Rollout()
    fields = Fields.of_bytes(content, "the record")
    inflight = {_member(name): _entry(e) for name, e in fields.each("inflight")}
    verdicts = {_filled(digest): _verdict(v) for digest, v in fields.each("verdicts")}
    return Rollout(
        inflight=inflight,
        verdicts=dict(_with_the_untold(inflight, verdicts)),
        width=fields.optional("width", _width),
        paused=fields.optional("paused", _pause),
        served=fields.integer("served", least=-1),
        deeds=tuple(_deed(item) for item in fields.items("deeds")[-MOST_DEEDS:]),
    )


def _with_the_untold(
    inflight: Mapping[str, Entry], verdicts: Mapping[str, Verdict]
) -> Iterable[tuple[str, Verdict]]:
    """The verdicts, and for failed entries to which there is none what these themselves tell."""
    yield from verdicts.items()
    untold: dict[str, list[str]] = {}
    for name, entry in inflight.items():
        if entry.phase is EntryPhase.FAILED and entry.digest not in verdicts:
            untold.setdefault(entry.digest, []).append(name)
    for digest, names in untold.items():
        newest = max((inflight[name] for name in names), key=lambda entry: entry.revision)
        yield (
            digest,
            Verdict(
                newest.revision,
                "",
                failed_by=tuple(names),
                reason="the record does not say why",
                at=newest.since,
            ),
        )


def _from_entry(entry: Entry, now: float) -> dict[str, Any]:
    return {
        "token": entry.token,
        "digest": entry.digest,
        "revision": entry.revision,
        "phase": entry.phase.value,
        "since": _time(entry.since, now),
    }


def _entry(fields: Fields) -> Entry:
    return Entry(
        token=_filled(fields.text("token")),
        digest=_filled(fields.text("digest")),
        revision=fields.integer("revision"),
        phase=fields.choice("phase", EntryPhase),
        since=fields.time("since"),
    )


def _from_verdict(verdict: Verdict, now: float) -> dict[str, Any]:
    return {
        "revision": verdict.revision,
        "scope": verdict.scope,
        "proven": verdict.proven,
        "failed_by": list(verdict.failed_by),
        "lost": verdict.lost,
        "reason": clean(cut(verdict.reason)),
        "at": _time(verdict.at, now),
    }


def _verdict(fields: Fields) -> Verdict:
    return Verdict(
        revision=fields.integer("revision"),
        scope=fields.text("scope"),
        proven=fields.truth("proven"),
        failed_by=tuple(_member(name) for name in fields.texts("failed_by")),
        lost=min(fields.integer("lost"), _MOST_LOSSES),
        reason=fields.words("reason"),
        at=fields.time("at"),
    )


def _from_width(width: GroupWidth | None) -> dict[str, Any] | None:
    return None if width is None else {"width": str(width.width), "by": width.by}


def _width(fields: Fields) -> GroupWidth:
    text = fields.text("width")
    found = re.fullmatch(r"([1-9][0-9]{0,8})(%?)", text)
    if found is None or (found[2] and int(found[1]) > 100):
        raise ValueError("expected a number or a percentage as the width")
    return GroupWidth(Width(int(found[1]), bool(found[2])), _member(fields.text("by")))


def _from_pause(pause: Pause | None, now: float) -> dict[str, Any] | None:
    if pause is None:
        return None
    by, reason = clean(cut(pause.by)), clean(cut(pause.reason))
    return {"by": by, "reason": reason, "at": _time(pause.at, now)}


def _pause(fields: Fields) -> Pause:
    return Pause(fields.words("by"), fields.words("reason"), fields.time("at"))


def _member(name: str) -> str:
    try:
        check_zk_path(f"/{name}")
    except ValueError:
        name = ""
    if not name or "/" in name or len(name) > _LONGEST_NAME:
        raise ValueError("expected a name that a member may have")
    return name


def _filled(text: str) -> str:
    if not text:
        raise ValueError("expected a token or a digest, got an empty text")
    return text


def _from_deed(deed: Deed, now: float) -> dict[str, Any]:
    return {
        "verb": deed.verb,
        "by": clean(cut(deed.by)),
        "reason": clean(cut(deed.reason)),
        "subject": deed.subject,
        "at": _time(deed.at, now),
        "token": deed.token,
    }


def _deed(fields: Fields) -> Deed:
    return Deed(
        verb=fields.words("verb"),
        by=fields.words("by"),
        reason=fields.words("reason"),
        subject=fields.words("subject"),
        at=fields.time("at"),
        token=fields.text("token"),
    )


def _time(time: float, now: float) -> float:
    return round(now if time == AS_COMMITTED else time, 3)
