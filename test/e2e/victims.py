"""Several zkexec that are attacked at the same time, and what is observed of each.

Most of an attack is waiting.  So each waits together with all others.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from signal import SIGTERM

from support.malicious_server import MaliciousServer
from support.malicious_tricks import Malice
from support.mirrored_host import Birth, MirroredHost
from support.processes import is_alive, proc
from support.waiting import POLL_S, lines

CONNECTED = "connected$"
WINDOW_S = 20.0
_SEEN_S = 60.0
_AGAIN_S = 30.0
_RECOVERY_S = 120.0
"""A session that all servers refuse is replaced after a minute."""

OLD, NEW = b"content 0", b"content 1"


class Victim:
    """One zkexec behind a server that turns malicious, on a command that records its starts."""

    def __init__(
        self,
        malice: Malice,
        server: MaliciousServer,
        host: MirroredHost,
        options: Sequence[str],
        names: Sequence[str],
    ) -> None:
        """Start it while its server is good, on the inputs of these names."""
        self.malice = malice
        self.server = server
        self.host = host
        self.run = host.wrap("--settle=0", *options, names=" ".join(names))
        self.is_seen = self.tries_again = self.has_recovered = False
        self.growth_kb = self.connections = 0
        self.births_under_attack: list[Birth] = []
        self.terms_under_attack: list[str] = []
        self.is_untouched = False
        self.log: list[str] = []
        """What it has logged from the beginning of the attack to the end of the window."""
        self._peak_kb = self._lines = self._accepted = 0

    def has_begun(self) -> bool:
        """Whether it is connected and its command runs."""
        return bool(self.host.births() and self.run.stderr.matching(CONNECTED))

    def attack(self) -> None:
        """Turn its server malicious."""
        self._peak_kb = peak_kb(self.run.pid)
        self._lines = len(self.run.stderr.lines)
        self._accepted = self.server.accepted
        self.server.turn(self.malice.trick)

    def has_seen(self) -> bool:
        """Whether the client has met the malice, and has said why its connection has ended."""
        if not self.malice.reason:
            return self.server.accepted > self._accepted
        return any(self._said(self.malice.reason))

    def begin_window(self) -> None:
        """Count connections from now on."""
        self._accepted = self.server.accepted

    def end_window(self) -> None:
        """Note what has happened so far."""
        self.connections = self.server.accepted - self._accepted
        self._accepted = self.server.accepted
        self.growth_kb = peak_kb(self.run.pid) - self._peak_kb
        self.births_under_attack = self.host.births()
        self.terms_under_attack = [line for line in lines(self.host.record) if '"asked"' in line]
        self.is_untouched = is_alive(self.births_under_attack[0].pid)
        self.log = self.run.stderr.lines[self._lines :]

    def has_tried_again(self) -> bool:
        """Whether there is another connection after the window, or the last one has lasted."""
        return self.server.accepted > self._accepted or not self.malice.reason

    def has_applied_change(self) -> bool:
        """Whether the newest start has the newest content."""
        newest = self.host.births()[-1].files
        return (newest["a"], newest["b"]) == (NEW.decode(), OLD.decode())

    def _said(self, pattern: str) -> Iterable[str]:
        return self.run.stderr.matching(pattern)


def peak_kb(pid: int) -> int:
    """The most memory that a process has had in use."""
    status = proc(pid, "status").decode()
    return int(status.partition("VmHWM:")[2].split()[0])


def attack(victims: Sequence[Victim], change: Callable[[], None]) -> None:
    """Attack all victims, observe them, heal their servers, and write a change for all."""
    assert _all(victims, Victim.has_begun, _SEEN_S) == set(victims)
    for one in victims:
        one.attack()
    seen = _all(victims, Victim.has_seen, _SEEN_S)
    for one in victims:
        one.is_seen = one in seen
        one.begin_window()
    # That time passes is the point here: connections are counted.
    threading.Event().wait(WINDOW_S)
    for one in victims:
        one.end_window()
    again = _all(victims, Victim.has_tried_again, _AGAIN_S)
    for one in victims:
        one.tries_again = one in again
        one.server.heal()
    change()
    recovered = _all(victims, Victim.has_applied_change, _RECOVERY_S)
    for one in victims:
        one.has_recovered = one in recovered
        one.run.signal(SIGTERM)


def _all(
    victims: Sequence[Victim], condition: Callable[[Victim], bool], deadline_s: float
) -> set[Victim]:
    """Wait until a condition was true of each victim → those of which it was in time."""
    found: set[Victim] = set()
    end = time.monotonic() + deadline_s
    while len(found) < len(victims) and time.monotonic() < end:
        found |= {one for one in victims if one not in found and condition(one)}
        time.sleep(POLL_S * 10)
    return found
