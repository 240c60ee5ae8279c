"""What the example fleet and the demo may leave behind on this host.

They keep no settings of zkexec but a few of the user's, and so not the mark of the sandbox.  Their
processes are known by a TMPDIR of their own instead, and their files by its path.
"""

import os
from contextlib import suppress
from pathlib import Path

from support.processes import kill_all, with_variable
from support.waiting import until


class Leftovers:
    """The processes and files of programs that have this new folder as TMPDIR."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        temporary.mkdir()

    def processes(self) -> list[int]:
        """The living processes."""
        return with_variable("TMPDIR", str(self.temporary))

    def notes(self) -> list[Path]:
        """The files that name the folder, in the folders of this host that outlive a zkexec."""
        runtime = os.environ.get("XDG_RUNTIME_DIR", "/nowhere")
        folders = ("/run/zkexec", f"{runtime}/zkexec", f"/tmp/zkexec-{os.geteuid()}")
        # Another zkexec may remove its own meanwhile; a walk passes over folders that are gone.
        notes = [
            Path(place) / name
            for folder in folders
            for place, _, names in os.walk(folder)
            for name in names
        ]
        found = []
        for note in notes:
            with suppress(FileNotFoundError):
                if str(self.temporary).encode() in note.read_bytes():
                    found.append(note)
        return found

    def demand_fleet(self) -> None:
        """Fail unless `demand_nothing` has something to find: a fleet of three members."""
        # At least the script, three members with a service each, Java, and its guard.
        assert len(self.processes()) >= 9
        # Each is written anew now and then, under another name first.
        until(lambda: len(self.notes()) == 3, "three members have noted their commands")
        (folder,) = self.temporary.glob("zkexec-fleet-*")
        assert len(list((folder / "run").glob("*.lock"))) == 3

    def demand_nothing(self) -> None:
        """Wait until all processes are gone, and fail if a file is left."""
        until(lambda: not self.processes(), "no process is left")
        assert list(self.temporary.iterdir()) == []
        assert self.notes() == []

    def kill(self) -> None:
        """Kill what a failed test has left."""
        kill_all(self.processes())
