"""One session with the cluster for a subcommand: dialogues with results, and watches.

The rules of this file:

- A dialogue is a generator of requests, which starts again on the next connection if one is lost.
  So a dialogue that writes first has to find out whether it has been here before: it leaves a token
  in what it writes.
- A SubcommandError that it raises is raised here; a server's refusal becomes one.
- A lost connection takes all watches with it, and `changed` returns `LOST`.
- A chroot that does not exist is named before anything else is read: below it there is nothing.
- A failing connection is reported once, and once more when it is over.
- A session without a connection is replaced after it must have expired: an ensemble that was wiped
  or restored refuses the old one for ever.
"""

import math
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from zkexec.cli.cluster_access import client_settings
from zkexec.ctl.arguments import ClusterOptions
from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.ctl.terminal.console import Console
from zkexec.group.paths import Paths
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_events import (
    AttemptFailed,
    ClientEvent,
    Connected,
    Expired,
    Fired,
    Lost,
)
from zkexec.zookeeper.errors import ConnectionEndError, RefusedError, ZooKeeperError
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.requests import Dialogue, Exists

LOST = object()
"""Among the changed keys if the connection was lost, and with it all watches."""

STALE = object()
"""Among the changed keys if a server may have dropped a watch since, without notice."""

SESSION_TIMEOUT_S = 10.0
STALE_S = 60.0
_RENEW_S = SESSION_TIMEOUT_S
# A signal that arrives right before a wait begins is handled only after it.
_LONGEST_WAIT_S = 1.0
_CLOSE_S = 1.0
_INTERRUPTED_CLOSE_S = 0.1
_MOST_WAKES = 4096

NewDialogue = Callable[[], Dialogue]
"""Makes a dialogue, once for each connection that it is tried on."""


class ClusterConnection:
    """One session with the ensemble, which lasts as long as the `with` block."""

    def __init__(
        self,
        options: ClusterOptions,
        report: Callable[[str], None],
        *,
        creates_chroot: bool = False,
    ) -> None:
        """`report` takes a line about a connection that fails, or is there again.

        Without `creates_chroot`, nothing can be done if the chroot does not exist.
        """
        self.chroot = options.chroot
        self.connection_words = options.words
        """The connection options that printed commands repeat."""
        self.lacks_chroot = False
        """Whether the chroot did not exist at the first read."""
        self._creates_chroot = creates_chroot
        self._is_chroot_read = not options.chroot
        self._options = options
        self._report = report
        self.stale_s = STALE_S
        """How often what is watched counts as changed, even if no watch has fired."""
        self._stale_at = math.inf
        settings = client_settings(options.servers, options.access, SESSION_TIMEOUT_S)
        self._network = Network(settings.tls_context)
        self._client = Client(settings, self._note, self._network)
        self.connection = 0
        """The number of the present connection, or of the last one."""
        self._connected = False
        self._was_connected = False
        self._renew_at = math.inf
        self._error = ""
        self._is_reported = False
        self._changed: set[object] = set()
        # What is written to it wakes a wait, also if a handler of a signal writes.
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    @property
    def lacks_multi_read(self) -> bool:
        """Whether the servers are known to be older than 3.6."""
        return self._client.lacks_multi_read

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now, as far as is known."""
        return self._connected

    @property
    def error(self) -> str:
        """Why there is no connection, or why the last one ended; "" if that is not known."""
        return self._error

    def __enter__(self) -> Self:
        self._client.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After Ctrl-C, do not wait for a server that may be frozen.
        interrupted = kind is not None and not issubclass(kind, Exception)
        self._client.close(_INTERRUPTED_CLOSE_S if interrupted else _CLOSE_S)
        os.close(self._reader)
        os.close(self._writer)

    def run(self, new_dialogue: NewDialogue, timeout_s: float | None = None) -> Any:  # noqa: ANN401
        """Run a dialogue until it has a result, and return this.

        Raises SubcommandError if the server refuses, and if there is no result within `timeout_s`
        (by default the time for connecting that the operator has given).
        """
        timeout_s = self._options.connect_timeout_s if timeout_s is None else timeout_s
        give_up_at = self._network.now() + timeout_s
        while (left_s := give_up_at - self._network.now()) > 0:
            if not self._connected:
                self._wait(give_up_at)
                continue
            try:
                answer = self._client.run(self._below_chroot(new_dialogue), left_s)
            except ConnectionEndError:
                continue
            except TimeoutError:
                break
            except (RefusedError, ZooKeeperError) as error:
                raise SubcommandError(str(error), CANNOT_WORK) from None
            self._error = ""
            return answer
        raise SubcommandError(f"--cluster: {self._why_not(timeout_s)}", CANNOT_WORK)

    def _below_chroot(self, new_dialogue: NewDialogue) -> Dialogue:
        """Run a dialogue; before the first one, read whether the chroot exists."""
        if not self._is_chroot_read:
            (stat,) = yield [Exists(self.chroot)]
            # If it may not be read, what is below it is refused, and named.
            self.lacks_chroot = stat is None
            if self.lacks_chroot and not self._creates_chroot:
                error = Paths(self.chroot, "").without_chroot()
                raise SubcommandError(f"--cluster: {error}", CANNOT_WORK)
            self._is_chroot_read = True
        return (yield from new_dialogue())

    def report_change(self, key: object) -> None:
        """Let `changed` return this key; can be called from any thread and from a signal."""
        self._changed.add(key)
        # If it is full, it wakes as well.
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def changed(self, timeout_s: float = math.inf) -> set[object]:
        """Wait for a change, and return the keys of all since the last time.

        The set is empty if nothing has changed in time.
        """
        now = self._network.now()
        self._stale_at = min(self._stale_at, now + self.stale_s)
        until = min(now + timeout_s, self._stale_at)
        # What has come by now counts, too.
        self._wait(now)
        while not self._changed and self._network.now() < until:
            self._wait(until)
        if self._network.now() >= self._stale_at:
            self._changed.add(STALE)
            self._stale_at = math.inf
        changed, self._changed = self._changed, set()
        return changed

    def _wait(self, until: float) -> None:
        """Wait once, for something to happen or until this time."""
        longest = self._network.now() + _LONGEST_WAIT_S
        self._client.wait(min(until, self._renew_at, longest), (self._reader,))
        with suppress(BlockingIOError):
            os.read(self._reader, _MOST_WAKES)
        if self._network.now() >= self._renew_at:
            self._renew_at = self._network.now() + _RENEW_S
            self._client.open()

    def _why_not(self, timeout_s: float) -> str:
        within = f"{self._options.hosts_text} within {timeout_s:g} s"
        if self._connected:
            return f"no answer from {within}"
        return f"cannot connect to {within}: {self._error or 'no answer so far'}"

    def _note(self, event: ClientEvent) -> None:
        match event:
            case Fired(key):
                self._changed.add(key)
            case Connected(connection):
                self._on_connected(connection)
            case AttemptFailed(reason):
                self._on_connect_failed(reason)
            case Lost(reason) | Expired(reason):
                self._on_disconnected(reason)

    def _on_connected(self, connection: int) -> None:
        self._connected = True
        self.connection = connection
        self._renew_at = math.inf
        if self._is_reported:
            self._is_reported = False
            self._report("connected again" if self._was_connected else "connected")
        self._was_connected = True

    def _on_disconnected(self, reason: str) -> None:
        if self._connected:
            self._connected = False
            self._changed.add(LOST)
        self._error = reason
        self._renew_at = min(self._renew_at, self._network.now() + _RENEW_S)

    def _on_connect_failed(self, reason: str) -> None:
        self._error = reason
        if not self._is_reported:
            self._is_reported = True
            self._report(f"cannot connect to {reason}; still trying")


def connect(
    options: ClusterOptions, console: Console, *, creates_chroot: bool = False
) -> ClusterConnection:
    """Return a connection that reports its failures on the console."""
    return ClusterConnection(options, console.report, creates_chroot=creates_chroot)
