"""What a bystander can conclude of the inputs: what was read, and what it produces.

With templates a read counts when it is rendered.  So the last one may not count yet, and what is
wanted is one of two.
"""

from typing import TYPE_CHECKING

from simulation.host_model import HostModel
from simulation.products import Products, Terms, produced_by_read
from zkexec.core import actions, events
from zkexec.core.rendering_result import NotRendered
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import replace

if TYPE_CHECKING:
    from simulation.bystander import HandledEvent


class InputViews:
    """The last reads, as what they produce."""

    def __init__(self, terms: Terms, host: HostModel) -> None:
        """Begin without any read."""
        self.terms = terms
        self._host = host
        self.read: events.ZnodesRead | None = None
        """The last answer that was waited for, on this connection."""
        self.known: list[Products] = []
        """What may be wanted: the last read, and with templates those that may count instead."""
        self._is_settled = True
        """Whether nothing is being rendered, or has yet to be."""
        self._is_lost = False
        """Whether the connection was lost since the last read."""
        self.installed: Snapshot | None = None
        """What was installed or found, None if nothing is known."""

    def see_event(self, moment: "HandledEvent", asked: int) -> None:
        """Take in what happened; `asked` is the number of the read that is waited for."""
        match moment.event:
            case events.ZnodesRead(number) if number == asked and self.terms.inputs.needs_state:
                self.read = moment.event
                products = produced_by_read(self.terms, moment.event, self.installed)
                keeps = bool(self.terms.inputs.templates)
                self.known = [*(self.known if keeps else []), products]
                self._is_lost = False
            case events.RenderFinished(result=result):
                self._is_settled = not (self._is_lost or isinstance(result, NotRendered))
            case events.SessionSuspended() | events.SessionLost():
                # What is rendered does not count any more, and what was wanted still does.
                self._is_lost = True
            case events.CachedFilesFound(snapshot, _, zxid):
                self.installed = replace(snapshot, zxid=zxid)
            case events.FilesInstalled():
                self.installed = self._host.files
        if any(isinstance(action, actions.RenderTemplates) for action in moment.actions):
            self._is_settled = False
        if self._is_settled:
            # All that was read last counts by now.
            self.known = self.known[-1:]
