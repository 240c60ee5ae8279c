"""Files that cannot be written, or only in place, and commands that do not want to end."""

import os
import subprocess
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.processes import state
from support.waiting import lines, until, until_line

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")


@pytest.fixture
def small(host: MirroredHost, mounted: list[Path]) -> MirroredHost:
    """A host whose folder is a disk of 64 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(host.folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    mounted.append(host.folder)
    return host


def alert_into(log: Path) -> str:
    """The option of an alert that appends its event and reason to this file."""
    script = 'echo "$ZKEXEC_EVENT: $ZKEXEC_REASON" >>$0'
    return f"--alert={quoted('sh', '-c', script, log)}"


@as_root
def test_a_full_disk_costs_nobody_a_process(small: MirroredHost) -> None:
    """Without room for the change the old command runs on; a warning and an alert tell of it."""
    alerts = small.sandbox.folder / "alerts"
    small.create(a=b"one")
    run = small.wrap(alert_into(alerts))
    first = small.born()

    small.set(a=b"x" * 100_000)
    run.until("cannot write .*/a: No space left on device; the old files stay")
    until_line(alerts, f"restart-failed: {small.file('a')}: No space left on device")
    small.only(first)
    assert small.content("a") == b"one"
    assert [entry.name for entry in small.folder.iterdir()] == ["a"]
    small.set(a=b"two")

    assert small.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(lines(alerts)) == 1


@as_root
def test_a_change_is_tried_again_when_there_is_room(small: MirroredHost) -> None:
    """Room that is made later is found by another try; with --alert-recovery that is told."""
    alerts = small.sandbox.folder / "alerts"
    small.create(a=b"one")
    ballast = small.file("ballast")
    run = small.wrap(alert_into(alerts), "--alert-recovery")
    small.born()
    ballast.write_bytes(bytes(40_000))

    small.set(a=b"x" * 30_000)
    run.until("No space left on device; the old files stay, next attempt in 10 s")
    ballast.unlink()

    assert small.born(2).files == {"a": "x" * 30_000}
    until_line(
        alerts, f"recovered: the failure is over: {small.file('a')}: No space left on device"
    )
    assert run.end() == 0
    assert len(lines(alerts)) == 2


@as_root
def test_a_change_that_is_taken_back_ends_the_trouble(small: MirroredHost) -> None:
    """Where the old content is wanted again nothing has to be written; the command runs on."""
    alerts = small.sandbox.folder / "alerts"
    small.create(a=b"one")
    run = small.wrap(alert_into(alerts), "--alert-recovery")
    first = small.born()

    small.set(a=b"x" * 100_000)
    run.until("No space left on device")
    small.set(a=b"one")
    run.until("nothing to change")
    until_line(
        alerts, f"recovered: the failure is over: {small.file('a')}: No space left on device"
    )

    small.only(first)
    assert run.end() == 0


@as_root
def test_a_full_disk_at_the_first_start(small: MirroredHost) -> None:
    """Before the first start files that cannot be written are fatal: one line, 125."""
    small.create(a=b"x" * 100_000)

    run = small.wrap("--silent")

    assert run.wait() == 125
    assert len(run.stderr.lines) == 1
    assert f"{small.file('a')}: No space left on device" in run.stderr.text
    assert not small.births()
    assert not list(small.folder.iterdir())


@as_root
def test_a_file_that_is_bind_mounted(host: MirroredHost, mounted: list[Path]) -> None:
    """A single file that is mounted is written in place, with one warning for all changes."""
    source = host.sandbox.folder / "source"
    source.write_text("older")
    host.file("a").touch()
    bind = ["mount", "--bind", str(source), str(host.file("a"))]
    if subprocess.run(bind, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    mounted.append(host.file("a"))
    host.create(a=b"one")
    run = host.wrap()
    assert host.born().files == {"a": "one"}

    host.set(a=b"second")
    assert host.born(2).files == {"a": "second"}
    host.set(a=b"3")
    assert host.born(3).files == {"a": "3"}

    assert source.read_bytes() == b"3"
    assert run.end() == 0
    assert len(run.stderr.matching("written in place.*it is a mount point")) == 1


@as_root
def test_a_disk_that_turns_read_only(small: MirroredHost) -> None:
    """A change that comes while the disk is read-only is a warning; it is installed later."""
    small.create(a=b"one")
    run = small.wrap()
    first = small.born()

    subprocess.run(["mount", "-o", "remount,ro", small.folder], check=True)
    small.set(a=b"two")
    run.until("cannot write .*/a: Read-only file system; the old files stay")
    small.only(first)
    subprocess.run(["mount", "-o", "remount,rw", small.folder], check=True)
    small.set(a=b"three")

    assert small.born(2).files == {"a": "three"}
    assert run.end() == 0


@as_user
def test_a_folder_that_may_not_be_written_to(host: MirroredHost) -> None:
    """A writable file in a read-only folder is written in place; a new one there is fatal."""
    host.create(a=b"one", b=b"one")
    host.file("a").write_text("older")
    host.folder.chmod(0o555)
    run = host.wrap()
    assert host.born().files == {"a": "one"}
    assert run.end() == 0
    assert len(run.stderr.matching("written in place.*its folder cannot be written")) == 1

    second = host.wrap("--silent", names="b")

    assert second.wait() == 125
    assert f"{host.file('b')}: Permission denied" in second.stderr.text
    host.folder.chmod(0o755)


def test_a_target_that_is_a_folder(host: MirroredHost) -> None:
    """A folder as target is wrong usage: one line, 2, and nothing was started."""
    host.create(a=b"one")
    host.file("a").mkdir()

    run = host.wrap()

    assert run.wait() == 2
    assert len(run.stderr.lines) == 1
    assert "--mirror" in run.stderr.text
    assert str(host.file("a")) in run.stderr.text
    assert not host.births()


def test_a_target_that_becomes_a_folder(host: MirroredHost) -> None:
    """What stands in the way later is a warning; once it is gone, new content is installed."""
    host.create(a=b"one")
    run = host.wrap()
    first = host.born()
    host.file("a").unlink()
    host.file("a").mkdir()

    host.set(a=b"two")
    run.until("cannot write .*/a: Is a directory; the old files stay")
    host.only(first)
    host.file("a").rmdir()
    host.set(a=b"three")

    assert host.born(2).files == {"a": "three"}
    assert run.end() == 0


def test_a_command_that_ignores_its_end_is_killed(host: MirroredHost) -> None:
    """After --kill-timeout what ignores TERM is killed, and then the new one starts, alone."""
    host.create(a=b"one")
    run = host.wrap("--kill-timeout=0.3", recorder=("--stubborn",))
    first = host.born()

    host.set(a=b"two")

    second = host.born(2)
    assert second.files == {"a": "two"}
    assert second.alone
    assert state(first.pid) == ""
    run.until("did not stop in time; killing it")
    run.signal(15)
    assert run.wait() == -9


def test_the_kill_signal_is_asked_for(host: MirroredHost) -> None:
    """--kill-signal ends the command for a restart: here one that a TERM would not end."""
    host.create(a=b"one")
    run = host.wrap("--kill-signal=USR1", "--kill-timeout=50", recorder=("--stubborn",))
    host.born()

    host.set(a=b"two")

    assert host.born(2).alone
    assert not any('"asked"' in line for line in lines(host.record))
    assert not run.stderr.matching("killing")
    run.until(r"stopping the command \(SIGUSR1, killed after 50 s\)")


def test_a_restart_waits_for_the_whole_tree(host: MirroredHost) -> None:
    """What the command left running in the background is ended, too, before the next start."""
    host.create(a=b"one")
    # The shell ends at once, and what it started does not end before it is killed.
    background = host.recorder("a", options=("--stubborn",))
    run = host.start(*host.mirrors("a"), "--kill-timeout=1", f"--exec={background} & wait")
    first = host.born()

    host.set(a=b"two")

    second = host.born(2)
    assert second.alone
    assert state(first.pid) == ""
    run.end()


def test_the_file_changes_only_after_the_command_has_ended(host: MirroredHost) -> None:
    """A command that is slow to end reads its old configuration until then."""
    gate = host.sandbox.folder / "gate"
    host.create(a=b"one")
    run = host.wrap(recorder=("--linger", str(gate)))
    host.born()

    host.set(a=b"two")
    host.asked()
    assert host.content("a") == b"one"
    gate.touch()

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0


def test_a_command_that_fails_after_a_restart_ends_zkexec(host: MirroredHost) -> None:
    """Without a lock a new configuration that the command cannot bear ends zkexec with its status.

    What the old command ends with while it is stopped for a restart is no failure.
    """
    host.create(a=b"0")
    alerts = host.sandbox.folder / "alerts"
    script = "exit_status=$(cat $0); trap 'exit 9' TERM; [ $exit_status = 0 ] || exit $exit_status"
    command = quoted("sh", "-c", f"{script}; echo up; while :; do sleep 0.05; done", host.file("a"))
    run = host.start(*host.mirrors("a"), alert_into(alerts), f"--exec={command}")
    until(lambda: run.stdout.lines, "the command is up")

    host.set(a=b"7")

    assert run.wait() == 7
    run.until("command failed")
    assert lines(alerts) == ["command-failed: exit status 7"]
