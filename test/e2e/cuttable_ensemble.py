"""An ensemble of three of which a follower can be cut off from its leader, and from nothing else.

The rules of this file:

- Each server reaches the quorum port of each other through a forwarder of its own, because its
  configuration names that as the other's address.  Elections are held directly.
- A cut forwarder swallows what comes and closes nothing, as a network does that drops packets.
"""

import socket
import threading
import time
from contextlib import suppress

from support.zookeeper import Port, Server

_SIZE = 3
_LISTENS_WITHIN_S = 3.0


class Forwarder:
    """Passes bytes on between a port of its own and another, until it is cut."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._port = Port()
        self.number = self._port.number
        self._is_cut = False
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.number))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Swallow everything from now on."""
        self._is_cut = True

    def heal(self) -> None:
        """Close the connections that lost bytes, and pass everything on again."""
        was_cut, self._is_cut = self._is_cut, False
        if was_cut:
            self._close_ends()

    def close(self) -> None:
        """Stop for good and release the port."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._close_ends()
        self._port.release()

    def _close_ends(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        """Connect to the target, which may need a moment before it listens.

        A follower that has seen its connection end while the new leader comes up does not find
        it again before the leader has given up.
        """
        try:
            far = self._reach()
        except OSError:
            near.close()
            return
        self._ends += [near, far]
        for pair in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _reach(self) -> socket.socket:
        end = time.monotonic() + _LISTENS_WITHIN_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self._target_port))
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if not self._is_cut:
                    sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class CuttableEnsemble:
    """Three servers, numbered from 0; `start()` returns when all of them serve."""

    def __init__(self) -> None:
        self._ports = [(Port(), Port()) for _ in range(_SIZE)]
        self._forwarders = {
            (one, other): Forwarder(self._ports[other][0].number)
            for one in range(_SIZE)
            for other in range(_SIZE)
            if one != other
        }
        self.servers = [Server(self._view(number), number + 1) for number in range(_SIZE)]
        self.hosts = ",".join(server.hosts for server in self.servers)

    def _view(self, own: int) -> tuple[str, ...]:
        lines = []
        for number, (peer, election) in enumerate(self._ports):
            port = peer if number == own else self._forwarders[own, number]
            lines.append(f"server.{number + 1}=127.0.0.1:{port.number}:{election.number}")
        return tuple(lines)

    def start(self) -> None:
        """Launch every server, then wait for all of them."""
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait_until_serving()

    def leader(self) -> Server:
        """The server that leads now; LookupError while there is none."""
        for server in self.servers:
            if server.fact("Mode") == "leader":
                return server
        raise LookupError("the ensemble has no leader now")

    def followers(self) -> list[int]:
        """The numbers of the servers that follow now."""
        return [n for n, server in enumerate(self.servers) if server.fact("Mode") == "follower"]

    def cut_off(self, follower: int) -> None:
        """Let this server hear no other, and no other hear it, except in elections."""
        for (one, _), forwarder in self._forwarders.items():
            if one == follower:
                forwarder.cut()

    def heal(self) -> None:
        """Let all hear each other again."""
        for forwarder in self._forwarders.values():
            forwarder.heal()

    def close(self) -> None:
        """Stop all servers, remove their folders and release the ports."""
        for server in self.servers:
            server.close()
        for forwarder in self._forwarders.values():
            forwarder.close()
        for pair in self._ports:
            for port in pair:
                port.release()
