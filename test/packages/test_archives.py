"""The wheel and the source archive in fresh environments, and the zipapps in an empty Debian."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from packages.empty_root import ROLLOUT, EmptyRoot, rollout_in
from support.waiting import DEADLINE_S

PAPERS = (
    "man/man1/zkexec.1",
    "man/man1/zkexecctl.1",
    "bash-completion/completions/zkexecctl",
    "zsh/site-functions/_zkexecctl",
    "fish/vendor_completions.d/zkexecctl.fish",
    "zkexec/status.schema.json",
)


def run(*words: str | Path, **variables: str) -> str:
    """Run a program, and return what it printed; it has to succeed."""
    done = subprocess.run(
        words,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S * 5,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module", params=["*.whl", "*.tar.gz"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel, or with what pip builds of the source archive."""
    (archive,) = Path(os.environ["ZKEXEC_DIST"]).glob(request.param)
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--quiet", f"zkexec[templates] @ {archive.as_uri()}")
    return folder


def test_a_rollout_with_an_installed_archive(
    environment: Path, cluster: str, tmp_path: Path
) -> None:
    """The commands of the environment push, stop at a bad configuration, and undo."""
    path = f"{environment / 'bin'}:{os.environ['PATH']}"

    printed = run("env", f"--chdir={tmp_path}", ROLLOUT, ZKEXEC_CLUSTER=cluster, PATH=path)

    assert printed.endswith("rollout: passed\n")


def test_an_installed_archive_brings_its_papers(environment: Path) -> None:
    """Man pages, completions and the schema are below the prefix, and man finds the pages."""
    assert [name for name in PAPERS if not (environment / "share" / name).is_file()] == []
    # Like a shell that has the environment first on its PATH: man goes from bin to share.
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    page = run("man", "-w", "zkexec", PATH=path, MANPATH="")
    assert page == f"{environment / 'share' / 'man' / 'man1' / 'zkexec.1'}\n"


def test_a_rollout_with_the_zipapps(empty_root: EmptyRoot, dist: Path, cluster: str) -> None:
    """Copied to the PATH of a host that has only a Python, the zipapps are the two commands."""
    for name in ("zkexec", "zkexecctl"):
        empty_root.copy(dist / f"{name}.pyz", f"/usr/local/bin/{name}")

    assert rollout_in(empty_root, cluster).endswith("rollout: passed\n")


def test_the_checksums_match(dist: Path) -> None:
    """`sha256sum` finds every archive as it was built."""
    printed = run("env", f"--chdir={dist}", "sha256sum", "--check", "SHA256SUMS")

    assert printed.count(": OK\n") == len(list(dist.iterdir())) - 1


def test_the_source_archive_builds_equal_packages(dist: Path, tmp_path: Path) -> None:
    """What is built of the source archive, later and in another folder, has equal bytes."""
    (archive,) = dist.glob("*.tar.gz")
    run("tar", f"--directory={tmp_path}", "--extract", "--file", archive)
    source, again = next(tmp_path.iterdir()), tmp_path / "again"

    run(sys.executable, source / "tools" / "build_dist.py", again, "wheel", "pyz", "deb")

    sums = set((again / "SHA256SUMS").read_text().splitlines())
    assert len(sums) == 4
    assert sums < set((dist / "SHA256SUMS").read_text().splitlines())
