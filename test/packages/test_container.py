"""The container of `examples/container`: built with buildah, and run as a process 1."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient

from packages.empty_root import EmptyRoot
from support.processes import children
from support.program import Program
from support.sandbox import TEST
from support.waiting import DEADLINE_S, until

BASE = "localhost/debian:12"
EXAMPLE = "examples/container/Containerfile"
ZKEXECCTL = (sys.executable, "-m", "zkexec.ctl")
USER = ("setpriv", "--reuid=10001", "--regid=10001", "--clear-groups")


class Images:
    """A storage of buildah in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Keep images and containers below this folder."""
        self._storage = (f"--root={folder}/images", f"--runroot={folder}/run")

    def buildah(self, *words: str | Path) -> str:
        """Run buildah, and return what it printed on stdout."""
        done = subprocess.run(
            ("buildah", *self._storage, *words),
            check=False,
            capture_output=True,
            text=True,
            cwd=TEST.parent,
            timeout=DEADLINE_S * 10,
        )
        assert done.returncode == 0, f"buildah {words}:\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def import_root(self, root: Path, name: str) -> None:
        """Make an image of the files of a root; no registry is needed."""
        container = self.buildah("from", "scratch")
        mounted = self.buildah("mount", container)
        subprocess.run(("cp", "-a", f"{root}/.", mounted), check=True, timeout=DEADLINE_S)
        self.buildah("commit", "--rm", container, name)

    def configuration(self, image: str) -> dict[str, Any]:
        """Return what the image says about its start: `User`, `Env`, `Entrypoint` and the like."""
        found = json.loads(self.buildah("inspect", "--type=image", image))
        configuration: dict[str, Any] = found["Docker"]["config"]
        return configuration


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    """A storage with an image of an empty Debian 12; nothing of it is left afterwards."""
    storage = Images(tmp_path)
    storage.import_root(Path(os.environ["ZKEXEC_ROOT"]), BASE)
    yield storage
    storage.buildah("rm", "--all")
    storage.buildah("rmi", "--all", "--force")


def test_zkexec_is_process_1_of_the_container(
    images: Images, client: KazooClient, root: str, cluster: str
) -> None:
    """As a user without rights it starts the service, restarts it for a push, and ends by TERM."""
    images.buildah(
        *("build", "--isolation=chroot", "--format=docker", f"--build-arg=BASE={BASE}"),
        *("--file", EXAMPLE, "--tag", "service", "."),
    )
    configuration = images.configuration("service")
    assert configuration["User"] == "service"
    assert configuration["Healthcheck"]["Test"] == ["CMD", "service", "--healthy"]
    client.create(f"{root}/web/app.conf", b"workers = 1\n", makepath=True)
    inside = EmptyRoot(Path(images.buildah("mount", images.buildah("from", "service"))))
    variables = dict(setting.split("=", 1) for setting in configuration["Env"])
    variables |= {"ZKEXEC_CLUSTER": cluster, "ZKEXEC_MEMBER_ID": "service-1"}
    start = ("env", f"--chdir={configuration['WorkingDir']}", *USER)
    words = (*start, *configuration["Entrypoint"], *configuration["Cmd"])

    with Program(*inside.words(words, **variables)) as container:
        file = inside.path("/var/lib/service/app.conf")
        until(lambda: file.exists() and file.read_text() == "workers = 1\n", "the first file")
        push = (f"/web/app.conf={TEST.parent}/examples/fleet/app-v2.conf", "--yes", "--wait")
        done = subprocess.run(
            (*ZKEXECCTL, "push", *push, "--lock=web", "--timeout=60"),
            check=False,
            env={**os.environ, "ZKEXEC_CLUSTER": cluster},
            timeout=DEADLINE_S * 2,
        )
        assert done.returncode == 0
        assert file.read_text() == (TEST.parent / "examples/fleet/app-v2.conf").read_text()
        inside.run("env", "--chdir=/var/lib/service", "service", "--healthy", **variables)
        (process_1,) = children(container.pid)
        assert Path(f"/proc/{process_1}/status").read_text().count("\nUid:\t10001\t10001") == 1
        os.kill(process_1, signal.SIGTERM)
        assert container.wait() == 128 + signal.SIGTERM
