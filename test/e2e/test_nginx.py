"""nginx from Debian by the recipe of docs/changes.md: checked, reloaded, and restarted if need be.

No service of the system is started: each nginx has a folder, a port and a PID file of its own.
"""

import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.recipes import recipe, typed
from support.sandbox import Sandbox
from support.service_group import ServiceGroup, service_group
from support.waiting import lines
from support.zkexec_on_path import path_with_zkexec
from zkexec.devserver.server import LOOPBACK

MEMBERS = 5
# The members share their files, and so what differs comes from the folder in which each runs.
HERE = "/proc/self/cwd"
TEMPORARY = "".join(
    f"    {kind}_temp_path {HERE}/{kind};\n"
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
MAIN = f"""\
include modules.conf;
error_log stderr;
pid {HERE}/nginx.pid;
events {{}}
http {{
{TEMPORARY}
    include formats.conf;
    include sites.conf;
}}
"""
SITES = f"""\
server {{
    include {HERE}/listen.conf;
    ssl_certificate site.pem;
    ssl_certificate_key site.pem;
    access_log {HERE}/access.log FORMAT;
    location / {{ return 200 "ANSWER"; }}
}}
"""
# It reads the files of the folder in which it runs, and counts the checks.
NGINX = """\
#!/bin/sh
if [ "$1" = -t ]; then echo "$@" >>checks; fi
exec /usr/sbin/nginx -p "$PWD" -c "$PWD/etc/nginx/nginx.conf" "$@"
"""


def sites(answer: str, log_format: str = "short") -> bytes:
    """The file with the site, which logs in this format."""
    return SITES.replace("ANSWER", answer).replace("FORMAT", log_format).encode()


def formats(name: str) -> bytes:
    """The file that defines a format of the log."""
    return f"log_format {name} '$status';\n".encode()


class Nginx:
    """One member: its folder, its port, and what its nginx does."""

    def __init__(self, group: ServiceGroup, name: str) -> None:
        self.name = name
        self.folder = group.folder(name)
        self.port, self.tls_port = group.port(), group.port()
        listen = f"listen {LOOPBACK}:{self.port};\nlisten {LOOPBACK}:{self.tls_port} ssl;\n"
        (self.folder / "listen.conf").write_text(listen)

    def answer(self) -> str:
        """What it answers; "" if it does not."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/", timeout=30) as reply:
                text: bytes = reply.read()
        except OSError:
            return ""
        return text.decode()

    def certificate(self) -> str:
        """The certificate that it shows."""
        return ssl.get_server_certificate((LOOPBACK, self.tls_port), timeout=30)

    def master(self) -> int:
        """The process ID of its master process."""
        return int((self.folder / "nginx.pid").read_text())

    def checks(self) -> int:
        """How often it has checked files."""
        return len(lines(self.folder / "checks"))


class NginxGroup:
    """Members that run nginx by the recipe."""

    def __init__(self, group: ServiceGroup) -> None:
        self.group = group
        self.members: list[Nginx] = []
        folder = group.sandbox.folder / "bin"
        self._path = path_with_zkexec(folder)
        program = folder / "nginx"
        program.write_text(NGINX)
        program.chmod(0o755)

    def start(self, count: int, files: Mapping[str, bytes], on_change: Mapping[str, str]) -> None:
        """Start this many members on these files, and wait until all answer.

        `on_change` names actions for files; without it, there is the one of the recipe.
        """
        self.push(files)
        environment = self.group.sandbox.environment(PATH=self._path)
        for number in range(count):
            member = Nginx(self.group, f"m{number}")
            self.members.append(member)
            command = self._typed(member, files, on_change)
            self.group.start(member.name, "/bin/sh", "-c", command, env=environment)
        self.group.complete()
        self.all_answer("first")

    def _typed(
        self, member: Nginx, files: Mapping[str, bytes], on_change: Mapping[str, str]
    ) -> str:
        """The recipe, for the paths of the test, with all files and actions."""
        text = recipe("nginx")
        more = [f"--mirror /etc/nginx/{name}=/web/{name}" for name in files if name not in text]
        actions = [f"--on-change /etc/nginx/{name}={what}" for name, what in on_change.items()]
        command = typed(
            text,
            (
                ("--lock web ", f"--lock {self.group.lock} --member-id {member.name} "),
                ("--on-change reload", " ".join(actions) or "--on-change reload"),
                ("--health ", f"{' '.join(more)} --health "),
                ("=/web/", f"={self.group.root}/"),
                ("/etc/nginx", f"{member.folder}/etc/nginx"),
                ("http://127.0.0.1/", f"http://127.0.0.1:{member.port}/"),
            ),
        )
        return f"exec {command}"

    def push(self, files: Mapping[str, bytes], *options: str, status: int = 0) -> str:
        """Push files in one transaction, which has to end like this; return what went wrong."""
        zkexecctl = self.group.zkexecctl
        pairs = [
            f"{self.group.root}/{name}={zkexecctl.file(content, name)}"
            for name, content in files.items()
        ]
        done = zkexecctl("push", *pairs, "--yes", *options)
        assert done.status == status, f"{done}\n{self.group.story()}"
        return done.err

    def roll_out(self, files: Mapping[str, bytes], *, status: int = 0) -> str:
        """Push files, and wait for the end of the rollout; return what went wrong."""
        wait = (f"--lock={self.group.lock}", "--wait", "--timeout=60")
        return self.push(files, *wait, status=status)

    def all_answer(self, answer: str) -> None:
        """Wait until all members give this answer: a reload is over after its signal."""
        self.group.until(
            lambda: {member.answer() for member in self.members} == {answer}, f"all {answer}"
        )

    def masters(self) -> list[int]:
        """The master process of each member."""
        return [member.master() for member in self.members]


@pytest.fixture
def nginx(sandbox: Sandbox, client: KazooClient, root: str) -> Iterator[NginxGroup]:
    """A group without members."""
    with service_group(sandbox, client, root) as group:
        yield NginxGroup(group)
        # nginx writes over the environment of its workers, by which the sandbox finds what is left.
        running = [member for member in group.members.values() if member.is_running()]
        for member in running:
            member.terminate()
        for member in running:
            member.wait()


def certificate(folder: Path, name: str) -> bytes:
    """Make a certificate and its key, in one file."""
    file = folder / f"{name}.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN={name} -days 1 -keyout {file}"
    done = subprocess.run(command.split(), check=True, capture_output=True)
    return done.stdout + file.read_bytes()


@pytest.fixture
def first(tmp_path: Path) -> dict[str, bytes]:
    """The files of the first configuration."""
    return {
        "nginx.conf": MAIN.encode(),
        "sites.conf": sites("first"),
        "formats.conf": formats("short"),
        "site.pem": certificate(tmp_path, "first"),
        "modules.conf": b"# none\n",
    }


def test_files_that_are_wrong_only_together(nginx: NginxGroup, first: dict[str, bytes]) -> None:
    """One member checks them, all five answer as before, and the status names the line.

    The fix is reloaded by each nginx.
    """
    nginx.start(MEMBERS, first, {})
    masters = nginx.masters()
    assert [member.checks() for member in nginx.members] == [1] * MEMBERS

    # The site logs in a format that is defined under another name now.
    bad = {"sites.conf": sites("bad"), "formats.conf": formats("brief")}
    bad["nginx.conf"] = f"# changed\n{MAIN}".encode()
    complaint = nginx.roll_out(bad, status=1)
    (tried,) = (member for member in nginx.members if member.checks() > 1)
    where = f'unknown log format "short" in {tried.folder}/etc/nginx/sites.conf:5'
    assert where in complaint
    assert where in " ".join(nginx.group.status().out.split())
    nginx.all_answer("first")
    assert nginx.masters() == masters
    assert sum(member.checks() for member in nginx.members) == MEMBERS + 1
    assert (tried.folder / "etc/nginx/sites.conf").read_bytes() == first["sites.conf"]

    nginx.roll_out({"sites.conf": sites("second", "brief")})
    nginx.all_answer("second")
    assert nginx.masters() == masters
    assert sum(member.checks() for member in nginx.members) == 2 * MEMBERS + 1
    assert len(nginx.group.logged("reloading for the new configuration")) == MEMBERS


def test_a_certificate_and_a_setting(
    nginx: NginxGroup, first: dict[str, bytes], tmp_path: Path
) -> None:
    """A renewed certificate is reloaded; a file that is read only at a start restarts nginx."""
    nginx.start(2, first, {"site.pem": "reload", "modules.conf": "restart"})
    masters, before = nginx.masters(), {member.certificate() for member in nginx.members}
    assert len(before) == 1

    nginx.roll_out({"site.pem": certificate(tmp_path, "renewed")})
    nginx.group.until(
        lambda: not before & {member.certificate() for member in nginx.members},
        "all members show the renewed certificate",
    )
    assert nginx.masters() == masters

    nginx.roll_out({"modules.conf": b"worker_rlimit_nofile 512;\n"})
    assert not set(masters) & set(nginx.masters())
    nginx.all_answer("first")
