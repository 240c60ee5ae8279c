"""Mistakes that the core could make with trees, templates and variables, on purpose."""

from collections.abc import Callable, Mapping
from typing import Any

from simulation.mutants import PROGRESS, Anything, Mutant, private
from simulation.target_disk import TargetDisk
from zkexec.core import tree_files
from zkexec.core.actions import Action
from zkexec.core.events import RenderFinished, ZnodesRead
from zkexec.core.inputs import Inputs
from zkexec.core.policy import ChangeAction, Policy
from zkexec.core.production import Production, Reading
from zkexec.core.rendering_result import RenderResult
from zkexec.core.restart import Restart
from zkexec.core.snapshot import Plan, Snapshot, Tree, Znode
from zkexec.core.template_rendering import TemplateRendering
from zkexec.frozen import replace

original_merged: Callable[..., Snapshot] = getattr(Inputs, "_merged")  # noqa: B009 -- it is private
original_action_for = Policy.action_for
original_rendered = private(Inputs, "_on_rendered")
original_snapshot = Production.snapshot


def merge_what_is_usable(
    self: Anything, known: Snapshot, event: ZnodesRead, found: Any
) -> Snapshot:
    """Replace what cannot be used by what is installed, and take the rest."""
    problems, self.problems = self.problems, {}
    merged = original_merged(self, known, event, found)
    self.problems = problems
    return replace(merged, files={**known.files, **merged.files}) if problems else merged


def leave_variables_out(self: Policy, changes: Plan) -> ChangeAction:
    """Count the files alone."""
    if not changes.changed and changes.variables:
        return ChangeAction.RELOAD
    return original_action_for(self, replace(changes, variables=()))


def take_last_result(self: Anything, reading: Reading) -> RenderResult | None:
    """Take the last result, whatever was rendered."""
    del reading
    found: RenderResult | None = self._result
    return found


def take_older_result(self: Anything, event: RenderFinished, now: float) -> list[Action]:
    """Let an older read count after a newer one."""
    self._counted = 0
    found: list[Action] = original_rendered(self, event, now)
    return found


def count_all(tree: Tree) -> Mapping[str, Znode]:
    """Count ephemeral znodes as well."""
    return dict(tree.znodes)


def forget_variables(self: Any, *rest: Any) -> Snapshot:
    """Leave the variables out of the snapshot."""
    return replace(original_snapshot(self, *rest), variables={})


def remember_old_version(self: Anything) -> list[Action]:
    """Do not take the version in which nothing differs."""
    del self
    return []


INPUT_MUTANTS = (
    Mutant("what cannot be used is replaced by what is installed", Inputs, "_merged",
           merge_what_is_usable, "StagesWhatWasRead"),
    Mutant("a change of a variable reloads", Policy, "action_for", leave_variables_out,
           "RestartsForVariables"),
    Mutant("a rendering is taken for other inputs", TemplateRendering, "result_of",
           take_last_result, "StagesWhatWasRead"),
    Mutant("an older rendering counts after a newer one", Inputs, "_on_rendered",
           take_older_result, "InstallsOneState"),
    Mutant("ephemeral znodes count as files", tree_files, "lasting", count_all,
           "StagesWhatWasRead"),
    Mutant("variables are forgotten", Production, "snapshot", forget_variables,
           "StagesWhatWasRead"),
    Mutant("a version in which nothing differs is not remembered", Restart, "_take_version",
           remember_old_version, PROGRESS),
    Mutant("the state file is forgotten", TargetDisk, "_is_ours", lambda *_: False,
           "TouchesNoForeignFile"),
)  # fmt: skip
