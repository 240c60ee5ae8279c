"""One stream that a program writes, collected by a thread while the program runs."""

import os
import re
import select
import threading

_POLL_MS = 200
_PIECE = 65536


class Output:
    """Everything that came out of one pipe or terminal so far."""

    def __init__(self, descriptor: int | None, name: str) -> None:
        """Collect from this descriptor, which `close` closes; None if the output goes elsewhere."""
        self.name = name
        self._descriptor = descriptor
        self._raw = bytearray()
        self._found_until = 0
        self._is_open = descriptor is not None
        self._came = threading.Condition()
        if descriptor is not None:
            os.set_blocking(descriptor, False)
            threading.Thread(target=self._read, args=(descriptor,), daemon=True).start()

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        with self._came:
            return bytes(self._raw)

    @property
    def text(self) -> str:
        """The same as text."""
        return self.raw.decode("utf-8", "backslashreplace")

    @property
    def lines(self) -> list[str]:
        """The lines of the text; also the last one, if nothing more can come after it."""
        *complete, rest = self.text.replace("\r\n", "\n").split("\n")
        return [*complete, rest] if rest and not self.is_open else complete

    @property
    def is_open(self) -> bool:
        """Whether more can come: a process has the other end open."""
        return self._is_open

    def matching(self, pattern: str) -> list[str]:
        """The lines in which the pattern is found."""
        return [line for line in self.lines if re.search(pattern, line)]

    def find_next(self, pattern: str) -> re.Match[str] | None:
        """Find the pattern behind what was found before, and pass over it."""
        match = re.compile(pattern).search(self.text, self._found_until)
        if match is not None:
            self._found_until = match.end()
        return match

    @property
    def unfound(self) -> str:
        """What came behind what `find_next` found last."""
        return self.text[self._found_until :]

    def wait(self, timeout_s: float) -> None:
        """Return when something new came, or after this time."""
        with self._came:
            self._came.wait(timeout_s)

    def pull(self) -> None:
        """Take what has been written up to now."""
        with self._came:
            before = len(self._raw)
            while self._is_open and self._descriptor is not None:
                if not self._take(self._descriptor):
                    break
            if len(self._raw) > before or not self._is_open:
                self._came.notify_all()

    def _take(self, descriptor: int) -> bool:
        try:
            piece = os.read(descriptor, _PIECE)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""  # No process has the terminal open any more.
        self._raw += piece
        self._is_open = bool(piece)
        return self._is_open

    def _read(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while self._is_open:
            # After `close` the number may be another file's: `pull` then takes nothing.
            poll.poll(_POLL_MS)
            self.pull()

    def close(self) -> None:
        """Stop reading, as a reader does that goes away."""
        with self._came:
            self._is_open = False
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None
