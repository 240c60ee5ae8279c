"""`examples/spring-tree`: the trees of an application become one properties file."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.program import Program
from support.sandbox import Sandbox
from support.waiting import until
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "spring-tree"
PROD = """\
# Rendered by zkexec for web with the profile prod: a change here is overwritten.
logging.level.root=WARN
server.port=8080
shop.hours=Open: 8 to 20\\nClosed on Sundays
shop.templates=C:\\\\shop\\\\templates
spring.datasource.url=jdbc:postgresql://db1/shop
"""
SHOW = "cat application.properties; sleep 600"


class SpringHost:
    """A host that runs the example below a root of its own."""

    def __init__(self, sandbox: Sandbox, cluster: str) -> None:
        self.sandbox = sandbox
        self.file = sandbox.folder / "application.properties"
        self.trees = sandbox.folder / "config"
        shutil.copytree(EXAMPLE / "config", self.trees)
        self._environment = sandbox.environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}", ZKEXEC_CLUSTER=cluster
        )
        self._zkexecctl = Zkexecctl(cluster, sandbox.folder)

    def push(self) -> None:
        """Push the trees and the template, as the README does."""
        self._zkexecctl.does("push", f"/config/={self.trees}/", "--yes")

    def run(self, profile: str) -> Program:
        """Run a command that shows the file and then sleeps."""
        words = (EXAMPLE / "run", "web", profile, "/bin/sh", "-c", SHOW)
        return self.sandbox.start(*words, env=self._environment)


@pytest.fixture
def host(sandbox: Sandbox, zookeeper: Server, root: str) -> SpringHost:
    """A host on the shared server."""
    return SpringHost(sandbox, zookeeper.hosts + root)


def test_the_most_specific_tree_wins(host: SpringHost, client: KazooClient, root: str) -> None:
    """The profile's trees win, and a change of a property that counts restarts the command."""
    host.push()
    run = host.run("prod")
    run.until(PROD.splitlines()[-1], on=run.stdout)
    assert host.file.read_text() == PROD

    # A property that another one overrides, and one of another application, change nothing.
    client.set(f"{root}/config/application/spring/datasource/url", b"jdbc:h2:mem:other")
    client.create(f"{root}/config/other/server/port", b"9090", makepath=True)
    run.until("nothing on this host differs")
    client.set(f"{root}/config/web/server/port", b"8081\n")
    run.until("server.port=8081", on=run.stdout)
    assert host.file.read_text() == PROD.replace("8080", "8081")
    assert len(run.stdout.matching("^# Rendered")) == 2


def test_a_profile_without_trees(host: SpringHost) -> None:
    """Without trees of the profile, the properties of all profiles count."""
    host.push()
    run = host.run("dev")

    run.until("spring.datasource.url=jdbc:h2:mem:dev", on=run.stdout)
    assert "logging.level.root=DEBUG\n" in host.file.read_text()


def test_keys_and_values_are_escaped(host: SpringHost) -> None:
    """What has a meaning in a properties file is escaped in keys and values."""
    shutil.rmtree(host.trees / "web")
    odd = host.trees / "web" / "a:b=c d"
    odd.mkdir(parents=True)
    (odd / "#e").write_text("  two blanks, a\ttab\r\n")
    (odd / "f!").write_text("\n")
    host.push()
    run = host.run("prod")

    run.until("spring.datasource.url", on=run.stdout)
    expected = [r"a\:b\=c\ d.\#e=\  two blanks, a\ttab", r"a\:b\=c\ d.f\!="]
    assert host.file.read_text().splitlines()[1:3] == expected


def test_usage(host: SpringHost) -> None:
    """Without a command, the example shows its usage."""
    status, _, err = host.sandbox.run(str(EXAMPLE / "run"), "web", "prod")

    assert (status, err) == (2, b"usage: run APPLICATION PROFILE COMMAND [ARGUMENT...]\n")
    until(lambda: not host.sandbox.present(), "nothing runs")
