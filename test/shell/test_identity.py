"""A member's name: the same after a new start, never that of two living processes.

Real processes hold the names here, in folders of their own.  Where the tests are run by root,
the processes give that up first.
"""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NOBODY = 65534

HOLD = """
import os, sys
from zkexec import arguments
from zkexec.settings import settle
from zkexec.shell import identity

settings = settle(arguments.read(sys.argv[1:]), {})
if os.getuid() == 0 and "STAYS_ROOT" not in os.environ:
    os.setgid(65534)
    os.setuid(65534)
identity.RUN, identity.TMP = os.environ["RUN"], os.environ["TMP"]
if "HOST" in os.environ:
    os.uname = lambda: os.uname_result(("", os.environ["HOST"], "", "", ""))
try:
    held = identity.hold_identity(settings)
except identity.IdentityError as error:
    print(f"error|{error}", flush=True)
else:
    print(f"{held.member_id}|{held.place}", flush=True)
sys.stdin.read()
"""

WORDS = ("--lock", "group", "--", "server", "-p")


class Holder:
    """A process that holds a name until it is killed."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *(words or WORDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **environment},
            text=True,
        )

    def answer(self) -> tuple[str, str]:
        """The name and its place, or the word "error" and a line."""
        assert self.process.stdout is not None
        first, _, rest = self.process.stdout.readline().strip().partition("|")
        return first, rest

    def kill(self) -> None:
        """Let it die without any chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


Start = Callable[..., Holder]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for the locks, in which also the one who is nobody may write."""
    folder = Path(tempfile.mkdtemp(prefix="zkexec-test-identity-"))
    for name in ("run", "tmp", "user"):
        (folder / name).mkdir()
        if os.geteuid() == 0:
            os.chown(folder / name, NOBODY, NOBODY)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start a process that holds a name below `home`, see Holder."""
    started: list[Holder] = []
    places = {"RUN": home / "run", "TMP": home / "tmp", "XDG_RUNTIME_DIR": home / "user"}

    def start(*words: str, **environment: str) -> Holder:
        started.append(Holder(*words, **{k: str(v) for k, v in places.items()} | environment))
        return started[-1]

    yield start
    for holder in started:
        holder.kill()


def test_a_name_is_made_of_host_and_command(start: Start) -> None:
    """The name tells the host, is that of a znode, and ends in the first number that is free."""
    member_id, place = start().answer()

    assert re.fullmatch(r"[A-Za-z0-9._-]+-[0-9a-f]{8}-0", member_id)
    assert member_id.startswith(os.uname().nodename)
    assert re.fullmatch(r"[0-9a-f-]{36}-[0-9a-f]+-[0-9a-f]+", place)


def test_killed_and_started_again(start: Start) -> None:
    """Whoever was killed is the same member, at the same place, as soon as it runs again."""
    first = start()
    before = first.answer()
    first.kill()

    assert start().answer() == before


def test_many_at_once(start: Start) -> None:
    """Twenty with the same command get twenty names and places; one in the middle comes back."""
    holders = [start() for _ in range(20)]
    answers = [holder.answer() for holder in holders]

    assert sorted(int(name.rpartition("-")[2]) for name, _ in answers) == list(range(20))
    assert len({place for _, place in answers}) == 20
    holders[7].kill()
    assert start().answer() == answers[7]


@pytest.mark.parametrize(
    "words",
    [
        ("--lock", "other", "--", "server", "-p"),
        ("--lock", "group", "--", "server", "-q"),
        ("--lock", "group", "--", "server -p"),
        ("--lock", "group", "--mirror", "/tmp/none/x=/x", "--", "server", "-p"),
        ("--lock", "group", "--cluster", "other", "--", "server", "-p"),
        ("--lock", "group", "--cluster", "localhost/root", "--", "server", "-p"),
    ],
)
def test_another_command_is_another_member(start: Start, words: tuple[str, ...]) -> None:
    """Lock, command, mirrors and cluster each are part of the name."""
    assert start().answer()[0].rpartition("-")[0] != start(*words).answer()[0].rpartition("-")[0]


def test_a_given_name(start: Start) -> None:
    """A name that was given is taken as it is, by one process at a time in each group."""
    words = ("--member-id", "it is me", "--", "server")
    first = start("--lock", "a", *words)

    assert first.answer()[0] == "it is me"
    assert start("--lock", "a", *words).answer() == (
        "error",
        "--member-id: another zkexec on this host uses it is me",
    )
    assert start("--lock", "b", *words).answer()[0] == "it is me"
    first.kill()
    assert start("--lock", "a", *words).answer()[0] == "it is me"


def test_a_given_name_that_looks_automatic(start: Start) -> None:
    """A name that was given and one that was made are never the same at a time."""
    first = start()
    name, _ = first.answer()

    assert start("--member-id", name, *WORDS).answer()[0] == "error"
    first.kill()
    assert start("--member-id", name, *WORDS).answer()[0] == name
    assert start().answer()[0] == name.removesuffix("-0") + "-1"


@pytest.mark.parametrize(
    ("host", "stem"), [("a/b\tc", "a-b-c"), ("", "host"), ("é..", "-.."), ("x" * 300, "x" * 100)]
)
def test_an_odd_name_of_a_host(start: Start, host: str, stem: str) -> None:
    """Whatever a host is called, its members have names that znodes can have."""
    assert re.fullmatch(re.escape(stem) + "-[0-9a-f]{8}-0", start(HOST=host).answer()[0])


def test_the_files_are_ours_alone(start: Start, home: Path) -> None:
    """Nobody else can hold, read or remove the files of the locks."""
    start().answer()
    folder = home / "user" / "zkexec"

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


def test_a_child_does_not_hold_the_name(start: Start) -> None:
    """What holds the name is closed on exec, so that nothing that outlives zkexec keeps it."""
    holder = start()
    holder.answer()
    held = [info.read_text() for info in Path(f"/proc/{holder.process.pid}/fdinfo").iterdir()]
    locked = [info for info in held if "lock:" in info]

    assert len(locked) == 2
    assert all(int(re.findall(r"flags:\s*(\d+)", info)[0], 8) & os.O_CLOEXEC for info in locked)


def test_a_folder_that_others_could_write_to(start: Start, home: Path) -> None:
    """A folder that is not ours alone stays as it is, and the other place is taken."""
    folder = home / "user" / "zkexec"
    folder.mkdir()
    folder.chmod(0o777)
    name, _ = start().answer()

    assert name.endswith("-0")
    assert list(folder.iterdir()) == []
    assert len(list((home / "tmp" / f"zkexec-{os.stat(home / 'user').st_uid}").iterdir())) == 1


def test_a_symlink_in_the_place_of_a_folder(start: Start, home: Path) -> None:
    """A symlink that somebody has laid is not followed, and the error names every place."""
    user = os.stat(home / "user").st_uid
    (home / "user" / "zkexec").symlink_to(home / "run")
    (home / "tmp" / f"zkexec-{user}").symlink_to(home / "run")

    first, line = start().answer()

    assert first == "error"
    assert line == (
        "--lock: expected a folder to hold the member's name in, "
        f"got {home}/user/zkexec (Not a directory) "
        f"and {home}/tmp/zkexec-{user} (Not a directory)"
    )
    assert list((home / "run").iterdir()) == []


@pytest.mark.parametrize("runtime", ["", "relative", "/proc/none"])
def test_without_a_folder_for_the_user(start: Start, home: Path, runtime: str) -> None:
    """Where XDG_RUNTIME_DIR says nothing of use, the temporary folder does."""
    assert start(XDG_RUNTIME_DIR=runtime).answer()[0].endswith("-0")
    assert len(list((home / "tmp").glob("zkexec-*/*.lock"))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root")
def test_the_folder_of_root(start: Start, home: Path) -> None:
    """Root's locks lie in /run, and where that cannot be written to, in the temporary folder."""
    os.chown(home / "run", 0, 0)
    first = start(STAYS_ROOT="1").answer()
    second = start(STAYS_ROOT="1", RUN="/proc").answer()

    assert first[0] == second[0]
    assert first[1] != second[1]
    assert len(list((home / "run" / "zkexec").iterdir())) == 1
    assert len(list((home / "tmp" / "zkexec-0").iterdir())) == 1
