"""Fixtures for the tests of the whole program; whatever a test starts is gone when it is over."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from e2e.bare_and_wrapped import OpenShell, write_programs
from support.inputs_host import InputsHost
from support.interactive_shell import InteractiveShell
from support.mirrored_host import MirroredHost
from support.sandbox import Mirror, Sandbox
from support.zookeeper import Server


@pytest.fixture
def sandbox(tmp_path: Path, zookeeper: Server) -> Iterator[Sandbox]:
    """A sandbox on which zkexec connects to the shared server."""
    one = Sandbox(tmp_path, zookeeper.hosts)
    yield one
    one.close()


@pytest.fixture
def mirror(client: KazooClient, root: str, tmp_path: Path) -> Mirror:
    """A znode of this test, mirrored to a file in its folder."""
    return Mirror(client, f"{root}/mirrored", tmp_path / "mirrored")


@pytest.fixture
def host(sandbox: Sandbox, client: KazooClient, root: str, zookeeper: Server) -> MirroredHost:
    """A host on the shared server, below a root of its own."""
    return MirroredHost(sandbox, client, root, zookeeper.hosts)


@pytest.fixture
def inputs(sandbox: Sandbox, client: KazooClient, root: str, zookeeper: Server) -> InputsHost:
    """A host with all kinds of inputs on the shared server, below a root of its own."""
    return InputsHost(sandbox, client, root, zookeeper.hosts)


@pytest.fixture
def mounted() -> Iterator[list[Path]]:
    """Paths that are mounted in the test, to be unmounted afterwards."""
    paths: list[Path] = []
    yield paths
    for path in paths:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def open_shell(sandbox: Sandbox) -> Iterator[OpenShell]:
    """Opens terminals with an interactive bash, which finds `zkexec` and `reporter`."""
    opened: list[InteractiveShell] = []
    path = write_programs(sandbox)

    def start() -> InteractiveShell:
        opened.append(InteractiveShell(sandbox.folder, sandbox.environment(PATH=path)))
        return opened[-1]

    yield start
    for shell in opened:
        shell.close()
