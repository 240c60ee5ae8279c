"""A `zkexecctl web` whose pages a browser shows; it can be stopped and started again."""

from typing import Self
from urllib.parse import quote

from support.program import Program, Word
from support.web_server import WebServer
from support.zkexecctl import ZKEXECCTL


class ServedPages:
    """One server; the address of its pages stays the same if it is started again."""

    def __init__(self, hosts: str, *options: Word) -> None:
        """Start it, and wait until it reads the cluster."""
        self._words = (*ZKEXECCTL, "web", f"--cluster={hosts}", *options)
        self._server = self._start(0)

    def _start(self, port: int) -> WebServer:
        server = WebServer(Program(*self._words, f"--listen=127.0.0.1:{port}"))
        server.until_connected()
        return server

    @property
    def url(self) -> str:
        """The address of the page of all groups."""
        return f"http://127.0.0.1:{self._server.port}/"

    def group(self, name: str) -> str:
        """The address of the page of a group."""
        return f"{self.url}groups/{quote(name, safe='')}"

    def stop(self) -> None:
        """End the server."""
        self._server.program.close()

    def start_again(self) -> None:
        """Start the server anew, at the same address."""
        self._server = self._start(self._server.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
