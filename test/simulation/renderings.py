"""The process that renders templates on one host of the model world: slow, and it may fail."""

from collections.abc import Callable
from random import Random

from simulation.clock import Clock
from simulation.renderer_model import render
from zkexec.core.actions import RenderTemplates
from zkexec.core.events import Event, RenderFinished
from zkexec.core.rendering_result import NotRendered, RenderResult


class Renderings:
    """The rendering that runs on this host, if one does."""

    def __init__(
        self, clock: Clock, random: Random, host: str, deliver: Callable[[Event], None]
    ) -> None:
        """Begin without any; `host` is a fact that templates may use."""
        self._clock = clock
        self._random = random
        self._host = host
        self._deliver = deliver
        self._runs = 0
        self.running: int | None = None
        """The number of the action, None if nothing is rendered."""
        self.has_faults: Callable[[], bool] = lambda: False

    def start(self, action: RenderTemplates) -> list[Event]:
        """Begin to render; return the answer if this host cannot even begin."""
        random, fails = self._random, self.has_faults()
        if fails and random.random() < 0.05:
            return [RenderFinished(action.number, NotRendered("no process to spare"))]
        result: RenderResult = render(action.templates, action.values, self._host)
        if fails and random.random() < 0.08:
            result = NotRendered("killed by SIGKILL")
        self._runs += 1
        self.running, run = action.number, self._runs
        seconds = random.choice((0.05, 0.2, 0.2, 3.0 if fails else 0.2)) * random.random()
        self._clock.after(seconds, lambda: self._end(run, result))
        return []

    def drop(self) -> None:
        """End it without a report."""
        self.running = None
        self._runs += 1

    def _end(self, run: int, result: RenderResult) -> None:
        if self.running is not None and run == self._runs:
            number, self.running = self.running, None
            self._deliver(RenderFinished(number, result))
