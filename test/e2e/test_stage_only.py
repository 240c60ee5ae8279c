"""`--stage-only`: what would be installed is written and checked, and nothing else happens."""

import os
import signal
import stat
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost
from support.program import Program
from support.sandbox import ZKEXEC
from support.waiting import until

CHECK_FAILED, USAGE, CANNOT_WORK = 1, 2, 125


@pytest.fixture
def staged(host: MirroredHost) -> Path:
    """The folder in which a test lets the files be staged; it does not exist yet."""
    host.create(a=b"one", b=b"two\n")
    return host.sandbox.folder / "staged"


def stage(host: MirroredHost, folder: Path, *options: str, names: str = "a b") -> Program:
    """Start zkexec with `--stage-only`."""
    return host.start(*host.mirrors(*names.split()), f"--stage-only={folder}", *options)


def contents(host: MirroredHost, folder: Path) -> dict[str, bytes]:
    """What is staged, by the names of the files."""
    below = Path(f"{folder}{host.folder}")
    return {path.name: path.read_bytes() for path in below.iterdir()}


def test_the_files_are_staged_at_their_full_paths(host: MirroredHost, staged: Path) -> None:
    """The folder has the files, as new targets would be; the targets and the cluster have not."""
    group = f"--lock={host.root}/group"
    run = stage(host, staged, group, "--health=false", f"--exec={host.recorder('a')}")

    assert run.wait() == 0, run.stderr.text
    assert contents(host, staged) == {"a": b"one", "b": b"two\n"}
    assert stat.S_IMODE(staged.stat().st_mode) == 0o700
    umask = os.umask(0o022)
    os.umask(umask)
    mode = Path(f"{staged}{host.file('a')}").stat().st_mode
    assert stat.S_IMODE(mode) == 0o644 & ~umask
    assert list(host.folder.iterdir()) == []
    assert not host.births()
    assert sorted(host.client.get_children(host.root)) == ["a", "b"]


def test_the_files_have_the_modes_that_options_give(host: MirroredHost, staged: Path) -> None:
    """In a folder that is there already, a file with a secret is for its user alone, too."""
    staged.mkdir(mode=0o755)
    run = stage(host, staged, "--mode=0600", f"--mode={host.file('b')}=0640")

    assert run.wait() == 0, run.stderr.text
    modes = [Path(f"{staged}{host.file(name)}").stat().st_mode & 0o777 for name in ("a", "b")]
    assert modes == [0o600, 0o640]


def test_all_kinds_of_inputs_are_staged(host: MirroredHost, staged: Path) -> None:
    """Trees, rendered templates and variables are in the folder, and the check sees all of them."""
    for name, content in (("t", b""), ("t/x", b"in a tree"), ("t/y", b""), ("t/y/z", b"deeper")):
        host.client.create(f"{host.root}/{name}", content)
    template = host.sandbox.folder / "text.j2"
    template.write_text(f"{{{{ zk('{host.root}/a') }}}} rendered\n")
    run = stage(
        *(host, staged, f"--mirror={host.folder}/tree/={host.root}/t/"),
        *(f"--template={host.folder}/c=@{template}", f"--values={host.root}"),
        *(f"--env=FIRST={host.root}/b", f"--env-tree={host.root}/t=TREE_"),
        '--check=ls -d "$@"; cat "$1/y/z"; echo "<$FIRST>"',
        names="",
    )

    assert run.wait() == 0, run.stderr.text
    below = Path(f"{staged}{host.folder}")
    found = {
        str(path.relative_to(below)): path.read_bytes()
        for path in below.rglob("*")
        if path.is_file()
    }
    assert found == {"tree/x": b"in a tree", "tree/y/z": b"deeper", "c": b"one rendered\n"}
    assert (staged / ".env").read_bytes() == (b"FIRST=two\nTREE_X='in a tree'\nTREE_Y_Z=deeper\n")
    assert "deeper<two>" in run.stderr.text
    assert list(host.folder.iterdir()) == []


def test_a_template_with_an_error_is_refused(host: MirroredHost, staged: Path) -> None:
    """An error in a template ends with the status of a failed check, and nothing is staged."""
    template = host.sandbox.folder / "text.j2"
    template.write_text("{{ nothing }}\n")
    run = stage(host, staged, f"--template={host.folder}/c=@{template}")

    assert run.wait() == CHECK_FAILED
    assert f"{template}: line 1: " in run.stderr.text
    assert not staged.exists()


def test_an_empty_folder_is_good(host: MirroredHost, staged: Path) -> None:
    """A folder that exists is used if it is empty."""
    staged.mkdir()

    assert stage(host, staged).wait() == 0
    assert contents(host, staged) == {"a": b"one", "b": b"two\n"}


def test_a_folder_with_files_is_a_mistake(host: MirroredHost, staged: Path) -> None:
    """A folder that is not empty stays as it is."""
    staged.mkdir()
    (staged / "mine").touch()
    run = stage(host, staged)

    assert run.wait() == USAGE
    assert "is not empty: write the path of a new folder" in run.stderr.text
    assert [path.name for path in staged.iterdir()] == ["mine"]


def test_a_check_that_passes(host: MirroredHost, staged: Path) -> None:
    """The check gets copies of the staged files, and its output is on stderr."""
    run = stage(host, staged, '--check=cat "$@"; cd "$ZKEXEC_STAGED" && find . -type f')

    assert run.wait() == 0
    text = run.stderr.text
    assert "onetwo\n" in text
    assert f".{host.file('b')}\n" in text


def test_a_check_that_fails(host: MirroredHost, staged: Path) -> None:
    """The exit status is 1, the reason is one line with --silent, and the files stay."""
    run = stage(host, staged, "--silent", '--check=echo "bad: $1" >&2; exit 3')

    assert run.wait() == CHECK_FAILED
    printed, line = run.stderr.lines
    assert printed.startswith("bad: /")
    assert line.endswith(f"the check failed: exit status 3: bad: {host.file('a')}")
    assert contents(host, staged) == {"a": b"one", "b": b"two\n"}


def test_a_check_that_hangs(host: MirroredHost, staged: Path) -> None:
    """The check is killed at the end of its time, with all that it started."""
    run = stage(host, staged, "--check=sleep 1000 & sleep 1001", "--check-timeout=0.1")

    assert run.wait() == CHECK_FAILED
    assert "the check failed: no end within 0.1 s" in run.stderr.text
    host.sandbox.wait_until_empty()


def test_a_check_that_cannot_run(host: MirroredHost, staged: Path) -> None:
    """A check whose program is missing is no judgement of the files."""
    run = stage(host, staged, "--check=/no/check")

    assert run.wait() == CANNOT_WORK
    assert "the check could not run: cannot execute /no/check: No such file" in run.stderr.text


def test_a_missing_znode(host: MirroredHost, staged: Path) -> None:
    """If an input cannot be used, the folder is not made."""
    run = stage(host, staged, "--start=wait", names="a nowhere")

    assert run.wait() == CANNOT_WORK
    assert f"{host.path('nowhere')} does not exist" in run.stderr.text
    assert not staged.exists()


def test_no_cluster(host: MirroredHost, staged: Path) -> None:
    """A cluster that does not answer is given up after the connect timeout."""
    host.hosts = "127.0.0.1:1"
    run = stage(host, staged, "--connect-timeout=0.2")

    assert run.wait() == CANNOT_WORK
    assert "no configuration from 127.0.0.1:1 within 0.2 s" in run.stderr.text
    assert not staged.exists()


def test_what_cannot_be_written_leaves_nothing(host: MirroredHost, staged: Path) -> None:
    """If a file does not fit on the disk, those before it are removed."""
    host.set(b=b"x" * 4096)
    limited = ("/bin/sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *ZKEXEC)
    run = host.start(*host.mirrors("a", "b"), f"--stage-only={staged}", program=limited)

    assert run.wait() == CANNOT_WORK
    assert f"--stage-only: cannot write {host.file('b')}: File too large" in run.stderr.text
    assert not staged.exists()


def test_a_signal_ends_it(host: MirroredHost, staged: Path) -> None:
    """A TERM during the check ends the check and zkexec, by that signal."""
    up = host.sandbox.folder / "up"
    run = stage(host, staged, f"--check=: >{up}; sleep 1000")
    until(up.exists, "the check runs")
    run.signal(signal.SIGWINCH)
    run.signal(signal.SIGTERM)

    assert run.wait() == -signal.SIGTERM
    host.sandbox.wait_until_empty()


def test_without_files_it_is_a_mistake(host: MirroredHost, staged: Path) -> None:
    """There is nothing to stage without a mirror, and the line says what to add."""
    run = host.start(f"--stage-only={staged}", "--", "true")

    assert run.wait() == USAGE
    assert "--stage-only: there are no files: add --mirror LOCAL_PATH=ZK_PATH" in run.stderr.text
