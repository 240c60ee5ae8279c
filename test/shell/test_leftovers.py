"""What an earlier zkexec left behind: what proves it, and what is remembered."""

import os
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from shell.marked_programs import MarkedPrograms
from support.processes import fields, is_alive
from support.waiting import until, until_lines
from zkexec.cli import parser
from zkexec.cli.settings import Settings, resolve_settings
from zkexec.process.leftovers import (
    Leftovers,
    Remembered,
    _lock,
    _open_kind,
    belongs_to,
)
from zkexec.process.procfs import Process
from zkexec.runtime.command_kind import command_kind

COMMAND = Remembered("boot/pid:[1]/3", 50, started=1000, session=50, confirmed=2000)


def member(started: int, pid: int = 60) -> Process:
    """A member of the remembered session."""
    return Process(pid, 1, 50, 50, started, alive=True, stopped=False)


def known_good(*session: Process, leader: Process | None = None) -> bool:
    """Whether these are of the command."""
    return belongs_to(COMMAND, leader, session)


def test_the_command_itself_is_proven_by_its_start() -> None:
    """A process with the command's pid is the command only if it started at the same moment."""
    assert known_good(leader=member(1000, pid=50))
    assert not known_good(leader=member(1001, pid=50))
    assert not known_good(member(1500), leader=member(999, pid=50))


def test_a_member_from_the_commands_time_proves_its_session() -> None:
    """Who started while the command was known to run is of its session; who came later is not."""
    assert known_good(member(3000), member(1999))
    assert known_good(member(1000))
    assert not known_good(member(2000))
    assert not known_good(member(999))
    assert not known_good()


TICKS_A_S = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime folder of this test."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
    return runtime


@pytest.fixture
def session(marked: MarkedPrograms, tmp_path: Path) -> Callable[[str], tuple[int, int]]:
    """Start a session with two processes; the pids of its leader and of the other."""
    numbers = count()

    def start(orphan: str = "sleep 1000") -> tuple[int, int]:
        pids = tmp_path / f"pids-{next(numbers)}"
        leader = marked.start("sh", "-c", f"{orphan} & echo $! >{pids}; exec sleep 1000")
        other = int(until_lines(pids)[0])
        # A process is proven only if it started in an earlier clock tick than it was confirmed.
        started = int(fields(other)[19])
        until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_A_S >= started + 1, "a tick")
        return leader.pid, other

    return start


def files(folder: Path) -> list[Path]:
    """The files in which commands are noted; each kind of zkexec has a folder."""
    return [file for kind in folder.iterdir() for file in kind.iterdir()]


def settings(*words: str) -> Settings:
    """The settings of a zkexec with these words before its command."""
    return resolve_settings(parser.read([*words, "--", "service"]), {})


def leftovers(of: Settings) -> Leftovers:
    """The memory of a zkexec of these settings."""
    return Leftovers(command_kind(of), of.policy, own_session=True, is_pid1=False)


def stop(later: Leftovers) -> list[int]:
    """What a later zkexec tells that it found."""
    found: list[int] = []
    assert later.stop(found.append, lambda: False) == []
    return found


def die(earlier: Leftovers) -> None:
    """Do what the kernel does when a zkexec is killed: release its lock."""
    os.close(earlier._file)  # noqa: SLF001 - nothing but the kernel would do this
    earlier._file = -1  # noqa: SLF001


Session = Callable[..., tuple[int, int]]


def test_all_that_were_killed_are_found(folder: Path, session: Session) -> None:
    """Of two of a kind that were killed, the first that is started again stops what both left."""
    pairs = [(leftovers(settings()), session()) for _ in range(2)]
    for one, (leader, _) in pairs:
        assert stop(one) == []
        one.note(leader)
    assert len(files(folder)) == 2
    for one, _ in pairs:
        die(one)

    again = leftovers(settings())
    assert sum(stop(again)) == 4
    assert not any(is_alive(pid) for _, pids in pairs for pid in pids)
    assert len(files(folder)) == 1
    again.forget()
    assert list(folder.iterdir()) == []


def test_what_is_left_is_stopped_once(folder: Path, session: Session) -> None:
    """What a zkexec left that is gone is stopped by the next one of its kind, and forgotten."""
    leader, orphan = session()
    earlier = leftovers(settings())
    assert stop(earlier) == []
    earlier.note(leader)
    assert stop(leftovers(settings())) == []  # while the earlier one lives
    assert is_alive(orphan)
    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    die(earlier)

    assert stop(leftovers(settings("--kill-timeout=30"))) == [1]
    assert not is_alive(orphan)
    assert stop(leftovers(settings())) == []
    assert len(files(folder)) == 3  # of those that live: the second, third and fourth


def test_the_deaf_are_killed(folder: Path, session: Session) -> None:
    """What does not end by the kill signal in its time is killed."""
    leader, orphan = session("nohup sh -c 'trap : TERM; while :; do sleep 1000; done'")
    earlier = leftovers(settings())
    stop(earlier)
    earlier.note(leader)
    die(earlier)

    assert stop(leftovers(settings("--kill-timeout=0.2"))) != []
    assert not is_alive(orphan)
    assert not is_alive(leader)
    assert folder.exists()


@pytest.mark.parametrize("words", [("--lock=a",), ("--mirror=/tmp/a=/a",), ("--cluster=other",)])
def test_another_kind_is_left_alone(folder: Path, session: Session, words: tuple[str, ...]) -> None:
    """A zkexec for another purpose has nothing to do with it, even on the same command."""
    leader, _ = session()
    earlier = leftovers(settings())
    stop(earlier)
    earlier.note(leader)
    die(earlier)

    assert stop(leftovers(settings(*words))) == []
    assert is_alive(leader)
    assert len(files(folder)) == 2


def test_after_an_end_in_order_nothing_is_left_behind(folder: Path, session: Session) -> None:
    """What a command leaves when its zkexec ends in order is nobody's business later."""
    leader, _ = session()
    earlier = leftovers(settings())
    stop(earlier)
    earlier.note(leader)
    earlier.confirm()
    earlier.forget()
    assert list(folder.iterdir()) == []

    assert stop(leftovers(settings())) == []
    assert is_alive(leader)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("/pid", "/other"),
        lambda text: "1" + text[1:],
        lambda text: text[:5] + "9" * 200,
        lambda _: "\udcff\0",
        lambda _: "",
    ],
)
def test_what_cannot_be_believed_is_nothing(
    folder: Path, session: Session, change: Callable[[str], str]
) -> None:
    """A memory of another boot or another namespace, or one that cannot be read, stops nobody."""
    leader, _ = session()
    earlier = leftovers(settings())
    stop(earlier)
    earlier.note(leader)
    (file,) = files(folder)
    file.write_bytes(os.fsencode(change(file.read_text())))
    die(earlier)

    assert stop(leftovers(settings())) == []
    assert is_alive(leader)


def test_the_folder_of_a_kind_can_go_at_any_time(folder: Path) -> None:
    """The last one of a kind removes the folder, and one that starts at the same time works."""
    first = leftovers(settings())
    assert stop(first) == []
    (kind,) = folder.iterdir()
    second = leftovers(settings())
    assert stop(second) == []
    first.forget()
    assert len(files(folder)) == 1
    second.forget()
    assert list(folder.iterdir()) == []

    descriptor = _open_kind(os.open(folder, os.O_RDONLY), kind.name)
    kind.rmdir()
    with pytest.raises(FileNotFoundError):
        _lock(descriptor, "0", os.O_RDWR | os.O_CREAT)


def test_without_a_folder_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    """Where no folder can be used there is no memory, and no error."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "none"))
    for name in ("RUN", "TMP"):
        monkeypatch.setattr(f"zkexec.process.runtime_folder.{name}", str(tmp_path / "file"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    leader, _ = session()
    one = leftovers(settings())

    assert stop(one) == []
    one.note(leader)
    one.forget()
    assert is_alive(leader)


def test_without_an_id_of_the_boot_nothing_is_noted(
    folder: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the boot has no ID that can be read (`ProcSubset=pid`), that is no error after a start."""
    leader, _ = session()
    earlier = leftovers(settings())
    stop(earlier)
    earlier.note(leader)
    (file,) = files(folder)
    noted = file.read_bytes()
    assert noted
    monkeypatch.setattr("zkexec.process.procfs.BOOT_ID", str(folder / "none"))
    earlier.note(leader)
    assert earlier.due is None
    earlier.confirm()
    assert file.read_bytes() == noted
    die(earlier)

    later = leftovers(settings())
    assert stop(later) == []
    later.note(leader)
    later.forget()
    assert is_alive(leader)
