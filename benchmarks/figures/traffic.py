"""Requests and bytes of a member in a rollout, in simulated groups of growing size."""

from benchmarks.results import Claim, Table
from benchmarks.stage import Stage
from zkexec.core.policy import MaxUnavailable

SIZES, SIZES_IF_QUICK = (10, 50, 200, 1_000), (10, 50)
TURN_S = 2.5


def measure(stage: Stage) -> list[Table]:
    """Roll out through groups in virtual time; they are those of docs/scaling.md."""
    # The simulation is large, and a run without this figure need not know it.
    from simulation.group.measure import measure as rolled_out  # noqa: PLC0415

    requests = Table("requests", "requests of a member and rollout, simulated", "requests")
    exchanged = Table("bytes", "bytes of a member and rollout, simulated", "bytes")
    sizes = SIZES_IF_QUICK if stage.is_quick else SIZES
    for size in sizes:
        row = rolled_out(size, MaxUnavailable(1), TURN_S)
        requests.add(_name(size), row.requests)
        exchanged.add(_name(size), row.bytes_per_member)
    smallest, largest = _name(sizes[0]), _name(sizes[-1])
    requests.claims = [Claim(f"requests, {_name(size)}", _name(size), "", 12, 10) for size in sizes]
    exchanged.references = (smallest,)
    growth = f"bytes of a member, {largest}"
    exchanged.claims = (Claim(growth, largest, smallest, 1.1, 1.05),)
    return [requests, exchanged]


def _name(size: int) -> str:
    return f"{size:,} members"
