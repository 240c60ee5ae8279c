"""The extras: which packages they are, which are missing or too old, and what to type then."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from support.waiting import DEADLINE_S
from zkexec.extras import EXTRAS, lacking, lacking_or_old

ROOT = Path(__file__).resolve().parent.parent
PYTHON = os.path.realpath("/proc/self/exe")


def reported(call: str, folder: Path, before: str = "") -> str:
    """What a Python reports that has no packages but those of a folder."""
    path = f"import sys, os; sys.path[:0] = [{str(ROOT / 'src')!r}, {str(folder)!r}]"
    run = subprocess.run(
        # -S leaves out the packages that are installed.
        [PYTHON, "-I", "-S", "-c", f"{path}\n{before}\nfrom zkexec.extras import *; print({call})"],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    return run.stdout.strip()


def install(folder: Path, module: str, name: str, version: str) -> None:
    """Write what is left of an installed package if it does nothing."""
    (folder / module).mkdir()
    (folder / module / "__init__.py").touch()
    written = folder / f"{module}-{version}.dist-info"
    written.mkdir()
    (written / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_the_extras_are_those_of_the_project() -> None:
    """What is looked for has the names and the lowest versions of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    written: dict[str, set[str]] = {}
    for extra, requirements in project["optional-dependencies"].items():
        found = {re.sub(",<[0-9]+$", "", one) for one in requirements}
        written[extra] = found - {"zkexec[exporter]"}
    written["web"] |= written["exporter"]

    assert {
        extra: {f"{one.name}>={one.least}" for one in packages}
        for extra, packages in EXTRAS.items()
    } == written


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_installed_is_not_missed(extra: str) -> None:
    """Nothing is reported if all packages are there."""
    assert (lacking(extra), lacking_or_old(extra)) == ("", "")


def test_a_version_that_is_too_old_is_named(tmp_path: Path) -> None:
    """What is missing, and what is too old, are in one line with the command for all of them."""
    for module, version in (("starlette", "0.40.0"), ("uvicorn", "0.17.6"), ("jinja2", "3.1.2")):
        install(tmp_path, module, module, version)

    line = reported("lacking_or_old('web')", tmp_path)

    assert line.startswith(
        "needs prometheus-client 0.20 or newer and uvicorn 0.30 or newer, not 0.17.6: run "
    )
    assert (
        "-m pip install 'prometheus-client>=0.20' 'starlette>=0.40' 'uvicorn>=0.30' "
        "'jinja2>=3.1.6' (the extra web)" in line
    )
    # Its name on a package index can be a stranger's.
    assert "install zkexec" not in line.replace("'", "")


@pytest.mark.parametrize("is_managed", [False, True])
def test_a_python_of_a_distribution_gets_an_environment(tmp_path: Path, is_managed: bool) -> None:
    """If pip would refuse to install for this Python, the command makes an environment for it."""
    (tmp_path / "os.py").touch()
    if is_managed:
        (tmp_path / "EXTERNALLY-MANAGED").touch()
    before = f"os.__file__ = {str(tmp_path / 'os.py')!r}; sys.argv[0] = '/usr/bin/zkexec'"

    line = reported("lacking('sasl')", tmp_path / "none", before)

    if is_managed:
        templates = reported("lacking('templates')", tmp_path / "none", before)
        if Path("/usr/bin/apt-get").exists():
            command = "apt-get install python3-jinja2 python3-yaml"
            assert templates == f"needs jinja2 and pyyaml: run {command} (the extra templates)"
        assert line == (
            f"needs pure-sasl: run {PYTHON} -m venv /opt/zkexec-python && "
            "/opt/zkexec-python/bin/python -m pip install 'pure-sasl>=0.6.2' (the extra sasl), "
            "and start /opt/zkexec-python/bin/python /usr/bin/zkexec"
        )
    else:
        assert line == (
            f"needs pure-sasl: run {PYTHON} -m pip install 'pure-sasl>=0.6.2' (the extra sasl)"
        )
