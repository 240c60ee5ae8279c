"""What decides about a merge: `.ci/run`, with a `make` that only tells how it was called."""

import os
import subprocess
from pathlib import Path

RUN = Path(__file__).resolve().parent.parent / ".ci" / "run"
TELLING_MAKE = """#!/bin/sh
echo "make $*"
exec env --null
"""


def run(folder: Path, **environment: str) -> tuple[str, dict[str, str]]:
    """Run it in this environment; how make was called, and the environment that make got."""
    make = folder / "make"
    make.write_text(TELLING_MAKE)
    make.chmod(0o755)
    done = subprocess.run(
        ["bash", RUN],
        env={**environment, "PATH": f"{folder}:{os.environ['PATH']}"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    called, _, rest = done.stdout.partition("\n")
    return called, dict(entry.split("=", 1) for entry in rest.split("\0") if entry)


def test_everything_is_demanded(tmp_path: Path) -> None:
    """A change has to pass the style, the types, all tests, and the core's coverage."""
    assert run(tmp_path)[0] == "make setup lint types test coverage"


def test_nothing_of_the_machine_hides_a_fault(tmp_path: Path) -> None:
    """What a machine sets for Python, zkexec, languages and terminals does not reach a test."""
    hiding = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": "/elsewhere",
        "ZKEXEC_CLUSTER": "a\nb=c",
        "ZKEXECCTL_COLOR": "never",
        "LC_ALL": "C",
        "LANGUAGE": "de",
        "NO_COLOR": "1",
        "COLUMNS": "40",
        "XDG_RUNTIME_DIR": "/run/user/0",
        "PYTEST_ADDOPTS": "-x",
        "MAKEFLAGS": "-k",
    }
    _, got = run(tmp_path, **hiding, LANG="de_DE", TERM="xterm-256color")
    assert not hiding.keys() & got.keys()
    assert (got["LANG"], got["TERM"]) == ("C.UTF-8", "dumb")


def test_the_settings_of_an_installation_are_kept(tmp_path: Path) -> None:
    """A machine behind a proxy, with an index of its own, can still install what is needed."""
    needed = {
        "HOME": "/root",
        "CI": "true",
        "PIP_INDEX_URL": "https://index.example/simple",
        "PIP_CERT": "/etc/ssl/ca.crt",
        "SSL_CERT_FILE": "/etc/ssl/ca.crt",
        "https_proxy": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "JAVA_HOME": "/opt/java",
    }
    got = run(tmp_path, **needed)[1]
    assert needed.items() <= got.items()
