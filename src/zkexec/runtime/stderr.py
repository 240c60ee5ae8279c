"""Writing to stderr without being ended or held up by it.

A reader of a pipe that falls behind is waited for once, and then not again until he reads on: a
log must neither end a service nor keep zkexec from passing on a signal.
"""

import os
import select

STDERR = 2
PATIENCE_S = 0.2
"""How long a full pipe is waited for, once, before lines are dropped."""


class Stderr:
    """Descriptor 2."""

    def __init__(self) -> None:
        self._patience_s = PATIENCE_S

    def write(self, line: str) -> bool:
        """Write one line; False where not all of it could be written.  Never raises."""
        rest = (line + "\n").encode("utf-8", "backslashreplace")
        try:
            while rest and select.select((), (STDERR,), (), self._patience_s)[1]:
                self._patience_s = PATIENCE_S
                # A pipe that is ready takes a piece of this size without blocking.
                rest = rest[os.write(STDERR, rest[: select.PIPE_BUF]) :]
        except OSError:
            return False
        if rest:
            self._patience_s = 0
        return not rest
