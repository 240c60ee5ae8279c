"""The programs of the benchmark, run for real, and the peers, as far as stand-ins can show them."""

import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest

import benchmarks.figures.peers as figure
from benchmarks.building import PROGRAMS, Programs, build
from benchmarks.candidates import RELOAD
from benchmarks.charts import TABLES
from benchmarks.peers import CONSUL, LEFT_OUT, TEMPLATE, left_out
from benchmarks.peers import PROGRAMS as PEERS
from benchmarks.running import Running
from benchmarks.stage import running, stage, stamps
from support.processes import fields, is_alive, pids
from support.waiting import until

STAND_INS = Path(__file__).parent / "support" / "peer_program.py"
needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler: `make benchmark`"
)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """The programs of the benchmark, compiled."""
    return build(tmp_path)


def stand_in(folder: Path, name: str) -> None:
    """Put a stand-in for this peer into the folder."""
    file = folder / name
    line = shlex.join([sys.executable, str(STAND_INS), name])
    file.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
    file.chmod(0o755)


@pytest.fixture
def folder_of_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of peers, on a host without any on its PATH."""
    folder, path = tmp_path / "peers", tmp_path / "path"
    folder.mkdir()
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    return folder


def in_group(group: int) -> list[int]:
    """Return the living processes of a process group."""
    return [pid for pid in pids() if fields(pid)[2:3] == [str(group)] and is_alive(pid)]


@needs_compiler
def test_the_crowd_is_there_and_goes(programs: Programs, tmp_path: Path) -> None:
    """The other processes exist once their line comes, and none is left once the crowd ended."""
    with stamps(tmp_path) as fifo:
        with running([programs.crowd, fifo.path, "30"], tmp_path) as crowd:
            assert fifo.next().tag == "crowd"
            assert len(in_group(crowd.pid)) == 31
        until(lambda: not in_group(crowd.pid), "the crowd is gone")


@needs_compiler
def test_the_command_stamps_what_it_was_given(programs: Programs, tmp_path: Path) -> None:
    """The tag is the first line of the file or of the variable; with `once` the command ends."""
    (tmp_path / "file").write_text("in the file\nmore")
    with stamps(tmp_path) as fifo:
        Running(
            [programs.stamp, fifo.path, str(tmp_path / "file"), "once"], tmp_path / "log"
        ).wait()
        assert fifo.drain()[0].tag == "in the file"
        line = ["/bin/sh", "-c", 'tag=in_the_variable exec "$@"', "sh"]
        with running([*line, programs.stamp, fifo.path, "env:tag"], tmp_path) as command:
            assert fifo.next().tag == "in_the_variable"
            assert not command.has_ended()


@needs_compiler
def test_the_command_stamps_each_reload(programs: Programs, tmp_path: Path) -> None:
    """With `reload` the command stamps what its file begins with again at each HUP."""
    file = tmp_path / "file"
    file.write_text("first")
    with stamps(tmp_path) as fifo:
        line = [programs.stamp, fifo.path, str(file), RELOAD]
        with running(line, tmp_path) as command:
            assert fifo.next().tag == "first"
            for tag in ("second", "third"):
                file.write_text(tag)
                os.kill(command.pid, signal.SIGHUP)
                assert fifo.next()[1:] == (command.pid, tag)


def test_a_fork_costs_something(tmp_path: Path) -> None:
    """The reference of a health check prints the CPU time of one fork, in microseconds."""
    Running([sys.executable, "-I", str(PROGRAMS / "fork_once.py")], tmp_path / "log").wait()

    assert int((tmp_path / "log").read_text()) > 0


def test_peers_that_are_missing_are_named(folder_of_peers: Path) -> None:
    """Each program that is not there is left out, with the reason why it was not installed."""
    (folder_of_peers / LEFT_OUT).write_text("confd: there is no Go\n")

    assert list(left_out(str(folder_of_peers))) == [
        "confd: there is no Go",
        *(f"{name}: not found in the folder of peers or on the PATH" for name in PEERS[1:]),
    ]


def test_a_peer_without_its_server_is_left_out(folder_of_peers: Path) -> None:
    """A program that needs a Consul is left out if only Consul is missing."""
    stand_in(folder_of_peers, TEMPLATE)

    assert f"{TEMPLATE}: its server, {CONSUL}, is missing" in left_out(str(folder_of_peers))


@needs_compiler
def test_peers_are_measured_beside_zkexec(tmp_path: Path) -> None:
    """Each peer that is there has its start, change, reload and memory beside those of zkexec."""
    for name in PEERS:
        stand_in(tmp_path, name)
    with stage(is_quick=True, peers=str(tmp_path)) as place:
        tables = {table.key: table for table in figure.measure(place)}

    assert tables.keys() <= set(TABLES)
    supervised = {"zkexec", *PEERS} - {CONSUL}
    assert supervised <= tables["peers-start"].series.keys()
    assert supervised <= tables["peers-change"].series.keys()
    assert {"zkexec", TEMPLATE} <= tables["peers-reload"].series.keys()
    assert supervised <= tables["peers-pss"].series.keys()
    for table in tables.values():
        assert all(value > 0 for values in table.series.values() for value in values)
        assert not any("Left out" in note for note in table.notes)
