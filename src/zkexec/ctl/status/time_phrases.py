"""How zkexecctl writes moments, durations and ages."""

import time

_SHORT_S = 10.0
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def full_time(at: float) -> str:
    """Write seconds of the epoch as the log of zkexec shows them."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at))


def moment(at: float, now: float) -> str:
    """Write seconds of the epoch, without the date if it is today; "" if they are not known."""
    if not at:
        return ""
    then = time.localtime(at)
    is_today = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", then)


def span(time_s: float) -> str:
    """Write a duration in its two largest units: `3 s`, `2 min 5 s`, `4 h`."""
    rest = max(0, int(time_s))
    largest = next((index for index, (_, size) in enumerate(_UNITS) if rest >= size), -1)
    if largest < 0:
        return "0 s"
    parts = []
    for unit, size in _UNITS[largest : largest + 2]:
        if count := rest // size:
            parts.append(f"{count} {unit}")
        rest %= size
    return " ".join(parts)


def exact_span(time_s: float) -> str:
    """Write a duration that an operator has given: a short one with its fraction."""
    return f"{time_s:g} s" if time_s < _SHORT_S else span(time_s)


def age(at: float, now: float) -> str:
    """Write how long ago it was, for a column: `3s`, `2m`, `4h`; "" if that is not known."""
    if not at:
        return ""
    number, unit = span(now - at).split(" ")[:2]
    return number + unit[0]


def long_age(at: float, now: float) -> str:
    """Write how long ago it was, in words: `3 min ago`; "" if that is not known."""
    if not at:
        return ""
    number, unit = span(now - at).split(" ")[:2]
    return f"{number} {unit} ago"
