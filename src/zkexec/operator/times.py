"""Times as people read them."""

import time


def when(at: float) -> str:
    """A time of the epoch, in seconds, as the log shows it; on the clock of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at))
