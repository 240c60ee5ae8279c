"""How many variables from inputs a command can get on this host, so that exec accepts them.

Linux counts the arguments and variables of a program together, with their pointers (see
`bprm_stack_limits` in fs/exec.c): at most a quarter of the stack's limit, no more than 6 MiB, and
128 KiB in any case.
"""

from __future__ import annotations

from resource import RLIM_INFINITY, RLIMIT_STACK, getrlimit

from zkexec.core.tree_variables import BESIDE_TEXT_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MOST_BYTES = 6 * 1024 * 1024
_LEAST_BYTES = 128 * 1024
_SPARE_BYTES = 16 * 1024
"""For the path of the program, and the variables of zkexec for hooks and checks."""


def room_for_variables(
    environment: Mapping[bytes, bytes], commands: Iterable[Sequence[bytes]]
) -> int:
    """Return how many bytes are left beside what is inherited, for the longest of the commands."""
    stack = getrlimit(RLIMIT_STACK)[0]
    most = _MOST_BYTES if stack == RLIM_INFINITY else min(stack // 4, _MOST_BYTES)
    inherited = sum(
        len(name) + 1 + len(value) + BESIDE_TEXT_BYTES for name, value in environment.items()
    )
    longest = max(
        (sum(len(word) + BESIDE_TEXT_BYTES for word in words) for words in commands), default=0
    )
    return max(0, max(most, _LEAST_BYTES) - inherited - longest - _SPARE_BYTES)
