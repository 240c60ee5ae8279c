"""Stand-ins for the peers of the benchmark: each does as little as the benchmark needs of it.

peer_program.py confd|consul-template|envconsul|consul [ARGUMENT...]
"""

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from kazoo.client import KazooClient

_POLLED_S = 0.005


def main() -> None:
    """Do what the program of this name does."""
    name, *arguments = sys.argv[1:]
    programs: dict[str, Callable[[list[str]], None]] = {
        "confd": confd,
        "consul-template": consul_template,
        "envconsul": envconsul,
        "consul": consul,
    }
    programs[name](arguments)


def confd(arguments: list[str]) -> None:
    """Write the content of a znode into a file, and run the reload command, once or for ever."""
    options = dict(pairwise(arguments))
    file = Path(options["-confdir"]) / "conf.d" / "input.toml"
    template = tomllib.loads(file.read_text())["template"]
    znode = template["prefix"] + template["keys"][0]
    client = KazooClient(hosts=options["-node"])
    client.start()
    for content in _contents(lambda: bytes(client.get(znode)[0])):
        Path(template["dest"]).write_bytes(content)
        subprocess.run(["/bin/sh", "-c", template["reload_cmd"]], check=True)
        if "-onetime" in arguments:
            return


def consul_template(arguments: list[str]) -> None:
    """Write the content of a key into a file, and restart or signal the command, for ever."""
    options = dict(argument.split("=", 1) for argument in arguments)
    template, target = options["-template"].split(":")
    key = Path(template).read_text().split('"')[1]
    _supervise(
        _contents(lambda: _read(options["-consul-addr"], key)),
        ["/bin/sh", "-c", options["-exec"]],
        lambda content: bool(Path(target).write_bytes(content)),
        options.get("-exec-reload-signal", ""),
    )


def envconsul(arguments: list[str]) -> None:
    """Put the content of a key into the environment, and restart the command, for ever."""
    address, prefix = (argument.split("=", 1)[1] for argument in arguments[:2])
    _supervise(
        _contents(lambda: _read(address, f"{prefix}/tag")),
        arguments[2:],
        lambda content: os.environ.update(tag=content.decode()),
    )


def _supervise(
    contents: Iterator[bytes],
    command: list[str],
    bring: Callable[[bytes], object],
    reload_signal: str = "",
) -> None:
    running = 0
    for content in contents:
        bring(content)
        if running and reload_signal:
            os.kill(running, signal.Signals[reload_signal])
            continue
        if running:
            os.kill(running, signal.SIGTERM)
            os.waitpid(running, 0)
        running = os.posix_spawnp(command[0], command, os.environ)


def _contents(read: Callable[[], bytes]) -> Iterator[bytes]:
    """Yield the content now, and at each change."""
    latest = None
    while True:
        if (content := read()) != latest:
            latest = content
            yield content
        time.sleep(_POLLED_S)


def _read(address: str, key: str) -> bytes:
    connection = HTTPConnection(address)
    connection.request("GET", f"/v1/kv/{key}?raw")
    return connection.getresponse().read()


class _Keys(BaseHTTPRequestHandler):
    """Keeps keys as long as it runs."""

    protocol_version = "HTTP/1.1"
    keys: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self) -> None:
        """Set a key."""
        length = int(self.headers["Content-Length"])
        self.keys[self.path] = self.rfile.read(length)
        self._answer(b"true")

    def do_GET(self) -> None:
        """Return the content of a key."""
        self._answer(self.keys[self.path.removesuffix("?raw")])

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def consul(arguments: list[str]) -> None:
    """Serve keys at the port, for ever."""
    options = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    address = (options["-client"], int(options["-http-port"]))
    ThreadingHTTPServer(address, _Keys).serve_forever()


main()
