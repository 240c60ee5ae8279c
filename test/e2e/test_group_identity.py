"""Under which ID a member is known to its group, and what happens if that cannot be locked."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from e2e.stage import ZKEXEC, Stage

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


def said(err: bytes) -> str:
    """The first line of a log, without its time."""
    return err.decode().partition("] ")[2].partition("\n")[0]


def test_a_given_id_without_a_folder(stage: Stage, nowhere: list[str], root: str) -> None:
    """With a --member-id the command starts where no folder can be used; a warning says why."""
    words = (f"--lock={root}/g", "--member-id=me", "--", "echo", "it runs")
    status, out, err = stage.run(*nowhere, *ZKEXEC, *words)

    assert (status, out) == (0, b"it runs\n")
    assert said(err) == (
        "--member-id: no folder for the lock of me, so only its znode keeps a second zkexec with "
        "this ID away: /run/zkexec (Read-only file system), /tmp/zkexec-0 (Read-only file system)"
    )


def test_an_automatic_id_without_a_folder(stage: Stage, nowhere: list[str], root: str) -> None:
    """Without a --member-id that is one line with all folders and what to do, and status 125."""
    status, out, err = stage.run(*nowhere, *ZKEXEC, f"--lock={root}/g", "--", "echo", "no")

    assert (status, out, err.count(b"\n")) == (125, b"", 1)
    assert said(err) == (
        "--lock: no folder for the lock of the member ID: /run/zkexec (Read-only file system), "
        "/tmp/zkexec-0 (Read-only file system); make one of them usable, or give each member a "
        "--member-id of its own"
    )
