"""The form of an action: what an operator has typed into it, and doing it.

A form has the mark of the record that it was made for.  If another operator acts in between, or a
version fails, the action is refused, and the form is shown again with what is true now.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from zkexec.cli import converters
from zkexec.core.rollout.record import AuditEntry
from zkexec.ctl.arguments import LONGEST_TEXT, ClusterOptions, Invocation
from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.command.steer import operate
from zkexec.ctl.operation_store import OperationBasis, OperationStore
from zkexec.ctl.record_mark import record_mark
from zkexec.ctl.web.cluster_thread import READ_S, Job
from zkexec.frozen import frozen
from zkexec.group.paths import Paths
from zkexec.znode_paths import group_path

Value = TypeVar("Value")

FIELDS = ("by", "reason", "member", "force", "hold")
"""What an operator types; each is a text, and "" if it was left out."""


@frozen()
class ActionForm:
    """An action on a group, and what was typed."""

    name: str
    action: str
    fields: Mapping[str, str]

    @property
    def member(self) -> str:
        """The member that the action is about, or ""."""
        return self.fields["member"] if self.action == "forget" else ""

    def mark(self) -> Job[str]:
        """Return the job that reads the mark of the record as it is now."""

        def job(cluster: ClusterConnection) -> str:
            paths = Paths(cluster.chroot, group_path(self.name))
            about = AuditEntry(self.action, "", "", "", self.member)
            store = OperationStore(self.name, paths, about, lambda: cluster.lacks_multi_read)
            basis: OperationBasis = cluster.run(store.read, READ_S)
            return record_mark(basis.record, self.member)

        return job

    def act(self, connection: ClusterOptions, mark: str) -> Job[str]:
        """Return the job that does it → what was done; ValueError if a field is wrong."""
        hold = self.fields["hold"] if self.action == "approve" else ""
        invocation = Invocation(
            subcommand=self.action,
            connection=connection,
            lock=converters.lock_name(self.name),
            member=_read("member", converters.member_id, self.member) if self.member else "",
            by=_line("who", self.fields["by"]),
            reason=_line("why", self.fields["reason"]),
            hold=_read("hold", converters.hold, hold) if hold else None,
            force=bool(self.fields["force"]),
        )
        if self.action == "forget" and not invocation.member:
            raise ValueError("the member is missing")
        return lambda cluster: operate(invocation, cluster, mark)


def form_of(name: str, action: str, given: Mapping[str, str]) -> ActionForm:
    """Return the form with what is given of its fields."""
    return ActionForm(name, action, {field: given.get(field, "").strip() for field in FIELDS})


def _line(what: str, text: str) -> str:
    if not text:
        raise ValueError(f"{what} is missing")
    if not text.isprintable() or len(text) > LONGEST_TEXT:
        raise ValueError(f"{what} is not one printable line of at most {LONGEST_TEXT} characters")
    return text


def _read(what: str, parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except ValueError as mistake:
        raise ValueError(f"{what}: {converters.shown(text)} {mistake}") from None
