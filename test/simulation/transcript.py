"""Events and actions as text, for transcripts that people read."""

from collections.abc import Mapping

from zkexec.core.actions import Action, Note
from zkexec.core.events import Event
from zkexec.core.snapshot import UNLIMITED, Snapshot, Tree, Znode
from zkexec.core.step import StepOutcome
from zkexec.enumeration import Enum
from zkexec.frozen import fields


def describe(step: Event | Action) -> str:
    """One line: the name, and each field with its value."""
    if isinstance(step, Note):
        return " ".join(["Note", step.topic, *_pairs(step.fields)])
    names = list(fields(step))
    values = {name: getattr(step, name) for name in names}
    if values.get("zxid") in (0, UNLIMITED):
        del values["zxid"]
    for name in ("step", "snapshot", "event", "trees", "variables", "was_healthy", "last_line"):
        if name in values and not values[name]:
            del values[name]
    return " ".join([type(step).__name__, *_pairs(values)])


def seconds(time: float) -> str:
    """A time with no more digits than it needs."""
    return f"{time:.3f}".rstrip("0").rstrip(".")


def _pairs(values: Mapping[str, object]) -> list[str]:
    return [f"{name}={_plain(value)}" for name, value in values.items()]


def _plain(value: object) -> str:
    match value:
        case Snapshot():
            unrendered = f" unrendered ({value.unrendered})" if value.unrendered else ""
            return _plain({**value.files, **_named(value.variables)}) + unrendered
        case Tree():
            return value.problem.value if value.problem else f"{_plain(value.znodes)}@{value.zxid}"
        case Znode():
            shown = value.problem.value if value.problem else _plain(value.content)
            return f"{shown}@{value.mzxid}"
        case Mapping():
            return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
        case StepOutcome():
            host = " on this host" if value.is_of_host else ""
            return "passed" if value.passed else f"failed{host} ({value.reason})"
        case bytes():
            return value.decode("utf-8", "backslashreplace") or "(empty)"
        case Enum():
            return str(value.value)
        case float():
            return seconds(value)
    return str(value)


def _named(variables: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"${name}": value for name, value in variables.items()}
