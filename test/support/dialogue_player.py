"""Dialogues played without a server: the requests that are expected, and the outcomes they get."""

from collections.abc import Sequence
from typing import Any

from zkexec.zookeeper.requests import Dialogue, Request
from zkexec.zookeeper.values import Stat

Turn = tuple[Sequence[Request], Sequence[Any]]
"""A batch of requests, and the outcomes that the dialogue receives for it."""


def play(dialogue: Dialogue, *turns: Turn) -> Any:
    """Play a dialogue to its end, which has to yield just these batches; return its result."""
    outcomes: Sequence[Any] | None = None
    for expected, answers in turns:
        batch = next(dialogue) if outcomes is None else dialogue.send(outcomes)
        assert list(batch) == list(expected)
        outcomes = answers
    try:
        batch = next(dialogue) if outcomes is None else dialogue.send(outcomes)
    except StopIteration as end:
        return end.value
    raise AssertionError(f"not expected any more: {batch}")


def at(mzxid: int, **changes: int) -> Stat:
    """The statistics of a znode that this transaction wrote last."""
    return Stat(**{"mzxid": mzxid, "pzxid": mzxid, **changes})
