"""Load the compiled starter, if zkexec was installed with one.

It is apart from `spawn`, so that `zkexec --version` can show it without all that `spawn` imports.
"""

TYPE_CHECKING = False  # `typing` is large and slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    StartFunction: TypeAlias = Callable[[bytes, list[bytes], list[bytes | bytearray], object], int]

START: "StartFunction | None" = None
"""What `_starter.c` exports; None if it was not built, or not for this system."""

try:
    from zkexec.process import _starter
except ImportError:
    pass
else:
    START = _starter.start
