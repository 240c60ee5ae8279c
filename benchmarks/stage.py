"""Where a measurement takes place: a ZooKeeper server, folders, programs, and what to end after."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from kazoo.client import KazooClient

from benchmarks.building import Programs, build
from benchmarks.running import Running
from benchmarks.setter import Setter
from benchmarks.stamps import Stamps
from support.zookeeper import Server

_CONTENT_BYTES = 1024
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 -- each run makes a folder of its own below it
_CREATED_AT_ONCE = 200


def content(tag: str) -> bytes:
    """A configuration of a usual size, whose first line is the tag."""
    return f"{tag}\n".encode().ljust(_CONTENT_BYTES, b"#")


@dataclass
class Stage:
    """What all measurements of a run share."""

    server: Server
    setter: Setter
    programs: Programs
    memory: Path
    """A folder without a disk below it: what is measured there is the code."""
    disk: Path
    """A folder on the disk that temporary files lie on."""
    is_quick: bool
    peers: str = ""
    """The folder with the peers that were built or installed; empty if they are not measured."""

    def __post_init__(self) -> None:
        self._numbers = count(1)

    def rounds(self, full: int, quick: int) -> int:
        """How many rounds there are to be."""
        return quick if self.is_quick else full

    def folder(self, name: str, *, on_disk: bool = False) -> Path:
        """Make a new folder."""
        folder = (self.disk if on_disk else self.memory) / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def znodes(self, number: int, tag: str = "first") -> list[str]:
        """Create that many znodes below a new one."""
        root = f"/benchmark-{next(self._numbers)}"
        paths = [f"{root}/{index}" for index in range(number)]
        self.create(root, *paths, tag=tag)
        return paths

    def create(self, *paths: str, tag: str = "") -> None:
        """Create these znodes with a content that begins with the tag."""
        client = KazooClient(hosts=self.server.hosts, timeout=30.0)
        client.start(timeout=30.0)
        for start in range(0, len(paths), _CREATED_AT_ONCE):
            transaction = client.transaction()
            for path in paths[start : start + _CREATED_AT_ONCE]:
                transaction.create(path, content(tag))
            for outcome in transaction.commit():
                if isinstance(outcome, Exception):
                    raise outcome
        client.stop()
        client.close()


@contextmanager
def stage(*, is_quick: bool, peers: str = "") -> Iterator[Stage]:
    """Set the stage, and clear it afterwards."""
    with ExitStack() as after:
        memory = Path(after.enter_context(_folder(_IN_MEMORY if _IN_MEMORY.is_dir() else None)))
        disk = Path(after.enter_context(_folder(None)))
        programs = build(disk)
        server = Server(options=("-Xmx256m",))
        after.callback(server.close)
        server.start()
        setter = Setter(server.port)
        after.callback(setter.close)
        yield Stage(server, setter, programs, memory, disk, is_quick, peers)


def _folder(below: Path | None) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="zkexec-benchmark-", dir=below)


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[Running]:
    """Run a candidate as long as the block lasts."""
    process = Running(command, folder / "log")
    try:
        yield process
    except BaseException:
        print(f"{' '.join(command)[:300]}\n{process.tail()}", flush=True)
        raise
    finally:
        process.end()


@contextmanager
def stamps(folder: Path) -> Iterator[Stamps]:
    """A FIFO in the folder as long as the block lasts."""
    fifo = Stamps(folder / "stamps")
    try:
        yield fifo
    finally:
        fifo.close()
