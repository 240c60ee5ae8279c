"""The command lines of everything that is compared."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.building import found
from benchmarks.stage import Stage
from benchmarks.stamps import Stamps

ZKEXEC = "zkexec"
KAZOO_FLOOR = "kazoo floor"
FLOOR = "floor in C"
LOCK_FLOOR = "bare kazoo lock"
OTHERS = ("dumb-init", "tini")
RELOAD = "reload"
"""The option of the child that stamps again at each HUP."""
INTERPRETER = "python -I -c pass"
SYSTEM_PYTHON = Path("/usr/bin/python3")


def mirrors(folder: Path, znodes: Sequence[str]) -> dict[str, str]:
    """A local file for each znode."""
    return {str(folder / str(index)): znode for index, znode in enumerate(znodes)}


def child(stage: Stage, fifo: Stamps, file: str = "", *options: str) -> list[str]:
    """The child, which stamps into the FIFO what its file begins with."""
    return [stage.programs.stamp, fifo.path, *([file] if file else []), *options]


def zkexec(
    stage: Stage, files: Mapping[str, str], command: Sequence[str], *options: str, hosts: str = ""
) -> list[str]:
    """The command line of zkexec itself; `hosts` are others than the server, such as a proxy."""
    words = [word for pair in files.items() for word in ("--mirror", "=".join(pair))]
    cluster = ("--cluster", hosts or stage.server.hosts)
    return [stage.programs.zkexec, *cluster, *words, *options, "--", *command]


def kazoo_floor(stage: Stage, files: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """The bare script."""
    programs = stage.programs
    pairs = ["=".join(pair) for pair in files.items()]
    return [programs.python, programs.kazoo_floor, stage.server.hosts, *pairs, "--", *command]


def kazoo_lock(
    stage: Stage, lock: str, files: Mapping[str, str], command: Sequence[str]
) -> list[str]:
    """The bare script that takes turns."""
    programs = stage.programs
    pairs = ["=".join(pair) for pair in files.items()]
    begin = [programs.python, programs.kazoo_lock, stage.server.hosts, lock]
    return [*begin, *pairs, "--", *command]


def has_system_python() -> bool:
    """Whether the distribution has a Python of its own, other than that of this environment."""
    return SYSTEM_PYTHON.exists() and SYSTEM_PYTHON.resolve() != Path(sys.executable).resolve()


def wrappers(command: Sequence[str]) -> dict[str, list[str]]:
    """Those of Debian's wrappers that this machine has."""
    return {name: [path, "--", *command] for name, path in found(*OTHERS).items()}


def bound(stage: Stage, command: list[str]) -> list[str]:
    """The same command, which ends when the harness does."""
    return [stage.programs.bound, *command]
