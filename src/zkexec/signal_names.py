"""The names of signals: `signal` of the standard library has them too, but is slow to import."""

from zkexec.lean import signal

SIGNAL_NAMES: dict[int, str] = {
    int(number): name
    # Of two names of a number, the first of the alphabet counts, as in the standard library.
    for name, number in sorted(vars(signal).items(), reverse=True)
    if name.startswith("SIG") and not name.startswith("SIG_")
}
"""The name of each number, such as SIGTERM; most real-time signals have none."""
