"""The zipapps, as `make pyz` builds them."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.sandbox import TEST, Sandbox
from support.waiting import DEADLINE_S, until_line
from support.web_server import WebServer

ROOT = TEST.parent
PROGRAMS = ("zkexec", "zkexecctl")
IMPORT_ALL = """
import sys, zipfile
from importlib import import_module
sys.path.insert(0, sys.argv[1])
for name in zipfile.ZipFile(sys.argv[1]).namelist():
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if name.startswith("zkexec/") and name.endswith(".py") and not name.endswith("__main__.py"):
        print(import_module(module).__file__)
"""


def build(folder: Path, **variables: str) -> Path:
    """Build both zipapps into this folder."""
    command = (sys.executable, ROOT / "tools" / "build_dist.py", folder, "pyz")
    environment = {**os.environ, **variables}
    subprocess.run(command, check=True, env=environment, cwd=folder.parent, timeout=DEADLINE_S)
    return folder


@pytest.fixture(scope="module")
def zipapps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both zipapps."""
    return build(tmp_path_factory.mktemp("zipapps") / "dist")


def output(*words: str | Path, **variables: str) -> str:
    """Run a program with this Python first on the PATH, and return its stdout."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, **variables}
    return subprocess.run(
        words, env=environment, check=True, capture_output=True, text=True, timeout=DEADLINE_S
    ).stdout


def test_they_start_and_print_their_version(zipapps: Path) -> None:
    """Each is one file that can be executed; the compiled starter cannot be inside."""
    assert output(zipapps / "zkexec.pyz", "--version") == "zkexec 0.1.0 (no compiled starter)\n"
    assert output(zipapps / "zkexecctl.pyz", "--version") == "zkexecctl 0.1.0\n"


def test_the_checksums_are_those_of_the_files(zipapps: Path) -> None:
    """SHA256SUMS lists both, in the format of sha256sum."""
    sums = dict(line.split()[::-1] for line in (zipapps / "SHA256SUMS").read_text().splitlines())

    assert sums == {
        f"{name}.pyz": hashlib.sha256((zipapps / f"{name}.pyz").read_bytes()).hexdigest()
        for name in PROGRAMS
    }


def test_equal_sources_give_equal_bytes(zipapps: Path, tmp_path: Path) -> None:
    """A build with another time, hash seed and folder gives the same checksums."""
    again = build(tmp_path / "another folder", PYTHONHASHSEED="7", TZ="Asia/Tokyo")

    assert (again / "SHA256SUMS").read_text() == (zipapps / "SHA256SUMS").read_text()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_module_inside_can_be_imported(zipapps: Path, program: str) -> None:
    """What one of the two leaves out, no module in it needs; and byte code is used for each."""
    archive = zipapps / f"{program}.pyz"

    loaded = output(sys.executable, "-I", "-c", IMPORT_ALL, archive).split()

    assert len(loaded) > 100
    assert [path for path in loaded if not path.startswith(f"{archive}/zkexec/")] == []
    assert [path for path in loaded if not path.endswith(".pyc")] == []


@pytest.mark.parametrize("path", ["zkexec/status.schema.json", "man/man1/zkexec.1"])
def test_the_shared_files_are_inside(zipapps: Path, path: str) -> None:
    """A zipapp installs nothing, but man pages, completions and the like can be taken from it."""
    with zipfile.ZipFile(zipapps / "zkexecctl.pyz") as archive:
        assert archive.read(f"zkexec/share/{path}") == (ROOT / "share" / path).read_bytes()


def test_completions_and_the_web_page_come_out_of_the_zipapp(
    zipapps: Path, sandbox: Sandbox
) -> None:
    """A file in the zipapp is read as one on the disk: completions, templates, style sheets."""
    completion = ROOT / "share" / "fish" / "vendor_completions.d" / "zkexecctl.fish"
    archive = zipapps / "zkexecctl.pyz"
    assert completion.read_text() in output(archive, "completion", "fish")

    listen = ("web", "--cluster=127.0.0.1:1", "--listen=127.0.0.1:0")
    browser = WebServer(sandbox.start(sys.executable, archive, *listen)).browser()
    page = browser.get("/").text
    style = re.search(r'href="(/static/page\.\w+\.css)"', page)

    assert style is not None, page
    assert browser.get(style[1]).status == 200


def test_the_modules_of_the_command_are_not_taken(zipapps: Path, tmp_path: Path) -> None:
    """With a PYTHONPATH full of the command's own modules it works, and hands it on unchanged."""
    for name in ("types", "os", "zkexec", "signal", "runpy", "collections"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the command')\n")
    words = ("--cluster=127.0.0.1:1", "--silent", "--", "sh", "-c", "echo $PYTHONPATH")

    printed = output(zipapps / "zkexec.pyz", *words, PYTHONPATH=str(tmp_path))

    assert printed == f"{tmp_path}\n"
    assert output(zipapps / "zkexecctl.pyz", "--version", PYTHONPATH=str(tmp_path))


def test_a_change_is_applied_after_the_zipapp_was_replaced(
    zipapps: Path, host: MirroredHost, sandbox: Sandbox
) -> None:
    """An update on the disk does not touch a zkexec that runs: it applies changes, and alerts."""
    own, alerts = sandbox.folder / "zkexec.pyz", sandbox.folder / "alerts"
    shutil.copy(zipapps / "zkexec.pyz", own)
    host.create(a=b"one")
    options = (
        *host.mirrors("a"),
        f"--alert={quoted('sh', '-c', 'echo $ZKEXEC_EVENT >>$0', alerts)}",
        "--lock=/replaced",
        "--member-id=one",
        "--health=true",
        f'--check={quoted("sh", "-c", "! grep wrong $1", "sh")} "$1"',
    )
    run = host.start(*options, f"--exec={host.recorder('a')}", program=(own,))
    host.born()

    os.replace(shutil.copy(zipapps / "zkexecctl.pyz", sandbox.folder / "new"), own)
    host.set(a=b"wrong")
    until_line(alerts, "restart-failed")
    host.set(a=b"two")
    second = host.born_with(a="two")

    assert host.births()[-1] == second
    run.end()
    assert not run.stderr.matching("internal")
