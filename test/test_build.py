"""zkexec as it is built and installed, with its compiled starter and without."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARE = ROOT / "share"
DEADLINE_S = 300.0
NO_COMPILER = {"CC": "/no/such/compiler"}
STRICT = {"ZKEXEC_BUILD_STARTER": "1", "CFLAGS": "-Wall -Wextra -Werror"}
NOWHERE = ("--cluster=127.0.0.1:1", "--connect-timeout=0.1", "--silent", "--health=true")

needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") and Path(sysconfig.get_path("include"), "Python.h").exists()),
    reason="this machine has no C compiler, or not the headers of this Python",
)


def run(*words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    given = {"capture_output": True, "timeout": DEADLINE_S, "text": True, **options}
    return subprocess.run(words, check=False, **given)  # type: ignore[call-overload,no-any-return]


def build(
    kind: str, into: Path, variables: dict[str, str], root: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Build a wheel or an sdist in this folder, with these variables."""
    words = (sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", into)
    kept = {k: v for k, v in os.environ.items() if k not in (*STRICT, *NO_COMPILER)}
    return run(*words, cwd=root, env={**kept, **variables})


def only_file(folder: Path) -> Path:
    """Return the one file of a folder."""
    (file,) = folder.iterdir()
    return file


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel into an environment of its own; return the folder of its commands."""
    assert run(sys.executable, "-m", "venv", "--without-pip", folder).returncode == 0
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    done = run(*pip, "install", "--no-deps", "--no-index", wheel)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def starts(commands: Path) -> tuple[str, str]:
    """Whether an installed zkexec has the starter, and what a command printed that it ran."""
    version = run(commands / "zkexec", "--version").stdout
    return version.partition("(")[2], run(
        commands / "zkexec", *NOWHERE, "--", "echo", "runs"
    ).stdout


@needs_compiler
def test_an_installed_zkexec_has_the_starter(tmp_path: Path) -> None:
    """Out of the sdist a wheel for any later Python is built, without a warning of the compiler."""
    assert build("sdist", tmp_path / "sdist", {}).returncode == 0
    source = tmp_path / "source"
    source.mkdir()
    run("tar", "--extract", "--file", only_file(tmp_path / "sdist"), cwd=source)
    done = build("wheel", tmp_path / "wheel", STRICT, only_file(source))
    assert done.returncode == 0, done.stderr
    wheel = only_file(tmp_path / "wheel")

    assert "-cp311-abi3-linux_" in wheel.name
    assert starts(install(wheel, tmp_path / "venv")) == ("compiled starter)\n", "runs\n")


def test_an_installed_zkexec_needs_no_starter(tmp_path: Path) -> None:
    """Without a compiler there is a line about it, and the wheel is for every system, and works."""
    done = build("wheel", tmp_path / "wheel", NO_COMPILER)
    wheel = only_file(tmp_path / "wheel")

    reason = "cannot execute /no/such/compiler: No such file or directory"
    assert done.stderr.splitlines()[0] == f"zkexec: no compiled starter: {reason}"
    assert wheel.name.endswith("-py3-none-any.whl")
    assert starts(install(wheel, tmp_path / "venv")) == ("no compiled starter)\n", "runs\n")


def test_the_starter_can_be_left_out(tmp_path: Path) -> None:
    """With ZKEXEC_BUILD_STARTER=0 it is not built, and nothing is printed about it."""
    done = build("wheel", tmp_path, {"ZKEXEC_BUILD_STARTER": "0"})
    wheel = only_file(tmp_path)

    assert "compiled" not in done.stderr
    names = zipfile.ZipFile(wheel).namelist()
    assert "zkexec/process/compiled_starter.py" in names
    assert not [name for name in names if name.endswith((".so", ".c"))]


def test_the_papers_are_in_the_wheel_twice(tmp_path: Path) -> None:
    """Below the prefix, where man and the shells look, and as resources of the package."""
    assert build("wheel", tmp_path, {"ZKEXEC_BUILD_STARTER": "0"}).returncode == 0
    with zipfile.ZipFile(only_file(tmp_path)) as wheel:
        names = wheel.namelist()

    below_prefix = [name.partition(".data/data/share/")[2] for name in names]
    resources = [name.partition("zkexec/share/")[2] for name in names if ".data" not in name]
    files = {str(path.relative_to(SHARE)) for path in SHARE.rglob("*") if path.is_file()}
    assert {"man/man1/zkexec.1", "systemd/system/zkexec@.service"} <= files
    assert set(below_prefix) - {""} == set(resources) - {""} == files


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({**NO_COMPILER, "ZKEXEC_BUILD_STARTER": "1"}, "cannot execute /no/such/compiler: No such"),
        ({"ZKEXEC_BUILD_STARTER": "yes"}, "ZKEXEC_BUILD_STARTER: 'yes' is none of auto, 0, 1"),
    ],
)
def test_the_starter_can_be_demanded(
    tmp_path: Path, variables: dict[str, str], reason: str
) -> None:
    """With ZKEXEC_BUILD_STARTER=1 it is an error if it cannot be built, as is any other word."""
    done = build("wheel", tmp_path, variables)

    assert done.returncode != 0
    assert reason in done.stderr
    assert not list(tmp_path.glob("*.whl"))
