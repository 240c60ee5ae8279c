"""Whom a push is for: the group that mirrors the znodes, and how it stands before the push."""

import time
from collections.abc import Iterable

from zkexec.operator import sentences
from zkexec.operator.cluster import Cluster
from zkexec.operator.looking import Lookout
from zkexec.operator.outcome import OperatorError
from zkexec.operator.sight import Sight, State


def look_at(cluster: Cluster, lock: str) -> Sight:
    """What there is to see of the group."""
    return next(iter(Lookout(cluster, lock, live=False).look()))


def told(sight: Sight) -> str:
    """How the group stands, in one line."""
    now = time.time()
    parts = [sentences.standing(sight, now)]
    if sight.state not in (State.GONE, State.EMPTY):
        parts.append(f"{len(sight.members)} alive")
    parts += [sentences.pause(sight, now), sentences.failure(sight, now)]
    return "; ".join(part for part in parts if part)


def demand_mirrored(sight: Sight, paths: Iterable[str]) -> None:
    """Raise OperatorError where a rollout of these paths would never be seen in the group."""
    mirrored = {path for seen in sight.members.values() if seen.facts for path in seen.facts.inputs}
    for path in paths:
        if path not in mirrored:
            whole = ", ".join(sorted(mirrored))
            found = f"its members mirror {whole}" if whole else "no member tells what it mirrors"
            raise OperatorError(
                f"--wait: no living member of {sight.name} mirrors {path} ({found}); "
                "nothing was pushed"
            )
