"""What the caller's environment says to Python is the command's business, not zkexec's.

The command as it is installed is run, beside this Python: `python -m` would import modules that
a PYTHONPATH can replace before zkexec has a say.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.waiting import DEADLINE_S
from zkexec import __version__

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
NOWHERE = ("--cluster=127.0.0.1:1", "--connect-timeout=0.1")
SHADOWS = (
    *("re", "types", "enum", "socket", "select", "logging", "ssl", "ctypes", "signal"),
    "zkexec",
)


@pytest.fixture
def shadows(tmp_path: Path) -> dict[str, str]:
    """An environment for a program that has modules of its own with well-known names."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the module of the command')\n")
    return environment(PYTHONPATH=str(tmp_path))


def environment(**additions: str) -> dict[str, str]:
    """The present environment without what speaks to Python or to zkexec, and these."""
    spoken = ("PYTHON", "ZKEXEC_")
    return {k: v for k, v in os.environ.items() if not k.startswith(spoken)} | additions


def run(*words: str | bytes | Path, **options: object) -> tuple[int, bytes, bytes]:
    """Run a program to its end: status, stdout and stderr."""
    given = {"capture_output": True, "timeout": DEADLINE_S, **options}
    done = subprocess.run(words, check=False, **given)  # type: ignore[call-overload]
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["zkexec", "zkexecctl"])
def test_modules_of_the_command_are_not_imported(shadows: dict[str, str], name: str) -> None:
    """With a PYTHONPATH full of the command's own modules both commands work."""
    status, out, err = run(BIN / name, "--version", env=shadows)

    assert (status, err) == (0, b"")
    assert out.split()[:2] == [name.encode(), __version__.encode()]


def test_the_command_gets_them(shadows: dict[str, str]) -> None:
    """zkexec connects, and the command's environment is the caller's, byte for byte."""
    variables = {
        "PYTHONHOME": sys.base_prefix,
        "PYTHONWARNINGS": "error",
        "PYTHONINSPECT": "1",
        "odd.name-": "1",
        "LC_ALL": "C",
    }
    given = {**shadows, **variables}
    words = (*NOWHERE, "--health=true", "--", "/usr/bin/env", "-0")
    status, out, err = run(BIN / "zkexec", *words, env=given)

    assert (status, out) == run("/usr/bin/env", "-0", env=given)[:2]
    assert {f"{name}={value}".encode() for name, value in given.items()} == set(
        out.split(b"\0")[:-1]
    )
    assert b"connecting to 127.0.0.1:1" in err
    assert b"Warning" not in err


def test_checks_and_alerts_get_them(shadows: dict[str, str], tmp_path: Path) -> None:
    """A health check and an alert see the PYTHONPATH of the caller."""
    ask = f'echo "$PYTHONPATH" >>{tmp_path}'
    checked = f"--health={ask}/checked"
    words = (*NOWHERE, "-s", "-d", "0", checked, f"--alert={ask}/alerted", "--", "sh", "-c")
    script = f"until [ -e {tmp_path}/checked ]; do sleep 0.1; done; exit 7"

    assert run(BIN / "zkexec", *words, script, env=shadows)[0] == 7
    assert (tmp_path / "checked").read_text() == (tmp_path / "alerted").read_text() != "\n"


def test_words_and_statuses_pass(shadows: dict[str, str], tmp_path: Path) -> None:
    """Arguments that are no text pass, and so do an exit code and a death by a signal."""
    zkexec = tmp_path / "link"
    zkexec.symlink_to(BIN / "zkexec")
    script = 'printf "%s|" "$@"; exit 9'
    odd = (b"\xff\xfe", b"", b"a b", b"-E")
    words = (*NOWHERE, "-s", "--", "sh", "-c")

    assert run(zkexec, *words, script, "sh", *odd, env=shadows)[:2] == (9, b"|".join([*odd, b""]))
    assert run(zkexec, *words, "kill -HUP $$", env=shadows)[0] == -signal.SIGHUP


@pytest.mark.parametrize("module", ["zkexec", "zkexec.ctl"])
def test_a_zkexec_on_the_path_is_itself(tmp_path: Path, module: str) -> None:
    """Where PYTHONPATH is how zkexec itself is found, `python -m` runs that one to its end."""
    shutil.copytree(ROOT / "src" / "zkexec", tmp_path / "zkexec")
    (tmp_path / "zkexec" / "__init__.py").write_text('__version__ = "of the path"\n')
    (tmp_path / "socket.py").write_text("raise SystemExit('the module of the command')\n")
    given = environment(PYTHONPATH=str(tmp_path))
    status, out, _ = run(sys.executable, "-m", module, "--version", env=given)

    assert status == 0
    assert out.split(maxsplit=1)[1].startswith(b"of the path")


def test_the_working_directory_is_not_searched_first(shadows: dict[str, str]) -> None:
    """`python -m zkexec` where the command's own modules lie finds Python's."""
    folder = Path(shadows["PYTHONPATH"])
    (folder / "types.py").unlink()  # runpy, which is Python's, imports these
    for name in ("re", "enum", "zkexec"):
        (folder / f"{name}.py").unlink()
    words = (*NOWHERE, "-s", "--", "echo", "fine")

    assert (
        run(sys.executable, "-m", "zkexec", *words, env=environment(), cwd=folder)[1] == b"fine\n"
    )
