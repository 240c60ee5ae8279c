"""What the tests of the packages share; `make test-packages` runs them, `make test` does not.

They install what `make dist` has built into environments and roots of their own.  ZKEXEC_DIST names
its folder, and ZKEXEC_ROOT that of an empty Debian 12; both are given by `make test-packages`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from packages.empty_root import EmptyRoot, fresh_root
from support.zookeeper import Server

DIST = os.environ.get("ZKEXEC_DIST", "")
BASE = os.environ.get("ZKEXEC_ROOT", "")

collect_ignore_glob = [] if DIST and BASE else ["test_*"]


@pytest.fixture
def dist() -> Path:
    """The folder with the packages."""
    return Path(DIST)


@pytest.fixture
def cluster(client: KazooClient, root: str, zookeeper: Server) -> str:
    """A chroot of this test alone, which exists."""
    assert client.exists(root)
    return f"{zookeeper.hosts}{root}"


@pytest.fixture
def empty_root(tmp_path: Path) -> Iterator[EmptyRoot]:
    """Give an empty Debian 12 with Python, man and bash-completion, for this test alone."""
    if os.geteuid():
        pytest.skip("only root can run a program in another root")
    with fresh_root(Path(BASE), tmp_path) as root:
        yield root
