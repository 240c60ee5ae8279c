"""What is imported of the client library, each time in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from support.zookeeper import Server

_CONNECTED = """
import sys, threading
from zkexec.core.events import SessionConnected, ZnodesRead
from zkexec.cli.security import Access
from zkexec.cli.cluster_access import client_settings
from zkexec.runtime.cluster_session import ClusterSession

def post(event):
    if isinstance(event, SessionConnected):
        connected.set()
    if isinstance(event, ZnodesRead):
        read.set()

connected, read = threading.Event(), threading.Event()
servers = [("localhost", int(sys.argv[1]))]
settings = client_settings(servers, Access(), 10.0)
ensemble = ClusterSession(settings, ["/zookeeper"], "", post)
ensemble.open()
connected.wait(30)
ensemble.read(1)
print(read.wait(30))
ensemble.close(10.0)
print(*sorted(sys.modules))
"""

_LATER = """
import heapq, kazoo.recipe.lock, os, queue, random, selectors, socket, ssl
from kazoo.client import KazooClient

print(isinstance(KazooClient().Lock("/"), kazoo.recipe.lock.Lock))
print(issubclass(ssl.SSLError, OSError))
print(socket.selectors.PollSelector is selectors.PollSelector)
line = queue.PriorityQueue()
for number in (3, 1, 2):
    line.put(number)
print([line.get() for _ in range(3)], heapq.nsmallest(1, [2, 1]))
print(os.register_at_fork.__module__)
"""

_ALL_REAL = ["True", "True", "True", "[1, 2, 3] [1]", "posix"]

_NEWER = """
import ssl
from kazoo.recipe.lock import Lock

REASON = ssl.SSLError

class Better(Lock):
    pass
"""


def output_of(program: str, *arguments: object, path: tuple[object, ...] = ()) -> list[str]:
    """The lines that a program prints, with these folders before all others."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, *sys.path)))}
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        timeout=90,
        check=False,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_what_is_not_imported(zookeeper: Server) -> None:
    """Without TLS and SASL, nothing is imported that only these or the recipes of kazoo need."""
    read, modules = output_of(_CONNECTED, zookeeper.port)
    assert read == "True"
    imported = set(modules.split())
    assert not imported & {"json", "logging", "puresasl", "ssl", "urllib", "uuid", "unicodedata"}
    assert not imported & {
        "array",
        "base64",
        "binascii",
        "bisect",
        "copy",
        "heapq",
        "random",
        "selectors",
    }
    assert not [name for name in imported if name.startswith(("kazoo.recipe", "kazoo.hosts"))]


def test_the_real_modules_are_there_later() -> None:
    """Whoever imports afterwards what zkexec has left out gets it, from kazoo's client as well."""
    assert output_of("import zkexec.zookeeper.client" + _LATER) == _ALL_REAL


def test_what_was_imported_before_stays() -> None:
    """Where kazoo is there already it is left alone."""
    before = "import kazoo.client, sys; before = dict(sys.modules)\n"
    same = "print(all(sys.modules[name] is before[name] for name in before))\n"
    program = before + "import zkexec.zookeeper.client\n" + same + _LATER
    assert output_of(program) == ["True", *_ALL_REAL]


def test_a_newer_kazoo(tmp_path: Path) -> None:
    """A kazoo that uses what was left out as soon as it is imported is imported plainly."""
    for name, content in {
        "__init__": "",
        "client": _NEWER,
        "recipe/__init__": "",
        "recipe/lock": "class Lock: pass",
    }.items():
        file = tmp_path / "kazoo" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    program = "import zkexec.zookeeper.kazoo_import, kazoo.client, ssl\n"
    asked = "print(kazoo.client.Better.__mro__[1].__module__, kazoo.client.REASON is ssl.SSLError)"
    assert output_of(program + asked, path=(tmp_path,)) == ["kazoo.recipe.lock True"]
