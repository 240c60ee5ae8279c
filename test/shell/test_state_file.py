"""The state file: private, written in one step, and nothing foreign in it is believed."""

import json
import os
import random
import stat
from pathlib import Path

import pytest

from zkexec.files.state_file import InstalledState, StateFile, hex_digest, state_path

SEED = 20140428
FULL = InstalledState(
    digest="d",
    zxid=7,
    files={"/a": hex_digest(b"1"), os.fsdecode(b"/\xff \n"): hex_digest(b"2")},
    folders=("/b/c", "/b"),
    variables={"A": b"1\xff", "B": b"", "C": "ä=\n".encode()},
    was_healthy=True,
    pending=(("/a", hex_digest(b"3")), ("/x", hex_digest(b"4"))),
    removed=("/y",),
)


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    """A state file that is not written yet, in a folder that does not exist."""
    return StateFile(f"{tmp_path}/above/state/x.state")


@pytest.mark.parametrize("state", [InstalledState(), FULL])
def test_what_was_written_is_read(file: StateFile, state: InstalledState) -> None:
    """All fields come back, with any bytes in names and values."""
    assert file.load() is None
    file.write(FULL)
    file.write(state)
    assert file.load() == state
    assert StateFile(file.path).load() == state


def test_it_is_private(file: StateFile) -> None:
    """The file has 0600 and the folder that is made for it 0700, whatever the umask is."""
    before = os.umask(0)
    try:
        file.write(FULL)
        file.write(InstalledState())
    finally:
        os.umask(before)
    path = Path(file.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["x.state"]


def test_the_folder_of_root_is_open_to_those_below(
    file: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the umask is, services of other users can enter their folders below it."""
    folder = Path(file.path).parent
    folder.parent.mkdir()
    monkeypatch.setattr("zkexec.files.state_file._OF_ROOT", str(folder))
    before = os.umask(0o077)
    try:
        file.write(FULL)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert stat.S_IMODE(Path(file.path).stat().st_mode) == 0o600


def test_a_folder_that_is_there_keeps_its_mode(file: StateFile) -> None:
    """Only a new folder is made private."""
    folder = Path(file.path).parent
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    file.write(FULL)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_no_value_is_shown() -> None:
    """A variable's value is in no text of a state."""
    assert "secret" not in repr(InstalledState(variables={"A": b"secret"}))


def test_a_staged_state_is_not_there_yet(file: StateFile) -> None:
    """What is staged is complete on disk, and in its place only when it is moved there."""
    file.write(InstalledState(digest="old"))
    staged = file.stage(FULL)
    assert file.load() == InstalledState(digest="old")
    file.replace(staged)
    staged.discard()
    assert file.load() == FULL
    file.stage(InstalledState()).discard()
    assert file.load() == FULL


def test_any_part_of_it_is_no_state(file: StateFile) -> None:
    """A file that was cut off anywhere, or changed at any place, is never an exception."""
    file.write(FULL)
    path = Path(file.path)
    content = path.read_bytes()
    assert file.load() == FULL
    for size in range(len(content)):
        path.write_bytes(content[:size])
        assert file.load() is None
    places = random.Random(SEED)
    for _ in range(2000):
        changed = bytearray(content)
        for _ in range(places.randint(1, 3)):
            changed[places.randrange(len(content))] = places.randrange(256)
        path.write_bytes(changed)
        state = file.load()
        assert state is None or isinstance(state, InstalledState)


VALID = {
    "format": 1,
    "digest": "d",
    "zxid": 1,
    "proves_nothing": False,
    "was_healthy": True,
    "files": {"/a": "0" * 64},
    "folders": ["/b"],
    "variables": {"A": "1"},
    "pending": [["/a", "0" * 64]],
    "removed": [],
}


@pytest.mark.parametrize(
    "hostile",
    [
        {"format": 2},
        {"digest": 1},
        {"zxid": "1"},
        {"zxid": None},
        {"files": []},
        {"files": {"relative": "0" * 64}},
        {"files": {"/a\0": "0" * 64}},
        {"files": {"/a\ud800": "0" * 64}},
        {"files": {"/a": "x" * 64}},
        {"files": {"/a": "0" * 63}},
        {"files": {"/a": None}},
        {"folders": "/b"},
        {"folders": [1]},
        {"variables": []},
        {"variables": {"A": 1}},
        {"variables": {"A": "\ud800"}},
        {"pending": [["/a"]]},
        {"pending": [["/a", "0" * 64, ""]]},
        {"pending": {"/a": "0" * 64}},
        {"removed": None},
    ],
)
def test_hostile_content_is_no_state(file: StateFile, hostile: dict[str, object]) -> None:
    """A field of another type, or a path or digest that can be none, makes it no state at all."""
    file.write(FULL)
    Path(file.path).write_text(json.dumps(VALID))
    assert file.load() is not None
    Path(file.path).write_text(json.dumps({**VALID, **hostile}))
    assert file.load() is None


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, "null", '{"format": 1}'])
def test_odd_json_is_no_state(file: StateFile, text: str) -> None:
    """Text that is no state, also one that is nested too deep, is never an exception."""
    file.write(FULL)
    Path(file.path).write_text(text)
    assert file.load() is None


@pytest.mark.parametrize("kind", ["writable", "link", "fifo", "folder", "theirs"])
def test_a_file_of_others_is_no_state(file: StateFile, tmp_path: Path, kind: str) -> None:
    """A file that another user can have written, or that is no file, is not read, nor blocks."""
    file.write(FULL)
    path = Path(file.path)
    assert file.load() == FULL
    if kind == "writable":
        path.chmod(0o620)
    elif kind == "theirs":
        if os.geteuid():
            pytest.skip("only root may give files away")
        os.chown(path, 1, 1)
    else:
        path.rename(tmp_path / "state")
        if kind == "link":
            path.symlink_to(tmp_path / "state")
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.mkdir()
    assert file.load() is None


def test_a_link_is_replaced(file: StateFile, tmp_path: Path) -> None:
    """Writing follows no link: what it leads to stays as it is."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"theirs")
    Path(file.path).parent.mkdir(parents=True)
    Path(file.path).symlink_to(outside)
    file.write(FULL)
    assert file.load() == FULL
    assert outside.read_bytes() == b"theirs"


def test_a_failed_write_leaves_the_old_state(file: StateFile) -> None:
    """The error has the reason, and nothing is left beside the file."""
    path = Path(file.path)
    path.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        file.write(FULL)
    assert [one.name for one in path.parent.iterdir()] == ["x.state"]


def test_the_usual_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option comes first, then that of a systemd service, then that of the user."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    monkeypatch.setenv("HOME", "/home/me")
    is_root = os.geteuid() == 0
    assert state_path("/given", "n", ()) == "/given/n-.state"
    assert state_path("", "n", ()) == ("/var/lib" if is_root else "/xdg") + "/zkexec/n-.state"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert state_path("", "n", ()) == "/xdg/zkexec/n-.state"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_path("", "n", ()) == "/home/me/.local/state/zkexec/n-.state"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    assert state_path("", "n", ()) == "/var/lib/one/n-.state"


def servers_file(folder: Path, hosts: str, kind: str = "k") -> StateFile:
    """Return the state file for an ensemble of these hosts."""
    return StateFile(state_path(str(folder), kind, [(host, 2181) for host in hosts.split()]))


def test_servers_come_and_go(tmp_path: Path) -> None:
    """The state is found as long as one server stays from list to list, and only one is kept."""
    servers_file(tmp_path, "a b c").write(FULL)
    for hosts in ("c b a", "a b c d", "d", "d e", "e f g"):
        assert servers_file(tmp_path, hosts).load() == FULL, hosts
        assert len(list(tmp_path.iterdir())) == 1
    many = " ".join(f"host-{number}" for number in range(100))
    servers_file(tmp_path, f"{many} g").write(FULL)
    assert servers_file(tmp_path, many).load() == FULL


def test_another_ensemble_has_another_state(tmp_path: Path) -> None:
    """What has no server in common is left alone, as is what is of another kind or no state."""
    one, other = servers_file(tmp_path, "a b"), servers_file(tmp_path, "a b", "l")
    one.write(FULL)
    other.write(InstalledState(digest="other"))
    Path(f"{one.path}.old").write_text("no state")
    before = sorted(tmp_path.iterdir())
    new = servers_file(tmp_path, "c")
    assert new.load() is None
    assert sorted(tmp_path.iterdir()) == before
    new.write(InstalledState(digest="new"))
    assert servers_file(tmp_path, "b a").load() == FULL
    assert servers_file(tmp_path, "c").load() == InstalledState(digest="new")


def test_the_newest_state_of_an_ensemble_counts(tmp_path: Path) -> None:
    """If two zkexec with other servers ran at once, the one that wrote last knows more."""
    ages_s = {"a": 20, "b": 10, "c b a": 30, "x": 0}
    files = {hosts: servers_file(tmp_path, hosts) for hosts in ages_s}
    assert [file.load() for file in files.values()] == [None] * 4
    for hosts, file in files.items():
        file.write(InstalledState(digest=hosts))
        os.utime(file.path, (1e9 - ages_s[hosts], 1e9 - ages_s[hosts]))
    link = servers_file(tmp_path, "a d")
    os.symlink("/etc/passwd", link.path)
    found = servers_file(tmp_path, "c b a").load()
    assert found == InstalledState(digest="b")
