"""Files that cannot be written, or only in place, and commands that do not want to end."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.scene import Scene, shell
from e2e.stage import lines, state, until, until_line

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")


@pytest.fixture
def mounted() -> Iterator[list[Path]]:
    """Paths that are mounted in the test, to be unmounted afterwards."""
    paths: list[Path] = []
    yield paths
    for path in paths:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def small(scene: Scene, mounted: list[Path]) -> Scene:
    """A scene whose folder is a disk of 64 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(scene.folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    mounted.append(scene.folder)
    return scene


def alert_into(log: Path) -> str:
    """The option of an alert that appends its event and reason to this file."""
    script = 'echo "$ZKEXEC_EVENT: $ZKEXEC_REASON" >>$0'
    return f"--alert={shell('sh', '-c', script, log)}"


@as_root
def test_a_full_disk_costs_nobody_a_process(small: Scene) -> None:
    """Without room for the change the old command runs on; a warning and an alert tell of it."""
    alerts = small.stage.folder / "alerts"
    small.create(a=b"one")
    run = small.wrap(alert_into(alerts))
    first = small.born()

    small.set(a=b"x" * 100_000)
    run.line("cannot write .*/a: No space left on device; the old configuration stays")
    until_line(alerts, f"restart-failed: {small.file('a')}: No space left on device")
    small.only(first)
    assert small.content("a") == b"one"
    assert [entry.name for entry in small.folder.iterdir()] == ["a"]
    small.set(a=b"two")

    assert small.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(lines(alerts)) == 1


@as_root
def test_a_change_is_tried_again_when_there_is_room(small: Scene) -> None:
    """Room that is made later is found by another try; with --alert-recovery that is told."""
    alerts = small.stage.folder / "alerts"
    small.create(a=b"one")
    ballast = small.file("ballast")
    run = small.wrap(alert_into(alerts), "--alert-recovery")
    small.born()
    ballast.write_bytes(bytes(40_000))

    small.set(a=b"x" * 30_000)
    run.line("No space left on device; the old configuration stays, next try in 10 s")
    ballast.unlink()

    assert small.born(2).files == {"a": "x" * 30_000}
    until_line(alerts, f"recovered: settled: {small.file('a')}: No space left on device")
    assert run.end() == 0
    assert len(lines(alerts)) == 2


@as_root
def test_a_change_that_is_taken_back_ends_the_trouble(small: Scene) -> None:
    """Where the old content is wanted again nothing has to be written; the command runs on."""
    alerts = small.stage.folder / "alerts"
    small.create(a=b"one")
    run = small.wrap(alert_into(alerts), "--alert-recovery")
    first = small.born()

    small.set(a=b"x" * 100_000)
    run.line("No space left on device")
    small.set(a=b"one")
    run.line("nothing to change")
    until_line(alerts, f"recovered: settled: {small.file('a')}: No space left on device")

    small.only(first)
    assert run.end() == 0


@as_root
def test_a_full_disk_at_the_first_start(small: Scene) -> None:
    """Before the first start files that cannot be written are fatal: one line, 125."""
    small.create(a=b"x" * 100_000)

    run = small.wrap("--silent")

    assert run.wait() == 125
    assert len(run.lines) == 1
    assert f"{small.file('a')}: No space left on device" in run.said
    assert not small.births()
    assert not list(small.folder.iterdir())


@as_root
def test_a_file_that_is_bind_mounted(scene: Scene, mounted: list[Path]) -> None:
    """A single file that is mounted is written in place, with one warning for all changes."""
    source = scene.stage.folder / "source"
    source.write_text("older")
    scene.file("a").touch()
    bind = ["mount", "--bind", str(source), str(scene.file("a"))]
    if subprocess.run(bind, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    mounted.append(scene.file("a"))
    scene.create(a=b"one")
    run = scene.wrap()
    assert scene.born().files == {"a": "one"}

    scene.set(a=b"second")
    assert scene.born(2).files == {"a": "second"}
    scene.set(a=b"3")
    assert scene.born(3).files == {"a": "3"}

    assert source.read_bytes() == b"3"
    assert run.end() == 0
    assert len(run.all("written in place.*it is a mount point")) == 1


@as_root
def test_a_disk_that_turns_read_only(small: Scene) -> None:
    """A change that comes while the disk is read-only is a warning; it is installed later."""
    small.create(a=b"one")
    run = small.wrap()
    first = small.born()

    subprocess.run(["mount", "-o", "remount,ro", small.folder], check=True)
    small.set(a=b"two")
    run.line("cannot write .*/a: Read-only file system; the old configuration stays")
    small.only(first)
    subprocess.run(["mount", "-o", "remount,rw", small.folder], check=True)
    small.set(a=b"three")

    assert small.born(2).files == {"a": "three"}
    assert run.end() == 0


@as_user
def test_a_folder_that_may_not_be_written_to(scene: Scene) -> None:
    """A writable file in a read-only folder is written in place; a new one there is fatal."""
    scene.create(a=b"one", b=b"one")
    scene.file("a").write_text("older")
    scene.folder.chmod(0o555)
    run = scene.wrap()
    assert scene.born().files == {"a": "one"}
    assert run.end() == 0
    assert len(run.all("written in place.*its folder cannot be written")) == 1

    second = scene.wrap("--silent", names="b")

    assert second.wait() == 125
    assert f"{scene.file('b')}: Permission denied" in second.said
    scene.folder.chmod(0o755)


def test_a_target_that_is_a_folder(scene: Scene) -> None:
    """A folder as target is wrong usage: one line, 2, and nothing was started."""
    scene.create(a=b"one")
    scene.file("a").mkdir()

    run = scene.wrap()

    assert run.wait() == 2
    assert len(run.lines) == 1
    assert "--mirror" in run.said
    assert str(scene.file("a")) in run.said
    assert not scene.births()


def test_a_target_that_becomes_a_folder(scene: Scene) -> None:
    """What stands in the way later is a warning; once it is gone, new content is installed."""
    scene.create(a=b"one")
    run = scene.wrap()
    first = scene.born()
    scene.file("a").unlink()
    scene.file("a").mkdir()

    scene.set(a=b"two")
    run.line("cannot write .*/a: Is a directory; the old configuration stays")
    scene.only(first)
    scene.file("a").rmdir()
    scene.set(a=b"three")

    assert scene.born(2).files == {"a": "three"}
    assert run.end() == 0


def test_a_command_that_ignores_its_end_is_killed(scene: Scene) -> None:
    """After --kill-timeout what ignores TERM is killed, and then the new one starts, alone."""
    scene.create(a=b"one")
    run = scene.wrap("--kill-timeout=0.3", recorder=("--stubborn",))
    first = scene.born()

    scene.set(a=b"two")

    second = scene.born(2)
    assert second.files == {"a": "two"}
    assert second.alone
    assert state(first.pid) == ""
    run.line("did not stop in time; killing it")
    run.signal(15)
    assert run.wait() == -9


def test_the_kill_signal_is_asked_for(scene: Scene) -> None:
    """--kill-signal ends the command for a restart: here one that a TERM would not end."""
    scene.create(a=b"one")
    run = scene.wrap("--kill-signal=USR1", "--kill-timeout=50", recorder=("--stubborn",))
    scene.born()

    scene.set(a=b"two")

    assert scene.born(2).alone
    assert not any('"asked"' in line for line in lines(scene.record))
    assert not run.all("killing")
    run.line(r"stopping the command \(SIGUSR1, killed after 50 s\)")


def test_a_restart_waits_for_the_whole_tree(scene: Scene) -> None:
    """What the command left running in the background is ended, too, before the next start."""
    scene.create(a=b"one")
    # The shell ends at once, and what it started does not end before it is killed.
    background = scene.recorder("a", options=("--stubborn",))
    run = scene.start(*scene.mirrors("a"), "--kill-timeout=1", f"--exec={background} & wait")
    first = scene.born()

    scene.set(a=b"two")

    second = scene.born(2)
    assert second.alone
    assert state(first.pid) == ""
    run.end()


def test_the_file_changes_only_after_the_command_has_ended(scene: Scene) -> None:
    """A command that is slow to end reads its old configuration until then."""
    gate = scene.stage.folder / "gate"
    scene.create(a=b"one")
    run = scene.wrap(recorder=("--linger", str(gate)))
    scene.born()

    scene.set(a=b"two")
    scene.asked()
    assert scene.content("a") == b"one"
    gate.touch()

    assert scene.born(2).files == {"a": "two"}
    assert run.end() == 0


def test_a_command_that_fails_after_a_restart_ends_zkexec(scene: Scene) -> None:
    """Without a lock a new configuration that the command cannot bear ends zkexec with its status.

    What the old command ends with while it is stopped for a restart is no failure.
    """
    scene.create(a=b"0")
    alerts = scene.stage.folder / "alerts"
    script = "exit_status=$(cat $0); trap 'exit 9' TERM; [ $exit_status = 0 ] || exit $exit_status"
    command = shell("sh", "-c", f"{script}; echo up; while :; do sleep 0.05; done", scene.file("a"))
    run = scene.start(*scene.mirrors("a"), alert_into(alerts), f"--exec={command}")
    until(lambda: run.out, "the command is up")

    scene.set(a=b"7")

    assert run.wait() == 7
    run.line("command failed")
    assert lines(alerts) == ["command-failed: exit status 7"]
