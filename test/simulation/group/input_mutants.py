"""Mistakes that a member could make with trees, templates and variables in its turn, on purpose."""

from typing import Any

from simulation.group.mutants import PROGRESS, Anything, Mutant
from simulation.input_mutants import count_all, leave_variables_out, original_merged
from zkexec.core import tree_files
from zkexec.core.events import ZnodesRead
from zkexec.core.input_options import InputOptions
from zkexec.core.inputs import Inputs
from zkexec.core.policy import Policy
from zkexec.core.production import Reading
from zkexec.core.restart import Restart
from zkexec.core.rollout import situation
from zkexec.core.rollout.participant import Participant
from zkexec.core.rollout.version import ConfigVersion, version_of
from zkexec.core.snapshot import Snapshot, plan
from zkexec.digest import digest_of_parts
from zkexec.frozen import replace


def ignore_removals(self: Reading, inputs: InputOptions) -> int:
    """Count only what was written, and not what was removed."""
    single = (self.znodes[path].mzxid for path in inputs.znodes)
    below = (znode.mzxid for tree in self.trees.values() for znode in tree.znodes.values())
    return max((*single, *below), default=0)


def name_files(snapshot: Snapshot, inputs: InputOptions) -> ConfigVersion:
    """Make the scope of what is in the trees, and not of the options."""
    scope = digest_of_parts({(path.encode(),) for path in snapshot.files})[:12]
    return replace(version_of(snapshot, inputs), scope=scope)


def act_at_once(self: Anything, now: float) -> bool:
    """Rely on the admission alone."""
    found: bool = self._turn.may_stop(now)
    return found


def report_any(self: Anything, snapshot: Snapshot) -> None:
    """Report a version as known good in which nothing has differed."""
    self._at.unrecorded_good = self._at.last_good = self._at.version_of(snapshot)


def restart_for_each(
    self: Anything, known: Snapshot, event: ZnodesRead, found: Any
) -> Snapshot:  # fmt: skip
    """Restart for each version, whether anything differs or not."""
    merged = original_merged(self, known, event, found)
    is_other = self.in_place is not None and self.in_place.digest != merged.digest
    is_same = is_other and not plan(self.in_place, merged)
    return replace(merged, restart=merged.digest[:6]) if is_same else merged


INPUT_MUTANTS = (
    Mutant("removals have no zxid", Reading, "zxid_of", ignore_removals, PROGRESS, seed=20),
    Mutant("the scope is made of what is in the trees", situation, "version_of", name_files,
           "KeepsOneScope", seed=4),
    Mutant("a watch in the turn does not matter", Restart, "_may_act", act_at_once,
           "StopsForCurrentTrees", seed=85),
    Mutant("an unaffected member makes a version known good", Participant, "_report_known_good",
           report_any, "MarksOnlyTheHealthy", seed=140),
    Mutant("an unaffected member takes a turn", Inputs, "_merged", restart_for_each,
           "QueuesForADifference", seed=109),
    Mutant("a change of a variable reloads", Policy, "action_for", leave_variables_out,
           "AppliesByTheStrongestAction", seed=109),
    Mutant("ephemeral znodes count as files", tree_files, "lasting", count_all,
           "InstallsOneState", seed=100),
)  # fmt: skip
