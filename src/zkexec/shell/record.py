"""The group's record and the members' cards as the bytes of their znodes, and back.

The rules of this file:

- What is read was written by others: another version of zkexec, an operator, a mistake.
  Whatever is no valid content raises a ValueError whose one line says what is wrong.
- Keys that are not known are ignored; all that are known are demanded.
- Names of members become parts of paths, so only what can be one is taken for a name.
- No error repeats what stands in a znode.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from zkexec.core.actions import Card
from zkexec.core.rollout import AS_COMMITTED, Entry, EntryPhase, Pause, Rollout, Verdict
from zkexec.core.width import GroupWidth, Width

FORMAT = 1
_LATEST = 1e12
"""Seconds of the epoch, far beyond what any clock shows; infinity is above it."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card tells beside the member's own words: who wrote it, where and when.

    `place` is a text that two living processes never share; `width` is that of
    `--max-unavailable` as a text; `since` is the time of writing in seconds of the epoch.
    """

    host: str
    pid: int
    version: str
    place: str
    width: str
    since: float


def encode(record: Rollout, now: float) -> bytes:
    """The bytes of the record; `now` (seconds of the epoch) becomes the time of what is new."""
    return _json(
        {
            "format": FORMAT,
            "inflight": {name: _from_entry(e, now) for name, e in record.inflight.items()},
            "verdicts": {digest: _from_verdict(v, now) for digest, v in record.verdicts.items()},
            "width": _from_width(record.width),
            "paused": _from_pause(record.paused, now),
            "served": record.served,
        }
    )


def decode(content: bytes) -> Rollout:
    """The record; no bytes at all are the empty one."""
    if not content:
        return Rollout()
    fields = _Fields.of_bytes(content, "the record")
    return Rollout(
        inflight={_member(name): _entry(e) for name, e in fields.each("inflight")},
        verdicts={_filled(digest): _verdict(v) for digest, v in fields.each("verdicts")},
        width=fields.optional("width", _width),
        paused=fields.optional("paused", _pause),
        served=fields.integer("served", least=-1),
    )


def encode_card(card: Card, facts: Facts) -> bytes:
    """The bytes of a member's node."""
    return _json(
        {
            "format": FORMAT,
            "host": _clean(facts.host),
            "pid": facts.pid,
            "version": facts.version,
            "place": facts.place,
            "width": facts.width,
            "since": _time(facts.since),
            "phase": card.phase,
            "running": card.running,
            "wanted": card.wanted,
            "health": card.health,
            "reason": _clean(card.reason),
        }
    )


def decode_card(content: bytes) -> tuple[Card, Facts]:
    """What a member's node tells."""
    fields = _Fields.of_bytes(content, "the card")
    card = Card(
        phase=fields.text("phase"),
        running=fields.text("running"),
        wanted=fields.text("wanted"),
        health=fields.text("health"),
        reason=fields.text("reason"),
    )
    facts = Facts(
        host=fields.text("host"),
        pid=fields.integer("pid", least=0),
        version=fields.text("version"),
        place=fields.text("place"),
        width=fields.text("width"),
        since=fields.time("since"),
    )
    return card, facts


def _from_entry(entry: Entry, now: float) -> dict[str, Any]:
    return {
        "token": entry.token,
        "digest": entry.digest,
        "revision": entry.revision,
        "phase": entry.phase.value,
        "since": _time(entry.since, now),
    }


def _entry(fields: "_Fields") -> Entry:
    return Entry(
        token=_filled(fields.text("token")),
        digest=_filled(fields.text("digest")),
        revision=fields.integer("revision"),
        phase=fields.phase("phase"),
        since=fields.time("since"),
    )


def _from_verdict(verdict: Verdict, now: float) -> dict[str, Any]:
    return {
        "revision": verdict.revision,
        "scope": verdict.scope,
        "proven": verdict.proven,
        "failed_by": list(verdict.failed_by),
        "lost": verdict.lost,
        "reason": _clean(verdict.reason),
        "at": _time(verdict.at, now),
    }


def _verdict(fields: "_Fields") -> Verdict:
    return Verdict(
        revision=fields.integer("revision"),
        scope=fields.text("scope"),
        proven=fields.truth("proven"),
        failed_by=tuple(_member(name) for name in fields.texts("failed_by")),
        lost=fields.integer("lost"),
        reason=fields.text("reason"),
        at=fields.time("at"),
    )


def _from_width(width: GroupWidth | None) -> dict[str, Any] | None:
    return None if width is None else {"width": str(width.width), "by": width.by}


def _width(fields: "_Fields") -> GroupWidth:
    text = fields.text("width")
    found = re.fullmatch(r"([1-9][0-9]{0,8})(%?)", text)
    if found is None or (found[2] and int(found[1]) > 100):
        raise ValueError("expected a number or a percentage as the width")
    return GroupWidth(Width(int(found[1]), bool(found[2])), _member(fields.text("by")))


def _from_pause(pause: Pause | None, now: float) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {"by": _clean(pause.by), "reason": _clean(pause.reason), "at": _time(pause.at, now)}


def _pause(fields: "_Fields") -> Pause:
    return Pause(fields.text("by"), fields.text("reason"), fields.time("at"))


class _Fields:
    """One JSON object whose values are taken by key and type; ValueErrors name the way to it."""

    def __init__(self, fields: Mapping[str, Any], name: str) -> None:
        self._fields = fields
        self._name = name

    @classmethod
    def of_bytes(cls, content: bytes, name: str) -> "_Fields":
        """The object that these bytes are, if they are one of our format."""
        try:
            found = json.loads(content.decode(), parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise ValueError(f"{name} is no valid JSON") from None
        fields = cls._of(found, name)
        version = fields.integer("format")
        if version > FORMAT:
            raise ValueError(f"{name} was written by a newer zkexec (format {version})")
        if version != FORMAT:
            raise ValueError(f"{name} has an unknown format ({version})")
        return fields

    @classmethod
    def _of(cls, found: object, name: str) -> "_Fields":
        if not isinstance(found, dict):
            raise ValueError(f"expected a JSON object as {name}")
        return cls(found, name)

    def _take(self, key: str, kind: type[_T]) -> _T:
        value = self._fields.get(key)
        # Python takes true for a 1, JSON does not.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"expected a JSON {_JSON_NAMES[kind]} as {key!r} of {self._name}")
        return value

    def text(self, key: str) -> str:
        return self._take(key, str)

    def texts(self, key: str) -> list[str]:
        found = self._take(key, list)
        if not all(isinstance(text, str) for text in found):
            raise ValueError(f"expected JSON strings in {key!r} of {self._name}")
        return found

    def truth(self, key: str) -> bool:
        return self._take(key, bool)

    def integer(self, key: str, least: int = 0) -> int:
        number = self._take(key, int)
        if number < least:
            raise ValueError(f"expected at least {least} as {key!r} of {self._name}")
        return number

    def time(self, key: str) -> float:
        is_whole = isinstance(self._fields.get(key), int)
        time = self._take(key, int if is_whole else float)
        if not 0 <= time <= _LATEST:
            raise ValueError(f"expected seconds of the epoch as {key!r} of {self._name}")
        return float(time)

    def phase(self, key: str) -> EntryPhase:
        try:
            return EntryPhase(self.text(key))
        except ValueError:
            raise ValueError(f"expected a known phase as {key!r} of {self._name}") from None

    def each(self, key: str) -> list[tuple[str, "_Fields"]]:
        """The objects that stand in the object under this key, with their names."""
        found = self._take(key, dict)
        return [
            (name, self._of(value, f"{key!r} of {self._name}")) for name, value in found.items()
        ]

    def optional(self, key: str, build: Callable[["_Fields"], _T]) -> _T | None:
        """What is built of the object under this key, None where there is null."""
        found = self._fields.get(key, "")
        return None if found is None else build(self._of(found, f"{key!r} of {self._name}"))


def _member(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name or name != _clean(name):
        raise ValueError("expected a name that a member may have")
    return name


def _filled(text: str) -> str:
    if not text:
        raise ValueError("expected a token or a digest, got an empty text")
    return text


def _clean(text: str) -> str:
    """The text without halves of characters, which no terminal could show."""
    return text.encode(errors="backslashreplace").decode()


def _time(time: float, now: float = AS_COMMITTED) -> float:
    return round(now if time == AS_COMMITTED else time, 3)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_JSON_NAMES: Mapping[type, str] = {
    str: "string",
    list: "array",
    dict: "object",
    bool: "boolean",
    int: "number",
    float: "number",
}
