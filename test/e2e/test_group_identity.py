"""Under which ID a member is known to its group: what if it cannot be locked, or is there twice.

Two services of one host stand for two hosts of one name: neither sees what the other has locked.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kazoo.client import KazooClient

from support.sandbox import ZKEXEC, Sandbox
from support.waiting import lines, until

ZKEXECCTL = (sys.executable, "-m", "zkexec.ctl")
QUICK = ("--session-timeout=2", "--settle=0.05", "--min-healthy=0.2", "--kill-timeout=2")

READ_ONLY = """
for folder in /run/zkexec /tmp/zkexec-0; do
    mkdir -p $folder && mount -t tmpfs -o ro,mode=755 none $folder || exit 99
done
exec "$@"
"""


@pytest.fixture
def nowhere() -> Iterator[list[str]]:
    """The words before a command that cannot write to any folder of root's."""
    made = [folder for folder in ("/run/zkexec", "/tmp/zkexec-0") if not os.path.exists(folder)]
    words = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no permission to mount in a namespace of our own")
    yield words
    for folder in made:
        with suppress(OSError):  # Another zkexec can use it meanwhile.
            os.rmdir(folder)


@pytest.fixture
def without_boot_id() -> list[str]:
    """The words before a command for which /proc/sys is empty, as with `ProcSubset=pid`."""
    words = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc/sys && exec "$@"', "sh"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no permission to mount in a namespace of our own")
    return words


def said(err: bytes) -> str:
    """The first line of a log, without its time."""
    return err.decode().partition("] ")[2].partition("\n")[0]


def test_a_given_id_without_a_folder(sandbox: Sandbox, nowhere: list[str], root: str) -> None:
    """With a --member-id the command starts where no folder can be used; a warning says why."""
    words = (f"--lock={root}/g", "--member-id=me", "--", "echo", "it runs")
    status, out, err = sandbox.run(*nowhere, *ZKEXEC, *words)

    assert (status, out) == (0, b"it runs\n")
    assert said(err) == (
        "--member-id: no folder for the lock of me, so only its znode keeps a second zkexec with "
        "this ID away: /run/zkexec (Read-only file system), /tmp/zkexec-0 (Read-only file system)"
    )


@pytest.mark.parametrize("options", [(), ("--member-id=me",)])
def test_an_id_without_one_of_the_boot(
    sandbox: Sandbox, without_boot_id: list[str], root: str, options: tuple[str, ...]
) -> None:
    """If the ID of the boot cannot be read, a member locks its ID, and runs its command, once."""
    lock = f"--lock={root}/g"
    run = sandbox.start(*without_boot_id, *ZKEXEC, lock, *options, "-e", "echo it runs; sleep 1000")
    run.until("it runs", on=run.stdout)
    if options:
        status, _, err = sandbox.run(*without_boot_id, *ZKEXEC, lock, *options, "--", "true")
        assert status == 125
        assert "another zkexec on this host uses me" in err.decode()
    run.end()
    assert run.stdout.matching("it runs") == ["it runs"]
    assert not run.stderr.matching("failed internally|cannot lock|no folder")


def test_an_automatic_id_without_a_folder(sandbox: Sandbox, nowhere: list[str], root: str) -> None:
    """Without a --member-id that is one line with all folders and what to do, and status 125."""
    status, out, err = sandbox.run(*nowhere, *ZKEXEC, f"--lock={root}/g", "--", "echo", "no")

    assert (status, out, err.count(b"\n")) == (125, b"", 1)
    assert said(err) == (
        "--lock: no folder for the lock of the member ID: /run/zkexec (Read-only file system), "
        "/tmp/zkexec-0 (Read-only file system); make one of them usable, name "
        "another by $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR, or give each member a "
        "--member-id of its own"
    )


class Service:
    """A zkexec in a service of its own, whose command notes what it was started on."""

    def __init__(self, sandbox: Sandbox, name: str, *words: str, file: str = "") -> None:
        self.folder = sandbox.folder / name
        self.folder.mkdir(mode=0o755)
        self.file = sandbox.folder / (file or f"{name}.conf")
        self.ran = sandbox.folder / f"{name}.ran"
        command = f"cat {self.file} >>{self.ran}; echo >>{self.ran}; exec sleep 1000"
        environment = sandbox.environment(RUNTIME_DIRECTORY=str(self.folder))
        self.zkexec = sandbox.start(
            *ZKEXEC, *QUICK, f"--mirror={self.file}={words[0]}", *words[1:],
            "--exec", command, env=environment,
        )  # fmt: skip

    def runs(self, content: str) -> None:
        """Wait until its command was started on this."""
        until(lambda: lines(self.ran)[-1:] == [content], f"it runs on {content}")


def members(sandbox: Sandbox, lock: str) -> dict[str, Any]:
    """The members as `status` tells of them; none where there is no group yet."""
    _, out, _ = sandbox.run(*ZKEXECCTL, "status", lock, "--json")
    if not out:
        return {}
    (group,) = json.loads(out)["groups"]
    return {member["name"]: member for member in group["members"]}


def test_one_id_on_two_hosts(sandbox: Sandbox, client: KazooClient, root: str) -> None:
    """The second is seen, keeps the group from being done, and gets the ID after the first."""
    client.create(f"{root}/z", b"one")
    words = (f"{root}/z", f"--lock={root}/g", "--member-id=m")
    first = Service(sandbox, "first", *words)
    first.runs("one")
    until(lambda: list(members(sandbox, f"{root}/g")) == ["m"], "the first is a member")
    second = Service(sandbox, "second", *words)
    second.runs("one")
    until(lambda: len(members(sandbox, f"{root}/g")) == 2, "the second is seen")

    client.set(f"{root}/z", b"two")
    first.runs("two")
    (other,) = members(sandbox, f"{root}/g").keys() - {"m"}
    assert members(sandbox, f"{root}/g")[other]["duplicate_of"] == "m"
    assert second.zkexec.pid == members(sandbox, f"{root}/g")[other]["pid"]
    status, out, err = sandbox.run(*ZKEXECCTL, "wait", f"{root}/g", "--timeout=3")
    assert (status, other in err.decode()) == (3, True)
    assert "give it another --member-id" in out.decode()
    assert lines(second.ran) == ["one"]

    first.zkexec.kill()
    second.runs("two")
    until(lambda: list(members(sandbox, f"{root}/g")) == ["m"], "its other node is gone")
    status, _, _ = sandbox.run(*ZKEXECCTL, "wait", f"{root}/g", "--timeout=60")
    assert status == 0
    assert members(sandbox, f"{root}/g")["m"]["pid"] == second.zkexec.pid


def test_two_members_write_to_one_file(sandbox: Sandbox, client: KazooClient, root: str) -> None:
    """The second is warned when it starts, `status` marks both, and all goes on as it did."""
    client.create(f"{root}/z", b"one")
    words = (f"{root}/z", f"--lock={root}/g")
    first = Service(sandbox, "first", *words, "--member-id=m1", file="same.conf")
    until(lambda: list(members(sandbox, f"{root}/g")) == ["m1"], "the first is a member")
    second = Service(sandbox, "second", *words, "--member-id=m2", file="same.conf")
    second.runs("one")
    until(lambda: len(members(sandbox, f"{root}/g")) == 2, "both are members")

    warning = f"--mirror: {first.file} is the file of m1 (pid {first.zkexec.pid}) on this host"
    assert sum(warning in line for line in second.zkexec.stderr.lines) == 1
    assert not any("is the file of" in line for line in first.zkexec.stderr.lines)
    shared = {name: told["shares_with"] for name, told in members(sandbox, f"{root}/g").items()}
    assert shared == {
        "m1": [{"member": "m2", "file": str(first.file)}],
        "m2": [{"member": "m1", "file": str(first.file)}],
    }
    client.set(f"{root}/z", b"two")
    first.runs("two")
    second.runs("two")
