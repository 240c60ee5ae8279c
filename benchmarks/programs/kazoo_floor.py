"""The kazoo floor: what a bare script with kazoo does, and nothing more.

    kazoo_floor.py HOSTS LOCAL=ZNODE ... -- COMMAND [ARGUMENT...]

One-shot watches, get, write, fsync, rename, kill, waitpid, posix_spawn.  No check of anything, no
lost connection, no signal passed on.  The first reads are sent all at once, as waiting for each
one would be no floor.
"""

import os
import queue
import signal
import sys

from kazoo.client import KazooClient


def put(path: str, content: bytes) -> None:
    """Let the content take the file's place."""
    with open(f"{path}.new", "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}.new", path)


def main() -> None:
    """Mirror, and restart the command at each change, for ever."""
    hosts, *words = sys.argv[1:]
    end = words.index("--")
    files = {znode: local for local, znode in (word.split("=", 1) for word in words[:end])}
    command = words[end + 1 :]
    changes: queue.SimpleQueue[str] = queue.SimpleQueue()

    def changed(event: object) -> None:
        if path := getattr(event, "path", None):
            changes.put(path)

    client = KazooClient(hosts=hosts)
    client.start()
    for znode, answer in [(znode, client.get_async(znode, changed)) for znode in files]:
        put(files[znode], answer.get()[0])
    child = os.posix_spawn(command[0], command, os.environ)
    while True:
        znode = changes.get()
        put(files[znode], client.get(znode, changed)[0])
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        child = os.posix_spawn(command[0], command, os.environ)


main()
