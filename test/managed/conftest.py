"""What the tests under a real systemd share; `make test-systemd` runs them, `make test` does not.

ZKEXEC_SYSTEMD_ROOT names the folder of a Debian with systemd and Python.  It is booted as it is,
in a container: systemd is PID 1 there, and what it writes is lost.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from managed.booted_root import BootedRoot
from support.sandbox import Sandbox
from support.zookeeper import Server

BASE = os.environ.get("ZKEXEC_SYSTEMD_ROOT", "")

collect_ignore_glob = [] if BASE else ["test_*"]


@pytest.fixture
def sandbox(tmp_path: Path, zookeeper: Server) -> Iterator[Sandbox]:
    """A sandbox on which zkexec connects to the shared server."""
    one = Sandbox(tmp_path, zookeeper.hosts)
    yield one
    one.close()


@pytest.fixture
def booted(sandbox: Sandbox) -> Iterator[BootedRoot]:
    """A booted Debian with this zkexec and its units."""
    if os.geteuid():
        pytest.skip("only root can boot a container")
    one = BootedRoot(Path(BASE), sandbox)
    yield one
    one.close()
