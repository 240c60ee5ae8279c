"""zkexec beside other programs that bring a configuration to a command: `PEERS=1`."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from benchmarks.arithmetic import interleaved
from benchmarks.candidates import ZKEXEC, bound
from benchmarks.figures.change import NO_SETTLE, Watching, one_change, start_watching
from benchmarks.figures.reload import RELOADS
from benchmarks.figures.start import Maker, Timing, mirroring, one_start, wrapping
from benchmarks.noise import listen
from benchmarks.peers import ConsulTemplate, Peer, left_out, present
from benchmarks.results import Table
from benchmarks.running import Running
from benchmarks.stage import Stage, running, stamps

_SETTLED = f"{ZKEXEC}, settle 0.1 (default)"
_QUIET_S = 3.0
_ARMED_S = 0.1
"""A change soon after the last one can be missed: confd reads before it arms its watches."""
_PATIENCE_S = 5.0
"""After this time without a new command a peer has missed the change."""


Change = Callable[[str], float | None]
"""Makes a change with this tag; returns the milliseconds to its end, None if it was missed."""


def measure(stage: Stage) -> list[Table]:
    """Measure start, change, reload and memory of the peers that this machine can run."""
    notes = [f"Left out: {line}." for line in left_out(stage.peers)]
    with ExitStack() as after:
        peers = present(stage, after)
        tables = [
            _starts(stage, peers),
            _changes(stage, peers),
            _reloads(stage, peers),
            _memory(stage, peers),
        ]
    tables[0].notes.append(
        "confd: rendered once, and then executed; the command has no supervisor."
    )
    tables[1].notes.append("confd stops no old command: its reload command is the new one.")
    for table in tables:
        table.references = (ZKEXEC,)
        table.notes += notes
    return tables


def _starts(stage: Stage, peers: Sequence[Peer]) -> Table:
    table = Table("peers-start", "start → command in main, one input", "ms")
    makers: dict[str, Maker] = {
        ZKEXEC: mirroring(stage, stage.znodes(1))[ZKEXEC],
        **{peer.name: peer.start for peer in peers},
        **wrapping(stage),
    }
    timings: Mapping[str, Timing] = {
        name: partial(one_start, stage, maker) for name, maker in makers.items()
    }
    table.series = {name: [] for name in timings}
    for number, order in enumerate(interleaved(list(timings), stage.rounds(100, 4) + 1)):
        listen(table)
        for name in order:
            took_ms = timings[name]()
            if number:
                table.add(name, took_ms)
    return table


def _changes(stage: Stage, peers: Sequence[Peer]) -> Table:
    table = Table("peers-change", "change → command in main, one input", "ms")
    makers: dict[str, Maker] = {peer.name: peer.watch for peer in peers}
    return _measure_changes(stage, table, peers, makers)


def _reloads(stage: Stage, peers: Sequence[Peer]) -> Table:
    """Measure the peers that keep their command running and send it a signal."""
    table = Table("peers-reload", "change → command has got its HUP, one input", "ms")
    makers: dict[str, Maker] = {
        peer.name: peer.reload for peer in peers if isinstance(peer, ConsulTemplate)
    }
    return _measure_changes(stage, table, peers, makers, options=RELOADS)


def _measure_changes(
    stage: Stage,
    table: Table,
    peers: Sequence[Peer],
    makers: Mapping[str, Maker],
    options: Sequence[str] = (),
) -> Table:
    """Measure zkexec with these options, and the peers for which there is a command line."""
    with ExitStack() as after:
        runners = [
            _PeerRunner(stage, peer, makers[peer.name]) for peer in peers if peer.name in makers
        ]
        for runner in runners:
            after.callback(runner.end)
        changes = {
            **_own_changes(stage, options, after),
            **{runner.name: runner.change for runner in runners},
        }
        table.series = {name: [] for name in changes}
        for number, order in enumerate(interleaved(list(changes), stage.rounds(200, 8) + 2)):
            listen(table)
            for name in order:
                took_ms = changes[name](f"{number}")
                if number >= 2 and took_ms is not None:
                    table.add(name, took_ms)
    # One that has missed all of them has no row.
    table.series = {name: values for name, values in table.series.items() if values}
    table.notes += [
        f"Changes that {runner.name} missed for good, and was started anew after: {runner.missed}."
        for runner in runners
        if runner.missed
    ]
    return table


def _own_changes(stage: Stage, options: Sequence[str], after: ExitStack) -> Mapping[str, Change]:
    """Start zkexec with these options, without a settle time and with the usual one."""
    changes: dict[str, Change] = {}
    for name, settle in ((ZKEXEC, NO_SETTLE), (_SETTLED, ())):
        kind = (name, 1, (*settle, *options))
        folder = stage.folder("change")
        watching = start_watching(stage, kind, folder, after, reloads=bool(options))
        changes[name] = partial(one_change, stage, watching)
    return changes


class _PeerRunner:
    """A peer that waits for changes; it is started anew if it has missed one."""

    def __init__(self, stage: Stage, peer: Peer, maker: Maker) -> None:
        self.name = peer.name
        self.missed = 0
        self._maker = maker
        self._stage = stage
        self._peer = peer
        self._after = ExitStack()
        self._watching = self._start()

    def _start(self) -> Watching:
        folder = self._stage.folder("peer")
        fifo = self._after.enter_context(stamps(folder))
        line = bound(self._stage, self._maker(folder, fifo))
        self._after.enter_context(running(line, folder))
        fifo.next()
        return Watching(self.name, fifo, self._peer.change, _PATIENCE_S)

    def change(self, tag: str) -> float | None:
        """Make a change; return the milliseconds to the new command, None if there is none."""
        time.sleep(_ARMED_S)
        try:
            return one_change(self._stage, self._watching, tag)
        except TimeoutError:
            self.missed += 1
            self.end()
            self._watching = self._start()
            return None

    def end(self) -> None:
        """End the peer."""
        self._after.close()


def _memory(stage: Stage, peers: Sequence[Peer]) -> Table:
    table = Table("peers-pss", "idle memory, PSS", "MB")
    makers: dict[str, Maker] = {
        ZKEXEC: mirroring(stage, stage.znodes(1))[ZKEXEC],
        **{peer.name: peer.watch for peer in peers},
        **wrapping(stage),
    }
    with ExitStack() as after:
        processes = {name: _idle(stage, maker, after) for name, maker in makers.items()}
        time.sleep(_QUIET_S)
        for name, process in processes.items():
            table.add(name, process.memory().pss_mb)
    return table


def _idle(stage: Stage, maker: Maker, after: ExitStack) -> Running:
    folder = stage.folder("idle")
    fifo = after.enter_context(stamps(folder))
    process = after.enter_context(running(bound(stage, maker(folder, fifo)), folder))
    fifo.next()
    return process
