"""Record the frames that ZooKeeper's servers exchange with a session, for the tests of the client.

`make frames` plays the scenes of test/zookeeper/recorded_scenes.py against servers of
several versions, and writes test/zookeeper/frames/VERSION.json for each.
"""

import json
import os
from pathlib import Path

from support.zookeeper import Server
from zkexec.devserver.installation import find_installation
from zkexec.zookeeper.session_state import SessionState
from zookeeper.blocking_client import BlockingClient
from zookeeper.recorded_scenes import SCENES, RecordedScene

FOLDER = Path(__file__).resolve().parent.parent / "test" / "zookeeper" / "frames"


def record(port: int, scene: RecordedScene) -> list[dict[str, object]]:
    """Play a scene on a connection → its steps: bytes out, bytes in, and the events of those."""
    client = BlockingClient(port, SessionState(10.0), scene.identities)
    steps: list[dict[str, object]] = []

    def take() -> None:
        steps.append(
            {
                "sent": client.sent.hex(),
                "received": client.received.hex(),
                "events": [repr(event) for event in client.events],
            }
        )
        client.sent.clear()
        client.received.clear()
        client.events.clear()

    client.connect()
    take()
    play = scene.play()
    requests = next(play, None)
    while requests is not None and client.state.is_ready:
        outcomes = client.call(*requests)
        take()
        try:
            requests = play.send(outcomes)
        except StopIteration:
            requests = None
    if scene.is_closed:
        client.finish()
        take()
    elif client.state.has_connection:
        client.hang_up()
    return steps


def main() -> None:
    """Record all scenes with the server at hand."""
    server = Server()
    try:
        server.start()
        recorded = {name: record(server.port, scene) for name, scene in SCENES.items()}
    finally:
        server.close()
    path = FOLDER / f"{find_installation(os.environ).version}.json"
    path.write_text(json.dumps(recorded, indent=1) + "\n")
    print(f"{path}: {sum(map(len, recorded.values()))} steps")


if __name__ == "__main__":
    main()
