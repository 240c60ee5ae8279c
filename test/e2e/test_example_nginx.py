"""`examples/nginx`: Debian's nginx, rendered and checked on each host, with a mistake refused."""

import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.program import Program
from support.sandbox import Sandbox
from support.waiting import until
from support.zkexecctl import CompletedRun, Zkexecctl
from support.zookeeper import Port, Server
from zkexec.devserver.server import LOOPBACK

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "nginx"
FIRST, SECOND = "Hello from the first version.\n", "Hello from the second version.\n"


class NginxExample:
    """Two members on this host, started and steered as the README describes."""

    def __init__(self, sandbox: Sandbox, cluster: str) -> None:
        self._sandbox = sandbox
        self._environment = sandbox.environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}", ZKEXEC_CLUSTER=cluster
        )
        self._ports = [Port(), Port()]
        self.members: list[Program] = []
        self.zkexecctl = Zkexecctl(cluster, sandbox.folder)

    def start(self) -> None:
        """Push the files of the example, start both members, and wait until they answer."""
        pairs = [
            f"/web/{name}={EXAMPLE / name}{'/' if name.endswith('/') else ''}"
            for name in ("nginx.conf.j2", "values/", "conf.d/")
        ]
        self.zkexecctl.does("push", *pairs, "--yes")
        for port in self._ports:
            words = (EXAMPLE / "serve", str(port.number))
            self.members.append(self._sandbox.start(*words, env=self._environment))
        self.until_answered(FIRST)
        self.zkexecctl.does("wait", "web", "--timeout=60")

    def push(self, file: Path, znode: str = "/web/conf.d/hello.conf") -> CompletedRun:
        """Push a file of the example, and wait for the rollout."""
        return self.zkexecctl("push", f"{znode}={file}", "--yes", "--lock=web", "--wait")

    def answers(self) -> list[str]:
        """What each member answers; "" if it does not."""
        return [answer(port.number) for port in self._ports]

    def until_answered(self, text: str) -> None:
        """Wait until both members give this answer: a reload is over after its signal."""
        until(
            lambda: self.answers() == [text] * 2,
            lambda: "\n".join([text, *(member.story() for member in self.members)]),
        )

    def masters(self) -> list[str]:
        """The process ID of the master process of each member."""
        folders = [self._sandbox.folder / f"nginx-{port.number}" for port in self._ports]
        return [(folder / "nginx.pid").read_text() for folder in folders]

    def close(self) -> None:
        """End the members: nginx writes over the mark of its workers."""
        for member in self.members:
            member.terminate()
        for member in self.members:
            member.wait()
        for port in self._ports:
            port.release()


def answer(port: int) -> str:
    """What an nginx answers; "" if it does not."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/", timeout=30) as reply:
            text: bytes = reply.read()
    except OSError:
        return ""
    return text.decode()


@pytest.fixture
def nginx(sandbox: Sandbox, zookeeper: Server, root: str) -> Iterator[NginxExample]:
    """The example below a root of its own, not yet started."""
    example = NginxExample(sandbox, zookeeper.hosts + root)
    yield example
    example.close()


def test_the_example_does_what_its_page_shows(nginx: NginxExample) -> None:
    """A site is reloaded on both members, a mistake stops at the first, and undo takes it back."""
    nginx.start()
    masters = nginx.masters()

    assert nginx.push(EXAMPLE / "hello-v2.conf").status == 0
    nginx.until_answered(SECOND)
    refused = nginx.push(EXAMPLE / "hello-bad.conf")
    assert refused.status == 1
    assert 'unknown directive "retrun" in ' in refused.err
    assert "/conf.d/hello.conf:1" in refused.err
    assert nginx.answers() == [SECOND] * 2
    checked = [len(member.stderr.matching("the change failed")) for member in nginx.members]
    assert sorted(checked) == [0, 1]

    undo = ("undo", "/web/conf.d/", "--yes", "--lock=web", "--wait")
    nginx.zkexecctl.does(*undo)
    assert nginx.answers() == [SECOND] * 2
    assert nginx.masters() == masters


def test_a_value_that_nginx_refuses(nginx: NginxExample, tmp_path: Path) -> None:
    """A bad value is found by the check of what is rendered from it."""
    nginx.start()
    value = tmp_path / "keepalive"
    value.write_text("soon\n")
    refused = nginx.push(value, "/web/values/keepalive")

    assert refused.status == 1
    assert '"keepalive_timeout" directive invalid value in ' in refused.err
    assert nginx.answers() == [FIRST] * 2
    value.write_text("30s\n")
    assert nginx.push(value, "/web/values/keepalive").status == 0
    files = [member / "nginx.conf" for member in tmp_path.glob("nginx-*")]
    assert ["keepalive_timeout 30s;" in file.read_text() for file in files] == [True, True]
