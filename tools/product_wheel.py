"""Build wheels of this checkout, and read what is in them.

The wheel is the one list of what belongs to the product.  The zipapps and the Debian package are
made of its contents, so nothing can be in one of them and missing in another.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from draw_papers import released

ROOT = Path(__file__).resolve().parent.parent
_UNRELEASED = 1580601600
"""The time of all files in an archive of a version that has no date yet: that of hatchling."""


def build_time() -> int:
    """Return the time that all files of an archive get: that of the release, never that of now.

    `SOURCE_DATE_EPOCH` has precedence, as everywhere.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    date = released()
    return (
        int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) if date else _UNRELEASED
    )


def build_by_hatchling(target: str, folder: Path, variables: Mapping[str, str]) -> Path:
    """Build a `wheel` or an `sdist` into this folder; return its path."""
    with tempfile.TemporaryDirectory(prefix="zkexec-hatchling-") as place:
        done = subprocess.run(
            (sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", place),
            cwd=ROOT,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(build_time()), **variables},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"cannot build the {target}:\n{done.stderr}")
        (built,) = Path(place).iterdir()
        return Path(shutil.move(built, folder / built.name))


@dataclass(frozen=True)
class ProductFiles:
    """What a wheel installs: each file with its bytes, by its path."""

    package: Mapping[str, bytes]
    """The package: `zkexec/main.py` and the like."""
    shared: Mapping[str, bytes]
    """What belongs below `share` of a prefix: `man/man1/zkexec.1` and the like."""


def product_files(variables: Mapping[str, str]) -> ProductFiles:
    """Build a wheel with these variables, and return what is in it."""
    with tempfile.TemporaryDirectory(prefix="zkexec-wheel-") as folder:
        wheel = build_by_hatchling("wheel", Path(folder), variables)
        with zipfile.ZipFile(wheel) as archive:
            files = {name: archive.read(name) for name in sorted(archive.namelist())}
    data = ".data/data/share/"
    return ProductFiles(
        {name: content for name, content in files.items() if name.startswith("zkexec/")},
        {name.partition(data)[2]: files[name] for name in files if data in name},
    )
