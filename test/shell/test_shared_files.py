"""Members of one host that write to the same files find each other; real processes hold them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.program import Program

SHARE = """
import os, sys
from zkexec.cli import parser
from zkexec.cli.settings import resolve_settings
from zkexec.process import runtime_folder
from zkexec.core.input_options import InputOptions, Mirror, Template
from zkexec.frozen import replace
from zkexec.runtime.member_id import lock_member_id
from zkexec.runtime.shared_files import share_files

runtime_folder.RUN = runtime_folder.TMP = os.environ["RUN"]
settings = resolve_settings(parser.read(["--mirror=/file=/z", *sys.argv[2:]]), {})
targets = sys.argv[1].split("|")
inputs = InputOptions(
    mirrors=tuple(Mirror(one, "/z/") for one in targets if "rendered" not in one),
    templates=tuple(Template(one, "/z") for one in targets if "rendered" in one),
)
settings = replace(settings, policy=replace(settings.policy, inputs=inputs))
identity = lock_member_id(settings)
for other in share_files(settings, identity):
    print(f"{other.member}|{other.pid}|{other.file}")
print(f"ready|{identity.member_id}", flush=True)
sys.stdin.read()
"""


class Sharer:
    """A process that publishes its targets until it is killed; `found` are the others."""

    def __init__(self, targets: str, lock: str, environment: dict[str, str]) -> None:
        self.program = Program(
            *(sys.executable, "-c", SHARE, targets, f"--lock={lock}", "--", "server"),
            stdin=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **environment},
        )
        self.found: list[tuple[str, int, str]] = []
        self.member_id = ""
        self.program.until("^ready", on=self.program.stdout)
        *others, last = self.program.stdout.lines
        self.member_id = last.partition("|")[2]
        for member, pid, file in (line.split("|") for line in others):
            self.found.append((member, int(pid), file))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.program.pid

    def kill(self) -> None:
        """Let it die without any chance to tidy up."""
        self.program.close()


Start = Callable[..., Sharer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process that writes to these files, relative ones below the test's folder."""
    started: list[Sharer] = []
    (tmp_path / "run").mkdir()

    def start(*files: str, lock: str = "g", **environment: object) -> Sharer:
        targets = "|".join(f"{tmp_path}/{file}" for file in files)
        given = {"RUN": str(tmp_path / "run"), **{k: str(v) for k, v in environment.items()}}
        started.append(Sharer(targets, lock, given))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_the_second_finds_the_first(start: Start, tmp_path: Path) -> None:
    """Whoever comes later is told who else writes to its files, once for each other member."""
    first = start("a", "b")
    second = start("c", "b", "a")
    third = start("c")

    assert first.found == []
    assert second.found == [(first.member_id, first.pid, str(tmp_path / "b"))]
    assert third.found == [(second.member_id, second.pid, str(tmp_path / "c"))]


def test_whoever_is_gone_is_not_found(start: Start) -> None:
    """What a killed member has left behind is no reason for a warning."""
    first = start("a", lock="other")
    assert [found[1] for found in start("a", lock="third").found] == [first.pid]
    first.kill()

    assert first.pid not in [found[1] for found in start("a").found]


def test_a_member_is_not_its_own_neighbour(start: Start) -> None:
    """Killed and started again, it finds those that are still there, and not itself."""
    first, second = start("a"), start("a")
    first.kill()
    again = start("a")

    assert again.member_id == first.member_id
    assert [found[0] for found in again.found] == [second.member_id]


def test_another_name_of_the_same_file(start: Start, tmp_path: Path) -> None:
    """A link on the way to a file makes no other file of it."""
    (tmp_path / "link").symlink_to(tmp_path)
    first = start("a")

    assert start("link/a").found == [(first.member_id, first.pid, str(tmp_path / "a"))]


def test_a_member_of_another_group(start: Start) -> None:
    """It is told with the name of its group."""
    first = start("a", lock="other")

    assert [found[0] for found in start("a").found] == [f"{first.member_id} of other"]


def test_two_services_find_each_other(start: Start, tmp_path: Path) -> None:
    """Their own folders are different ones, but there is one of the host."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o755)
    first = start("a", RUNTIME_DIRECTORY=tmp_path / "one")

    assert [f[1] for f in start("a", RUNTIME_DIRECTORY=tmp_path / "two").found] == [first.pid]


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"1", b'{"files": 1}', b"\xff" * 100])
def test_what_others_wrote_is_no_trouble(start: Start, tmp_path: Path, junk: bytes) -> None:
    """A file that tells nothing is passed over, whoever has locked it."""
    first = start("a")
    (file,) = (tmp_path / "run").glob("**/*.files")
    file.write_bytes(junk)
    third = start("a")

    assert third.found == []
    assert [found[1] for found in start("a").found] == [third.pid]
    assert first.found == []


def test_many_at_once(start: Start) -> None:
    """Only so many others are told of as a line has room for."""
    sharers = [start("a") for _ in range(12)]

    assert [len(sharer.found) for sharer in sharers] == [*range(11), 10]


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("rendered", "rendered", "rendered"),
        ("tree/", "tree/", "tree/"),
        ("tree/", "tree/below", "tree/below"),
        ("tree/below", "tree/", "tree/"),
        ("tree/", "tree/in/", "tree/in/"),
        ("link/", "tree/rendered", "tree/rendered"),
        ("tree/", "tree-old", ""),
        ("tree/", "tree", ""),
    ],
)
def test_trees_and_templates(
    start: Start, tmp_path: Path, first: str, second: str, found: str
) -> None:
    """A target in the folder of another member's tree is shared, as is that of a template."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "link").symlink_to("tree")
    start("unrelated", first)
    files = [file for _, _, file in start(second, "other").found]

    assert files == ([str(tmp_path / found) + "/" * found.endswith("/")] if found else [])
