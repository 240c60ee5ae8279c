"""What a bystander can conclude of the inputs: what was read, and what it produces.

With templates a read counts when it is rendered.  So the last one may not count yet, and what is
wanted is one of two.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from simulation.cluster_model import ClusterModel
from simulation.host_model import HostModel
from simulation.products import Products, Terms, produced_by_read
from zkexec.core import actions, events
from zkexec.core.input_options import InputOptions
from zkexec.core.production import Production, Reading
from zkexec.core.rendering_result import NotRendered
from zkexec.core.snapshot import Snapshot, Tree, Znode
from zkexec.frozen import replace

if TYPE_CHECKING:
    from simulation.bystander import HandledEvent


def digest_of(inputs: InputOptions, znodes: Mapping[str, Znode], trees: Mapping[str, Tree]) -> str:
    """Return the digest of a version, as the core computes it: `NumbersVersions` judges that."""
    reading, nothing = Reading(znodes, trees), Snapshot({})
    found = Production(inputs, reading, allow_empty=True, installed=nothing)
    return found.snapshot("", None, {}).digest


class InputViews:
    """The last reads, as what they produce."""

    def __init__(self, terms: Terms, host: HostModel, ensemble: ClusterModel) -> None:
        """Begin without any read."""
        self.terms = terms
        self._host = host
        self._ensemble = ensemble
        self.read: events.ZnodesRead | None = None
        """The last answer that was waited for, on this connection."""
        self.known: list[Products] = []
        """What may be wanted: the last read, and with templates those that may count instead."""
        self._is_settled = True
        """Whether nothing is being rendered, or has yet to be."""
        self._is_lost = False
        """Whether the connection was lost since the last read."""
        self._installed: Snapshot | None = None
        """What was installed or found, None if nothing is known."""
        self._history: int | None = None
        self._since: int | None = None
        """In which history of the servers it was, None if that is not known."""

    def there(self, history: int) -> Snapshot | None:
        """Return what is installed; of another history it is doubtful which znode a file is of."""
        if self._installed is None or self._since in (None, history):
            return self._installed
        return replace(self._installed, zxid=0)

    def see_event(self, moment: "HandledEvent", asked: int) -> None:
        """Take in what happened; `asked` is the number of the read that is waited for."""
        match moment.event:
            case events.ZnodesRead(number) if number == asked and self.terms.inputs.needs_state:
                self.read = moment.event
                self._history = self._ensemble.reads[number]
                there = self.there(self._history)
                products = produced_by_read(self.terms, moment.event, there)
                keeps = bool(self.terms.inputs.templates)
                self.known = [*(self.known if keeps else []), products]
                self._is_lost = False
            case events.RenderFinished(result=result):
                self._is_settled = not (self._is_lost or isinstance(result, NotRendered))
            case events.SessionSuspended() | events.SessionLost():
                # What is rendered does not count any more, and what was wanted still does.
                self._is_lost = True
            case events.CachedFilesFound(snapshot):
                # Nothing shows of which history its zxid is.
                self._installed = replace(snapshot, zxid=0)
            case events.FilesInstalled():
                self._installed, self._since = self._host.files, self._history
        for action in moment.actions:
            match action:
                case actions.RenderTemplates():
                    self._is_settled = False
                case actions.RememberState(snapshot):
                    self._installed, self._since = snapshot, self._history
        if self._is_settled:
            # All that was read last counts by now.
            self.known = self.known[-1:]
