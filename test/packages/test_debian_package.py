"""The Debian package, installed into an empty Debian 12 and purged from it."""

import re
import subprocess
from pathlib import Path

import pytest

from packages.empty_root import EmptyRoot, rollout_in
from support.waiting import DEADLINE_S

COMPLETE = """
. /usr/share/bash-completion/bash_completion
_completion_loader $0
COMP_WORDS=($0 --vers) COMP_CWORD=1 COMP_LINE="$0 --vers" COMP_POINT=${#COMP_LINE}
$(complete -p $0 | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
echo "${COMPREPLY[@]}"
"""


def package(dist: Path) -> Path:
    """Return the one package of the folder."""
    (found,) = dist.glob("*.deb")
    return found


@pytest.fixture
def installed(empty_root: EmptyRoot, dist: Path) -> EmptyRoot:
    """A root in which the package is installed."""
    empty_root.copy(package(dist), "/tmp/zkexec.deb")
    empty_root.run("dpkg", "--install", "/tmp/zkexec.deb")
    return empty_root


def test_lintian_finds_nothing(dist: Path) -> None:
    """Debian's own checks of packages have neither an error nor a warning."""
    words = ("lintian", "--allow-root", "--fail-on", "error,warning", package(dist))
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=DEADLINE_S)

    assert (done.returncode, done.stdout) == (0, "")


def test_a_rollout(installed: EmptyRoot, cluster: str) -> None:
    """The installed commands push, stop at a bad configuration, and undo."""
    assert rollout_in(installed, cluster).endswith("rollout: passed\n")
    assert "(compiled starter)" in installed.run("zkexec", "--version")


@pytest.mark.parametrize("name", ["zkexec", "zkexecctl"])
def test_its_papers_are_found(installed: EmptyRoot, name: str) -> None:
    """man finds the page of each command, and bash completes its options."""
    assert installed.run("man", "-w", name) == f"/usr/share/man/man1/{name}.1.gz\n"
    assert installed.run("bash", "-c", COMPLETE, name) == "--version\n"


@pytest.mark.parametrize("page", ["metrics", "status"])
def test_its_pages_lead_to_the_shared_files(installed: EmptyRoot, page: str) -> None:
    """The links of a page to the rules, the example and the schema lead to installed files."""
    path = installed.path(f"/usr/share/doc/zkexec/docs/{page}.md")
    links = re.findall(r"\]\(([^)#]+[.](?:yml|json))\)", path.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_python_variables_are_for_the_command(installed: EmptyRoot) -> None:
    """Modules of the command and a wrong PYTHONHOME do no harm, and the command gets them."""
    installed.path("/srv/types.py").write_text("raise SystemExit('a module of the command')\n")
    words = ("zkexec", "--cluster=127.0.0.1:1", "--silent", "--", "sh", "-c", "echo $PYTHONPATH")

    assert installed.run(*words, PYTHONPATH="/srv", PYTHONHOME="/nowhere") == "/srv\n"


def test_a_purge_leaves_nothing(empty_root: EmptyRoot, dist: Path) -> None:
    """A purge removes all that was installed, compiled and remembered, but no operator's file."""
    before = empty_root.files()
    empty_root.copy(package(dist), "/tmp/zkexec.deb")
    empty_root.run("dpkg", "--install", "/tmp/zkexec.deb")
    empty_root.run("zkexec", "--cluster=127.0.0.1:1", "--silent", "--", "true")
    empty_root.path("/etc/zkexec/web.env").write_text("ZKEXEC_EXEC=web\n")
    empty_root.path("/var/lib/zkexec/web").mkdir(parents=True)
    wants = empty_root.path("/etc/systemd/system/multi-user.target.wants")
    wants.mkdir(parents=True, exist_ok=True)
    for unit in empty_root.path("/lib/systemd/system").glob("zkexec*"):
        (wants / unit.name).symlink_to(f"/lib/systemd/system/{unit.name}")
    added = empty_root.files() - before
    assert {"usr/bin/zkexec", "var/lib/zkexec/web", "etc/zkexec/README"} <= added

    empty_root.run("dpkg", "--purge", "zkexec")

    left = {path for path in empty_root.files() - before if not path.startswith("etc/systemd")}
    assert left == {"etc/zkexec", "etc/zkexec/web.env"}
    assert not list(wants.glob("zkexec*"))


def test_a_purge_keeps_the_units_of_an_operator(installed: EmptyRoot) -> None:
    """Services that run from a unit in /etc keep their link and their state."""
    unit = installed.path("/etc/systemd/system/zkexec@.service")
    unit.write_text("[Service]\nExecStart=/opt/zkexec/bin/zkexec\n")
    link = installed.path("/etc/systemd/system/multi-user.target.wants/zkexec@web.service")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("/etc/systemd/system/zkexec@.service")
    installed.path("/var/lib/zkexec/web").mkdir(parents=True)

    installed.run("dpkg", "--purge", "zkexec")

    assert link.is_symlink()
    assert installed.path("/var/lib/zkexec/web").is_dir()


def test_another_python_ignores_what_is_for_the_command(installed: EmptyRoot) -> None:
    """Started by a Python that was named, it leaves out what PYTHONPATH leads to as well."""
    folder = installed.path("/tmp/app")
    folder.mkdir()
    (folder / "re.py").write_text('raise SystemExit("a module of the command")\n')

    words = ("env", "PYTHONPATH=/tmp/app", "/usr/bin/python3", "/usr/bin/zkexec", "--version")

    assert "zkexec " in installed.run(*words)


def test_an_upgrade_keeps_what_an_operator_wrote(installed: EmptyRoot) -> None:
    """The package can be installed again over itself, and removed without its settings."""
    installed.path("/etc/zkexec/web.env").write_text("ZKEXEC_EXEC=web\n")

    installed.run("dpkg", "--install", "/tmp/zkexec.deb")
    assert installed.run("zkexec", "--version")
    installed.run("dpkg", "--remove", "zkexec")

    assert installed.path("/etc/zkexec/web.env").read_text() == "ZKEXEC_EXEC=web\n"
    assert installed.path("/etc/zkexec/README").exists()
    assert not installed.path("/usr/lib/zkexec").exists()
