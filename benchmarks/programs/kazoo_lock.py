"""The bare predecessor lock: how members take turns where nothing is recorded and nothing may fail.

    kazoo_lock.py HOSTS LOCK LOCAL=ZNODE -- COMMAND [ARGUMENT...]

At a change: a sequential ephemeral znode below LOCK, a watch on the one before it, and in turn
write, fsync, rename, kill, waitpid, posix_spawn, the check `true`, and the znode is deleted.
"""

import os
import queue
import signal
import sys
import threading

from kazoo.client import KazooClient


def wait_for_turn(client: KazooClient, lock: str) -> str:
    """Return the path of the own znode once no other stands before it."""
    own: str = client.create(f"{lock}/turn-", ephemeral=True, sequence=True)
    while True:
        line = sorted(client.get_children(lock))
        place = line.index(own.rpartition("/")[2])
        if place == 0:
            return own
        gone = threading.Event()
        if client.exists(f"{lock}/{line[place - 1]}", lambda _, gone=gone: gone.set()):
            gone.wait()


def put(path: str, content: bytes) -> None:
    """Let the content take the file's place."""
    with open(f"{path}.new", "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}.new", path)


def main() -> None:
    """Mirror one znode, and restart the command in turn at each change, for ever."""
    hosts, lock, mirror, _, *command = sys.argv[1:]
    local, znode = mirror.split("=", 1)
    changes: queue.SimpleQueue[object] = queue.SimpleQueue()

    def changed(event: object) -> None:
        if getattr(event, "path", None):
            changes.put(event)

    client = KazooClient(hosts=hosts, timeout=60.0)
    client.start()
    put(local, client.get(znode, changed)[0])
    child = os.posix_spawn(command[0], command, os.environ)
    while True:
        changes.get()
        content = client.get(znode, changed)[0]
        turn = wait_for_turn(client, lock)
        put(local, content)
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        child = os.posix_spawn(command[0], command, os.environ)
        os.waitpid(os.posix_spawnp("true", ["true"], os.environ), 0)
        client.delete(turn)


main()
