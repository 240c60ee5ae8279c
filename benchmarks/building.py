"""The C programs of the benchmark, built with what the machine has."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import zkexec as zkexec_package

PROGRAMS = Path(__file__).resolve().parent / "programs"


@dataclass(frozen=True)
class Programs:
    """Where everything is that the candidates are made of."""

    stamp: str
    floor: str
    bound: str
    crowd: str
    python: str
    zkexec: str
    package: str
    """What any other Python executes to run zkexec, as `python -m zkexec` does."""
    kazoo_floor: str = str(PROGRAMS / "kazoo_floor.py")
    kazoo_lock: str = str(PROGRAMS / "kazoo_lock.py")
    kazoo_changes: str = str(PROGRAMS / "kazoo_changes.py")
    fork_once: str = str(PROGRAMS / "fork_once.py")


def build(folder: Path) -> Programs:
    """Compile into the folder; SystemExit names what is missing."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    zkexec = Path(sys.executable).with_name("zkexec")
    if compiler is None:
        sys.exit("benchmark: a C compiler is missing; `make benchmark` installs one as root")
    if not zkexec.exists():
        sys.exit(f"benchmark: {zkexec} is missing; `make setup` installs it")
    compiled = ("stamp", "floor", "bound", "crowd")
    for name in compiled:
        source = PROGRAMS / f"{name}.c"
        subprocess.run(
            [compiler, "-O2", "-Wall", "-Wextra", "-o", folder / name, source], check=True
        )
    paths = {name: str(folder / name) for name in compiled}
    package = Path(zkexec_package.__file__).with_name("__main__.py")
    python = sys.executable
    return Programs(**paths, python=python, zkexec=str(zkexec), package=str(package))


def found(*names: str) -> dict[str, str]:
    """Where those of these programs are that the machine has."""
    paths = {name: shutil.which(name) for name in names}
    return {name: path for name, path in paths.items() if path}
