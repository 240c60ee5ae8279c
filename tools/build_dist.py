"""Build what can be installed, into one folder with SHA256SUMS.

    python tools/build_dist.py FOLDER [wheel] [sdist] [pyz] [deb]

Nothing named means everything.  Equal sources give equal bytes, whenever and in which folder they
are built, as long as the Python and the compiler are the same.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from debian_package import debian_package
from product_wheel import build_by_hatchling, build_time, product_files
from zipapps import write_zipapp

PROGRAMS = ("zkexec", "zkexecctl")
SUMS = "SHA256SUMS"


def build_zipapps(folder: Path) -> None:
    """Build both zipapps; the compiled starter cannot be loaded from one and is left out."""
    package = product_files({"ZKEXEC_BUILD_STARTER": "0"}).package
    for program in PROGRAMS:
        write_zipapp(folder, program, package, build_time())


BUILDERS: dict[str, Callable[[Path], object]] = {
    "wheel": lambda folder: build_by_hatchling("wheel", folder, {"ZKEXEC_BUILD_STARTER": "1"}),
    "sdist": lambda folder: build_by_hatchling("sdist", folder, {}),
    "pyz": build_zipapps,
    "deb": debian_package,
}


def write_sums(folder: Path) -> str:
    """Write the checksums of all that is in the folder, for `sha256sum --check`."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    sums = "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files
    )
    (folder / SUMS).write_text(sums, encoding="utf-8")
    return sums


def main(folder: Path, kinds: Iterable[str]) -> None:
    """Build these kinds, all of them if none is named."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds or BUILDERS:
        BUILDERS[kind](folder.resolve())
    print(write_sums(folder), end="")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not BUILDERS.keys() >= set(sys.argv[2:]):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
