"""Measure `zkexecctl web` and `exporter` on a large group: answers, and a page that is open.

The members are znodes written by hand, and in the rollout each writes its status as a real one
does: when it stops, when it starts, and when it is healthy.
"""

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from kazoo.client import KazooClient

from support.group_samples import NEW, OLD, GroupZnodes
from support.program import Program
from support.web_server import Browser, WebServer, words
from support.zookeeper import Server
from zkexec.core.rollout.record import InFlightEntry
from zkexec.group.entry_codec import encode_entry

ROUNDS = 7
PAUSE_S = 2.0
"""Between two answers, so that each is read anew."""
_TICKS_S = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=40.0, help="how long the rollout is seen")
    parser.add_argument("--rate", type=float, default=5.0, help="members restarted in a second")
    given = parser.parse_args()
    server = Server()
    try:
        server.start()
        client = KazooClient(hosts=server.hosts, timeout=30.0)
        client.start(timeout=60)
        names = [f"web{number}" for number in range(given.members)]
        group = GroupZnodes(client, "web", "/mirrored")
        for name in names:
            group.show(name)
        print(f"{given.members} members; {os.cpu_count()} cores")
        with started("web", server) as (pid, browser):
            for path in ("/groups/web", "/groups/web.json", "/", "/metrics"):
                measure_answers("web", pid, browser, path)
            measure_open_page(pid, browser, lambda: roll(group, names, given.rate), given.seconds)
        with started("exporter", server) as (pid, browser):
            measure_answers("exporter", pid, browser, "/metrics")
        client.stop()
    finally:
        server.close()


@contextmanager
def started(subcommand: str, server: Server) -> Iterator[tuple[int, Browser]]:
    """Run a server, and give its process and a browser."""
    with Program(*words(subcommand, server.hosts)) as program:
        one = WebServer(program)
        one.until_connected()
        yield program.pid, one.browser()


def measure_answers(what: str, pid: int, browser: Browser, path: str) -> None:
    """Print how long answers take, each read anew, and what they cost the server."""
    times, costs = [], []
    for _ in range(ROUNDS):
        time.sleep(PAUSE_S)
        before, began_at = cpu_s(pid), time.monotonic()
        answer = browser.get(path)
        times.append(time.monotonic() - began_at)
        costs.append(cpu_s(pid) - before)
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status}")
    median_s, cost_s = statistics.median(times), statistics.median(costs)
    print(
        f"{f'{what}: {path}':40} {median_s:6.3f} s, at most {max(times):.3f} s; CPU {cost_s:.3f} s"
    )


def measure_open_page(
    pid: int, browser: Browser, roll_on: Callable[[], None], time_s: float
) -> None:
    """Let a page be open in a rollout, and print what it costs."""
    received = [0, 0]
    with browser.events("/events?group=web") as events:
        events.next()
        measure_cpu("web: an open page, nothing happens", pid, lambda: time.sleep(time_s / 4))

        def count() -> None:
            # The end of the stream is the end of the measurement.
            with suppress(AssertionError, AttributeError, OSError, ValueError):
                while True:
                    _, fragments = events.next()
                    received[0] += 1
                    received[1] += len(str(fragments))

        threading.Thread(target=count, daemon=True).start()

        def watch() -> None:
            end_at = time.monotonic() + time_s
            while time.monotonic() < end_at:
                roll_on()

        measure_cpu("web: an open page in a rollout", pid, watch)
    updates, size = received
    print(f"{'web: changes sent in it':40} {updates} with {size / 1000:.0f} kB")


def roll(group: GroupZnodes, names: list[str], rate: float) -> None:
    """Let one member restart, and rotate the list."""
    name = names.pop(0)
    names.append(name)
    # A turn is a few writes.
    entry = f"{group.base}/in_flight/{name}"
    group.client.create(entry, encode_entry(InFlightEntry("token", NEW, group.zxid), time.time()))
    group.show(name, OLD, phase="stopping", wanted=NEW)
    time.sleep(0.5 / rate)
    group.show(name, NEW, phase="verifying", health="unknown")
    group.show(name, NEW)
    group.client.delete(entry)
    time.sleep(0.5 / rate)


def measure_cpu(what: str, pid: int, during: Callable[[], None]) -> None:
    """Print how much of a core a process uses meanwhile."""
    before, began_at = cpu_s(pid), time.monotonic()
    during()
    share = (cpu_s(pid) - before) / (time.monotonic() - began_at)
    print(f"{what:40} {share:6.1%} of a core")


def cpu_s(pid: int) -> float:
    """The time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        parts = file.read().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / _TICKS_S


if __name__ == "__main__":
    main()
