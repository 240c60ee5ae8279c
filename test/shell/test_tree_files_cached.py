"""The installed configuration as the next start finds it: by the state file, or not at all."""

import os
import re
from pathlib import Path

import pytest

from support.waiting import until
from zkexec.cli import parser
from zkexec.cli.settings import Settings, resolve_settings
from zkexec.core.events import CachedFilesFound, CachedFilesMissing, FilesInstalled, FilesStaged
from zkexec.core.input_options import InputOptions, Mirror, Template, Variable
from zkexec.core.policy import StartPolicy
from zkexec.core.snapshot import Snapshot
from zkexec.core.target_attributes import AttributeRule, TargetAttributes
from zkexec.files.state_file import StateFile
from zkexec.frozen import replace
from zkexec.runtime.file_actions import FileActions, layout_of
from zkexec.runtime.log import Log


def settings_for(folder: Path, *, start: StartPolicy = StartPolicy.CACHED) -> Settings:
    """Return settings with a file, a tree, a template and a variable."""
    settings = resolve_settings(parser.read(["--mirror=/file=/z", "--", "server"]), {})
    inputs = InputOptions(
        mirrors=(
            Mirror(f"{folder}/file", "/file"),
            Mirror(f"{folder}/tree/", "/tree/"),
        ),
        templates=(Template(f"{folder}/rendered", "/template"),),
        variables=(Variable("NAME", "/name"),),
    )
    policy = replace(settings.policy, inputs=inputs, start=start)
    return replace(settings, policy=policy, state_dir=f"{folder}/state")


class Start:
    """A start of zkexec on a host: what it finds and installs."""

    def __init__(self, folder: Path, *, start: StartPolicy = StartPolicy.CACHED) -> None:
        self.folder = folder
        self.layout = layout_of(settings_for(folder, start=start), "")
        self.actions = FileActions(self.layout, Log(settings_for(folder)))
        assert self.layout.state is not None
        self.state: StateFile = self.layout.state

    def snapshot(self, digest: str = "d", value: bytes = b"secret") -> Snapshot:
        """Return a snapshot of all inputs."""
        files = {"file": b"1", "rendered": b"2", "tree/a": b"3", "tree/b/c": b"4"}
        contents = {f"{self.folder}/{path}": content for path, content in files.items()}
        return Snapshot(contents, digest=digest, variables={"NAME": value})

    def install(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Stage and install a snapshot."""
        assert isinstance(self.actions.stage(snapshot, None), FilesStaged)
        installed = self.actions.install(None)
        assert isinstance(installed, FilesInstalled), installed
        return installed.written

    @property
    def reason(self) -> str:
        """Why there are no cached files, "" if there are."""
        found = self.actions.load_cached()
        return found.reason if isinstance(found, CachedFilesMissing) else ""


@pytest.fixture
def installed(tmp_path: Path) -> Start:
    """A start that has installed a snapshot."""
    start = Start(tmp_path)
    start.install(start.snapshot())
    return start


def test_the_installed_snapshot_is_found(installed: Start) -> None:
    """It has the files, the digest and the variables, and the command was not healthy yet."""
    again = Start(installed.folder)
    expected = again.snapshot()
    assert again.actions.load_cached() == CachedFilesFound(expected)
    found = again.actions.load_cached()
    assert isinstance(found, CachedFilesFound)
    assert found.snapshot.digest == "d"
    assert found.snapshot.variables == {"NAME": b"secret"}
    assert not found.was_healthy


def test_health_is_remembered(installed: Start) -> None:
    """It lasts as long as files and variables stay the same, whatever the digest is."""
    installed.actions.remember(installed.snapshot(), True)
    assert installed.actions.load_cached() == CachedFilesFound(installed.snapshot(), True)
    again = Start(installed.folder)
    assert again.actions.load_cached() == CachedFilesFound(again.snapshot(), True)
    assert again.install(again.snapshot()) == ()
    assert again.install(again.snapshot("other")) == ()
    assert again.actions.load_cached() == CachedFilesFound(again.snapshot("other"), True)
    again.actions.remember(again.snapshot("third"), True)
    again = Start(installed.folder)
    assert again.actions.load_cached() == CachedFilesFound(again.snapshot("third"), True)
    assert again.install(again.snapshot("third", b"new")) == ()
    assert again.actions.load_cached() == CachedFilesFound(again.snapshot("third", b"new"), False)


class Advances:
    """A source that is always due, and counts how often it was advanced."""

    descriptor = None
    deadline = 0.0

    def __init__(self) -> None:
        self.count = 0

    def advance(self) -> None:
        """Count."""
        self.count += 1


def test_the_session_goes_on_while_the_state_is_written_and_read(
    installed: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk costs no session, and what follows finds the state in its place."""
    source = Advances()
    slow: list[str] = []

    def wait(call: str) -> None:
        before = source.count
        until(lambda: source.count >= before + 5, f"the source is advanced during {call}")
        slow.append(call)

    sync, status = os.fsync, os.fstat

    def slow_sync(file: int) -> None:
        wait("fsync")
        sync(file)

    def slow_status(file: int) -> os.stat_result:
        wait("fstat")
        return status(file)

    monkeypatch.setattr(os, "fsync", slow_sync)
    installed.actions.remember(installed.snapshot("new"), True, source)
    written = StateFile(installed.state.path).load()
    assert written is not None
    assert (written.digest, written.was_healthy) == ("new", True)
    assert "fsync" in slow

    monkeypatch.setattr(os, "fstat", slow_status)
    found = installed.actions.load_cached(source)
    monkeypatch.undo()
    assert found == CachedFilesFound(installed.snapshot("new"), True)
    assert "fstat" in slow


@pytest.mark.parametrize("name", ["file", "rendered", "tree/a", "tree/b/c"])
@pytest.mark.parametrize("change", ["edited", "removed", "fifo", "link"])
def test_a_file_that_does_not_match_is_named(installed: Start, name: str, change: str) -> None:
    """If one listed file is not as it was installed, nothing is found, and the reason names it."""
    assert installed.reason == ""
    path = installed.folder / name
    if change == "edited":
        path.write_bytes(b"!")
    else:
        path.unlink()
    if change == "fifo":
        os.mkfifo(path)
    elif change == "link":
        path.symlink_to("missing")
    for start in (installed, Start(installed.folder)):
        assert start.reason.startswith(f"{path}: ")
        assert "secret" not in start.reason


def test_a_missing_folder_is_named(installed: Start) -> None:
    """Without the folder of the tree, the reason names a file in it."""
    (installed.folder / "tree").rename(installed.folder / "elsewhere")
    assert Start(installed.folder).reason == f"{installed.folder}/tree/a: No such file or directory"


def test_a_link_in_a_tree_is_not_followed(installed: Start) -> None:
    """A folder that became a link does not count, even if the files behind it are right."""
    (installed.folder / "tree" / "b").rename(installed.folder / "elsewhere")
    (installed.folder / "tree" / "b").symlink_to(installed.folder / "elsewhere")
    assert Start(installed.folder).reason == f"{installed.folder}/tree/b/c: Is a symbolic link"


def test_foreign_files_do_not_matter(installed: Start) -> None:
    """Only files that zkexec has installed belong to the snapshot."""
    (installed.folder / "tree" / "foreign").touch()
    found = Start(installed.folder).actions.load_cached()
    assert found == CachedFilesFound(installed.snapshot())


def test_without_a_state_nothing_is_found(installed: Start) -> None:
    """The files alone do not show which version they are."""
    Path(installed.state.path).unlink()
    start = Start(installed.folder)
    assert start.reason == f"{start.state.path}: does not exist, or is no state file"


@pytest.mark.parametrize("ends", [False, True])
def test_an_unfinished_change_is_not_found(installed: Start, ends: bool) -> None:
    """A file of an install that did not end hides the version; what was only staged does not."""
    path = f"{installed.folder}/tree/new"
    snapshot = installed.snapshot("next")
    more = replace(snapshot, files={**snapshot.files, path: b"5"})
    installed.actions.stage(more, None)
    during = Path(installed.state.path).read_bytes()
    if ends:
        installed.actions.install(None)
        Path(installed.state.path).write_bytes(during)
        reason = f"{path}: belongs to a change that was not finished"
        assert Start(installed.folder).reason == reason
    else:
        found = Start(installed.folder).actions.load_cached()
        assert found == CachedFilesFound(installed.snapshot())


def test_other_targets_are_not_found(installed: Start) -> None:
    """A state that lists a file that is no target any more, or lacks one, is of another zkexec."""
    state = installed.state.load()
    assert state is not None
    files = {**state.files, "/elsewhere": "0" * 64}
    installed.state.write(replace(state, files=files))
    assert Start(installed.folder).reason == "/elsewhere: is no target any more"
    del files["/elsewhere"], files[f"{installed.folder}/file"]
    installed.state.write(replace(state, files=files))
    reason = f"{installed.folder}/file: zkexec has not installed it"
    assert Start(installed.folder).reason == reason


def test_variables_are_kept_only_if_they_are_needed(tmp_path: Path) -> None:
    """Without a group and `--start cached`, no value is written to the disk."""
    start = Start(tmp_path, start=StartPolicy.FRESH)
    start.install(start.snapshot())
    assert b"secret" not in Path(start.state.path).read_bytes()
    start = Start(tmp_path)
    assert start.reason == f"{start.state.path}: does not contain the variables"
    start.install(start.snapshot())
    assert b"secret" in Path(start.state.path).read_bytes()


def test_a_state_that_cannot_be_remembered_is_a_warning(
    installed: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line names the file and the reason; nothing fails."""
    path = Path(installed.state.path)
    path.unlink()
    path.mkdir()
    installed.actions.remember(installed.snapshot("new"), True)
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if f"cannot write the state file {path}: " in line]) == 1


def test_removed_files_are_reported(installed: Start, capfd: pytest.CaptureFixture[str]) -> None:
    """Removed files come after the written ones; a line names each that others have changed."""
    snapshot = installed.snapshot()
    (installed.folder / "tree" / "a").write_bytes(b"edited")
    files = {path: content for path, content in snapshot.files.items() if "/tree/" not in path}
    files[f"{installed.folder}/tree/z"] = b"5"
    written = installed.install(replace(snapshot, files=files))
    assert written == (f"{installed.folder}/tree/z", f"{installed.folder}/tree/b/c")
    assert f"{installed.folder}/tree/a is not removed" in capfd.readouterr().err


def test_the_state_is_of_one_command_or_member(tmp_path: Path) -> None:
    """Another command has another file; a member has the same, whatever its inputs are."""
    settings = settings_for(tmp_path)
    other = replace(settings, command=replace(settings.command, argv=("other",)))
    with_lock = replace(settings, lock="g")
    paths = [
        layout_of(one, member_id).state
        for one, member_id in (
            (settings, ""),
            (other, ""),
            (replace(with_lock, member_id="me"), "me"),
            (replace(with_lock, member_id="me", command=other.command), "me"),
            (replace(with_lock, member_id="you"), "you"),
            (replace(with_lock, member_id="me", lock="h"), "me"),
            (replace(with_lock, member_id="me", chroot="/c"), "me"),
            (with_lock, "host-0123abcd-0"),
            (with_lock, "host-0123abcd-1"),
            (with_lock, "h-ost-0123abcd-1"),
            (replace(with_lock, command=other.command), "host-0123abcd-1"),
            (replace(with_lock, chroot="/c"), "host-0123abcd-1"),
        )
    ]
    names = [state.path for state in paths if state is not None]
    assert names[2] == names[3]
    assert len({*names}) == len(names) - 1
    pattern = rf"{tmp_path}/state/[0-9a-f]{{32}}-[0-9a-f]{{6}}\.state"
    assert all(re.fullmatch(pattern, name) for name in names)


@pytest.mark.parametrize(
    ("member_id", "ids"),
    [("", ("", "")), ("me", ("me", "me")), ("", ("host-01234567-2", "host-89abcdef-2"))],
)
@pytest.mark.parametrize(("hosts", "is_same"), [("b c d", True), ("d", False)])
def test_removals_survive_a_change_of_the_servers(
    tmp_path: Path, member_id: str, ids: tuple[str, str], hosts: str, is_same: bool
) -> None:
    """With one of the servers before, a file without a znode is removed; with none, it stays."""
    settings = settings_for(tmp_path)
    settings = replace(settings, lock="g" if ids[0] else "", member_id=member_id)
    written = ("a b c", "1"), (hosts, "")
    for (names, content), automatic in zip(written, ids, strict=True):
        servers = tuple((name, 2181) for name in names.split())
        layout = layout_of(replace(settings, servers=servers), automatic)
        actions = FileActions(layout, Log(settings))
        files = {f"{tmp_path}/tree/{name}": b"1" for name in ("kept", content) if name}
        assert isinstance(actions.stage(Snapshot(files, digest="d"), None), FilesStaged)
        assert isinstance(actions.install(None), FilesInstalled)

    left = ["kept"] if is_same else ["1", "kept"]
    assert sorted(os.listdir(tmp_path / "tree")) == left


@pytest.mark.parametrize(
    ("inputs", "rules", "has_state"),
    [
        (InputOptions(mirrors=(Mirror("/a", "/z"),)), (), False),
        (InputOptions(mirrors=(Mirror("/a", "/z"),)), (AttributeRule("", 0o600),), False),
        (InputOptions(mirrors=(Mirror("/a/", "/z/"),)), (), True),
        (InputOptions(templates=(Template("/a", "/z"),)), (), True),
        (InputOptions(variables=(Variable("A", "/z"),)), (), True),
    ],
)
def test_plain_files_need_no_state(
    tmp_path: Path, inputs: InputOptions, rules: tuple[AttributeRule, ...], has_state: bool
) -> None:
    """Only trees, templates and variables need a state file."""
    settings = settings_for(tmp_path)
    policy = replace(settings.policy, inputs=inputs)
    layout = layout_of(replace(settings, policy=policy, attributes=TargetAttributes(rules)), "")
    assert (layout.state is not None) == has_state
    assert layout.attributes == TargetAttributes(rules)


def test_without_a_state_file_the_files_are_what_they_are(tmp_path: Path) -> None:
    """Plain files are read as they are on disk, also if zkexec has not written them."""
    settings = settings_for(tmp_path)
    inputs = InputOptions(mirrors=(Mirror(f"{tmp_path}/a", "/z"),))
    policy = replace(settings.policy, inputs=inputs)
    layout = layout_of(replace(settings, policy=policy), "")
    actions = FileActions(layout, Log(settings))
    assert isinstance(actions.load_cached(), CachedFilesMissing)
    (tmp_path / "a").write_bytes(b"theirs")
    found = actions.load_cached()
    assert found == CachedFilesFound(Snapshot({f"{tmp_path}/a": b"theirs"}))
    actions.remember(Snapshot({}), True)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
