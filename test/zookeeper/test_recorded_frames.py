"""Frames that were recorded with real servers: the same bytes out, and the events that they were.

`make frames` records them anew.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from zkexec.zookeeper.client_events import ClientEvent
from zkexec.zookeeper.session_state import OutcomeReceived, SessionState
from zookeeper.recorded_scenes import SCENES, RecordedScene
from zookeeper.wire_server import split

FRAMES = Path(__file__).parent / "frames"
VERSIONS = ("3.4.14", "3.6.3", "3.8.0", "3.9.3")


@cache
def recorded(version: str) -> dict[str, list[dict[str, Any]]]:
    """What was recorded with the servers of this version."""
    found: dict[str, list[dict[str, Any]]] = json.loads((FRAMES / f"{version}.json").read_text())
    return found


def replay(scene: RecordedScene, steps: list[dict[str, Any]], piece: int) -> None:
    """Play a scene with recorded answers, which arrive in pieces of this many bytes."""
    state = SessionState(10.0)
    state.connection_made(1, 0.0, 3.0, scene.identities)
    play = scene.play()
    outcomes: Any = None
    for number, step in enumerate(steps):
        if number:
            try:
                for key, request in enumerate(play.send(outcomes)):
                    state.send(request, key, 0.0)
            except StopIteration:
                state.close(0.0)
        sent, events = receive(state, bytes.fromhex(step["received"]), piece)
        assert sent.hex() == step["sent"]
        assert [repr(event) for event in events] == step["events"]
        if number:
            outcomes = [event.outcome for event in events if isinstance(event, OutcomeReceived)]


def receive(state: SessionState, content: bytes, piece: int) -> tuple[bytes, list[ClientEvent]]:
    """Have a session receive frames in pieces → what it sends before and after, and its events."""
    sent, events = take(state), []
    for frame in split(content):
        framed = len(frame).to_bytes(4, "big") + frame
        for start in range(0, len(framed), piece):
            events += state.receive(framed[start : start + piece], 0.0)
            sent += take(state)
    return sent, events


def take(state: SessionState) -> bytes:
    """What the session wants to have written."""
    content = bytes(state.outgoing)
    state.written(len(content), 0.0)
    return content


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_scene_plays_again(version: str, scene: str) -> None:
    """With the answers of a real server, a session sends the same bytes and reports the same."""
    replay(SCENES[scene], recorded(version)[scene], piece=1 << 16)


@pytest.mark.parametrize("scene", SCENES)
def test_a_recorded_scene_plays_byte_by_byte(scene: str) -> None:
    """Answers that arrive byte by byte, cut everywhere, are reported as those that arrive whole."""
    replay(SCENES[scene], recorded("3.9.3")[scene], piece=1)


@pytest.mark.parametrize("version", VERSIONS)
def test_servers_agree(version: str) -> None:
    """Every version gives the same kinds of outcomes, but for operations that it does not know."""
    release = tuple(int(part) for part in version.split("."))
    known = [name for name, scene in SCENES.items() if scene.since <= release]
    assert len(known) >= 7

    for name in known:
        kinds = [
            [event.split("(")[0] for event in step["events"]] for step in recorded(version)[name]
        ]
        newest = [
            [event.split("(")[0] for event in step["events"]] for step in recorded("3.9.3")[name]
        ]
        assert kinds == newest, name


@pytest.mark.parametrize("scene", [name for name, one in SCENES.items() if one.since > (3, 4, 14)])
def test_an_old_server_does_not_know_newer_operations(scene: str) -> None:
    """3.4 answers an operation that it does not know out of order, and the connection is over."""
    last = recorded("3.4.14")[scene][-1]["events"]

    assert "UnimplementedError" in last[0]
    assert "the server does not know the operation" in last[-1]
