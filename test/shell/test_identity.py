"""A member's name: the same after a new start, never that of two living processes.

Real processes hold the names here, in folders of their own.  Where the tests are run by root,
the processes give that up first.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.program import Program

NOBODY = 65534

HOLD = """
import os, sys
from zkexec.cli import parser
from zkexec.cli.settings import resolve_settings
from zkexec.runtime import member_id
from zkexec.process import runtime_folder

settings = resolve_settings(parser.read(sys.argv[1:]), {})
os.umask(int(os.environ.get("UMASK", "022"), 8))
if os.getuid() == 0 and "STAYS_ROOT" not in os.environ:
    os.setgid(65534)
    os.setuid(65534)
runtime_folder.RUN, runtime_folder.TMP = os.environ["RUN"], os.environ["TMP"]
if "HOST" in os.environ:
    os.uname = lambda: os.uname_result(("", os.environ["HOST"], "", "", ""))
try:
    held = member_id.lock_member_id(settings)
except member_id.MemberIdError as error:
    print(f"error|{error}", flush=True)
else:
    print(f"{held.member_id}|{held.lock_file_id}|{held.obstacles}".rstrip("|"), flush=True)
sys.stdin.read()
"""

WORDS = ("--lock", "group", "--", "server", "-p")


class Holder:
    """A process that holds a name until it is killed."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.program = Program(
            *(sys.executable, "-c", HOLD, *(words or WORDS)),
            stdin=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **environment},
        )

    def answer(self) -> tuple[str, str]:
        """The name and its place, or the word "error" and a line."""
        line = self.program.expect(r"(.*)\n", self.program.stdout)[1]
        first, _, rest = line.strip().partition("|")
        return first, rest

    def kill(self) -> None:
        """Let it die without any chance to tidy up."""
        self.program.close()


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
        ("--lock", "group", "--mirror", "/tmp/none/x/=/x/", "--", "server", "-p"),
        ("--lock", "group", "--env", "X=/x", "--", "server", "-p"),
        ("--lock", "group", "--env-tree", "/x", "--", "server", "-p"),
        ("--lock", "group", "--cluster", "other", "--", "server", "-p"),
        ("--lock", "group", "--cluster", "localhost/root", "--", "server", "-p"),
    ],
)
def test_another_command_is_another_member(start: Start, words: tuple[str, ...]) -> None:
    """Lock, command, inputs and cluster each are part of the name."""
    assert start().answer()[0].rpartition("-")[0] != start(*words).answer()[0].rpartition("-")[0]


def test_the_name_of_a_member_stays_what_it_is(start: Start) -> None:
    """A member with plain mirrors has the name that groups may have stored."""
    words = ("--mirror", "/x/app.conf=/app.conf", "--mirror", "/x/b=/b")
    holder = start("--lock", "group", *words, "--", "server", "-p", HOST="web1")

    assert holder.answer()[0] == "web1-d722286d-0"


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
    held = [info.read_text() for info in Path(f"/proc/{holder.program.pid}/fdinfo").iterdir()]
    locked = [info for info in held if "lock:" in info]

    assert len(locked) == 2
    assert all(int(re.findall(r"flags:\s*(\d+)", info)[0], 8) & os.O_CLOEXEC for info in locked)


def test_a_folder_that_others_could_write_to(start: Start, home: Path) -> None:
    """A folder that is not ours alone stays as it is, and the other place is taken."""
    folder = home / "user" / "zkexec"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
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
        "--lock: no folder for the lock of the member ID: "
        f"{home}/user/zkexec (Not a directory), {home}/tmp/zkexec-{user} (Not a directory); "
        "make one of them usable, name another by "
        "$RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR, or give each member a --member-id of its own"
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
    os.chown(home / "tmp", 0, 0)
    first = start(STAYS_ROOT="1", UMASK="077").answer()
    second = start(STAYS_ROOT="1", RUN="/proc").answer()

    assert first[0] == second[0]
    assert first[1] != second[1]
    assert len(list((home / "run" / "zkexec").iterdir())) == 1
    assert len(list((home / "tmp" / "zkexec-0").iterdir())) == 1
    # systemd puts the folders of services of other users below the first, whatever the umask is.
    modes = [stat.S_IMODE((home / name).stat().st_mode) for name in ("run/zkexec", "tmp/zkexec-0")]
    assert modes == [0o711, 0o700]


@pytest.fixture
def service(home: Path) -> Callable[[str], Path]:
    """Make the folder of a service as systemd does."""

    def make(name: str) -> Path:
        folder = home / "services" / name
        folder.mkdir(parents=True, mode=0o755)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        return folder

    return make


def locks_in(folder: Path) -> int:
    """How many names are locked in a folder."""
    return len(list(folder.glob("*.lock")))


def test_the_folder_of_a_service(start: Start, service: Callable[[str], Path]) -> None:
    """Of several folders that systemd made, the first that can be used holds the lock."""
    first, second = service("first"), service("second")
    first.chmod(0o777)
    name, _ = start(RUNTIME_DIRECTORY=f"relative:{first}:{second}").answer()

    assert name.endswith("-0")
    assert (locks_in(first), locks_in(second)) == (0, 1)


def test_two_services_with_the_same_command(start: Start, service: Callable[[str], Path]) -> None:
    """Two services of one host are two members, and each is the same again after a new start."""
    folders = [str(service(name)) for name in ("a", "b")]
    holders = [start(RUNTIME_DIRECTORY=folder) for folder in folders]
    names = [holder.answer()[0] for holder in holders]
    for holder in holders:
        holder.kill()

    assert len(set(names)) == 2
    assert [start(RUNTIME_DIRECTORY=folder).answer()[0] for folder in folders] == names
    assert start(RUNTIME_DIRECTORY=folders[0]).answer()[0] == names[0].removesuffix("-0") + "-1"


def test_systemd_makes_the_folder_anew(start: Start, service: Callable[[str], Path]) -> None:
    """A service that was killed is at the same place again, though its folder is a new one."""
    folder = service("web")
    first = start(RUNTIME_DIRECTORY=folder)
    before = first.answer()
    first.kill()
    aside = folder.rename(folder.with_name("keeps-the-inode"))
    service("web")

    assert start(RUNTIME_DIRECTORY=folder).answer() == before
    assert locks_in(aside) == locks_in(folder) == 1


def test_a_link_to_the_folder_of_a_service(
    start: Start, home: Path, service: Callable[[str], Path]
) -> None:
    """A link of root's is followed, as systemd makes one, and a link of anybody else's is not."""
    folder, link = service("private"), home / "services" / "link"
    link.symlink_to(folder)
    start(RUNTIME_DIRECTORY=link).answer()
    is_roots = link.lstat().st_uid == 0

    assert locks_in(folder) == is_roots
    if is_roots:
        os.lchown(link, NOBODY, NOBODY)
        start("--lock", "other", "--", "server", RUNTIME_DIRECTORY=link).answer()
        assert locks_in(folder) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user(start: Start, home: Path) -> None:
    """A folder that another user has made first is not used, and named as what it is."""
    for place in ("user/zkexec", f"tmp/zkexec-{NOBODY}"):
        (home / place).mkdir()

    first, line = start().answer()

    assert first == "error"
    assert f"{home}/user/zkexec (belongs to another user)" in line
    assert f"{home}/tmp/zkexec-{NOBODY} (belongs to another user)" in line


def test_a_given_name_without_a_folder(start: Start) -> None:
    """A name that was given is used without a lock, and the places differ all the same."""
    words = ("--member-id", "me", *WORDS)
    nowhere = {"XDG_RUNTIME_DIR": "/proc/none", "TMP": "/proc/none"}
    answers = [start(*words, **nowhere).answer() for _ in range(2)]
    places, obstacles = zip(*(rest.split("|") for _, rest in answers), strict=True)

    assert [name for name, _ in answers] == ["me", "me"]
    assert len(set(places)) == 2
    assert obstacles[0].startswith("/proc/none/zkexec (No such file or directory), /proc/none/")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_read_only(start: Start, home: Path) -> None:
    """On a file system that is read-only a folder that is there already is no place for a lock."""
    folder = home / "user" / "zkexec"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"ro,uid={NOBODY},mode=700", "none", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("no permission to mount")
    try:
        assert start().answer()[0].endswith("-0")
        assert locks_in(home / "tmp" / f"zkexec-{NOBODY}") == 1
    finally:
        subprocess.run(["umount", str(folder)], check=True)
