"""Parts of the standard library that are written in C, without the modules in Python around them.

`signal`, `functools`, `collections` and `contextlib` import each other and `enum`, and make an
enum of all numbers of signals.  This takes a tenth of the time until the command starts.  To a
type checker these are the parts that the standard library documents.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in frozen.py
if TYPE_CHECKING:
    import signal
    from collections import deque
    from collections.abc import Callable
    from contextlib import suppress
    from functools import cache, partial
else:
    try:
        import _signal as signal
        from _collections import deque
        from _functools import partial
    except ImportError:  # pragma: no cover -- they are private to Python, so they can move
        import signal
        from collections import deque
        from functools import partial

    def cache(make: Callable[[], object]) -> Callable[[], object]:
        """Make a function that takes nothing remember what it has returned."""
        results: list[object] = []

        def remembered() -> object:
            if not results:
                results.append(make())
            return results[0]

        return remembered

    class suppress:  # noqa: N801 -- the name of the standard library
        """A block in which these exceptions end the block, and nothing else."""

        def __init__(self, *kinds: type[BaseException]) -> None:
            self._kinds = kinds

        def __enter__(self) -> None:
            return None

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
            return kind is not None and issubclass(kind, self._kinds)


__all__ = ["cache", "deque", "partial", "signal", "suppress"]
