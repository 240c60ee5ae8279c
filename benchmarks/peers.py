"""Other programs that bring a configuration to a command: which are present, and how they run.

`PEERS=1` looks for them in a folder and on the PATH.  Two of them need a Consul, which is started
for the benchmark if it is present as well.
"""

import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from benchmarks.candidates import RELOAD, child
from benchmarks.consul import Consul, agent
from benchmarks.stage import Stage, content
from benchmarks.stamps import Stamps

CONFD, TEMPLATE, ENVCONSUL, CONSUL = PROGRAMS = ("confd", "consul-template", "envconsul", "consul")
LEFT_OUT = "left-out"
"""The file in the folder of peers that names why a program could not be installed, one a line."""
_ABSENT = "not found in the folder of peers or on the PATH"


class Peer(Protocol):
    """One program with an input of its own, and the command lines by which it brings it."""

    name: str

    def start(self, folder: Path, fifo: Stamps) -> list[str]:
        """Configure it in the folder; return what starts the command with its input in a file."""
        ...

    def watch(self, folder: Path, fifo: Stamps) -> list[str]:
        """Configure it in the folder; return what also runs the command anew at each change."""
        ...

    def change(self, content: bytes) -> int:
        """Change the input; return when that began, in nanoseconds of the monotonic clock."""
        ...


def present(stage: Stage, after: ExitStack) -> list[Peer]:
    """Return all peers that this machine can run; a Consul that they need runs until `after`."""
    programs = {name: path for name in PROGRAMS if (path := _find(stage.peers, name))}
    peers: list[Peer] = []
    if CONFD in programs:
        peers.append(Confd(stage, programs[CONFD]))
    if CONSUL in programs and programs.keys() & {TEMPLATE, ENVCONSUL}:
        consul = after.enter_context(agent(stage, programs[CONSUL]))
        if TEMPLATE in programs:
            peers.append(ConsulTemplate(stage, consul, programs[TEMPLATE]))
        if ENVCONSUL in programs:
            peers.append(Envconsul(stage, consul, programs[ENVCONSUL]))
    return peers


def left_out(folder: str) -> Iterator[str]:
    """Name each program that is not measured with this folder of peers, and why."""
    file = Path(folder) / LEFT_OUT
    lines = file.read_text().splitlines() if file.exists() else []
    reasons = dict(line.split(": ", 1) for line in lines if ": " in line)
    for name in PROGRAMS:
        if not _find(folder, name):
            yield f"{name}: {reasons.get(name, _ABSENT)}"
        elif name in (TEMPLATE, ENVCONSUL) and not _find(folder, CONSUL):
            yield f"{name}: its server, {CONSUL}, is missing"


def _find(folder: str, name: str) -> str | None:
    return shutil.which(name, path=folder) or shutil.which(name)


class Confd:
    """Renders a template from ZooKeeper, and runs a reload command; it starts nothing else."""

    name = CONFD

    def __init__(self, stage: Stage, program: str) -> None:
        self._stage = stage
        self._program = program
        (self._znode,) = stage.znodes(1)

    def start(self, folder: Path, fifo: Stamps) -> list[str]:
        """Render once, as an entrypoint does, and execute the command."""
        file = _configure_confd(folder, self._znode, "true")
        command = shlex.join(child(self._stage, fifo, file))
        once = shlex.join(self._line(folder, "-onetime"))
        return ["/bin/sh", "-c", f"{once} && exec {command}"]

    def watch(self, folder: Path, fifo: Stamps) -> list[str]:
        """Run the command, which ends at once, as the reload command."""
        file = str(folder / "file")
        reload_command = shlex.join([*child(self._stage, fifo, file), "once"])
        _configure_confd(folder, self._znode, reload_command)
        return self._line(folder, "-watch")

    def change(self, content: bytes) -> int:
        """Set the znode."""
        return self._stage.setter.set(self._znode, content)

    def _line(self, folder: Path, *options: str) -> list[str]:
        backend = ("-backend", "zookeeper", "-node", self._stage.server.hosts)
        return [self._program, *backend, "-confdir", str(folder), "-log-level", "error", *options]


def _configure_confd(folder: Path, znode: str, reload_command: str) -> str:
    """Write the two files that confd reads; return the path of the one that it writes.

    With a prefix it reads the znodes below that, else those of the whole server, at each change.
    """
    prefix, _, name = znode.rpartition("/")
    file = str(folder / "file")
    for below in ("conf.d", "templates"):
        (folder / below).mkdir()
    (folder / "templates" / "input.tmpl").write_text(f'{{{{getv "/{name}"}}}}\n')
    lines = {"prefix": prefix, "src": "input.tmpl", "dest": file, "reload_cmd": reload_command}
    text = "".join(f"{key} = '{value}'\n" for key, value in lines.items())
    (folder / "conf.d" / "input.toml").write_text(f"[template]\nkeys = ['/{name}']\n{text}")
    return file


class ConsulTemplate:
    """Renders a template from Consul, and supervises a command."""

    name = TEMPLATE

    def __init__(self, stage: Stage, consul: Consul, program: str) -> None:
        self._stage = stage
        self._consul = consul
        self._program = program
        self._key = "benchmark-template/tag"
        consul.set(self._key, content("first"))

    def start(self, folder: Path, fifo: Stamps) -> list[str]:
        """Render, and start the command; this is what it does in any case."""
        return self.watch(folder, fifo)

    def watch(self, folder: Path, fifo: Stamps) -> list[str]:
        """Restart the command at each change."""
        return self._line(folder, child(self._stage, fifo, str(folder / "file")))

    def reload(self, folder: Path, fifo: Stamps) -> list[str]:
        """Send the command a HUP at each change."""
        command = child(self._stage, fifo, str(folder / "file"), RELOAD)
        return [*self._line(folder, command), "-exec-reload-signal=SIGHUP"]

    def _line(self, folder: Path, command: Sequence[str]) -> list[str]:
        template, file = folder / "input.ctmpl", str(folder / "file")
        template.write_text(f'{{{{ key "{self._key}" }}}}\n')
        execute = f"-exec=exec {shlex.join(command)}"
        address = f"-consul-addr={self._consul.address}"
        return [self._program, address, f"-template={template}:{file}", execute]

    def change(self, content: bytes) -> int:
        """Set the key."""
        return self._consul.set(self._key, content)


class Envconsul:
    """Puts keys of Consul into the environment of a command that it supervises."""

    name = ENVCONSUL

    def __init__(self, stage: Stage, consul: Consul, program: str) -> None:
        self._stage = stage
        self._consul = consul
        self._program = program
        self._prefix = "benchmark-environment"
        self.change(content("first"))

    def start(self, folder: Path, fifo: Stamps) -> list[str]:
        """Read the keys, and start the command; this is what it does in any case."""
        return self.watch(folder, fifo)

    def watch(self, folder: Path, fifo: Stamps) -> list[str]:
        """Restart the command at each change; nothing is written into the folder."""
        del folder
        options = (f"-consul-addr={self._consul.address}", f"-prefix={self._prefix}")
        return [self._program, *options, *child(self._stage, fifo, "env:tag")]

    def change(self, content: bytes) -> int:
        """Set the key, which becomes the variable `tag`."""
        return self._consul.set(f"{self._prefix}/tag", content)
