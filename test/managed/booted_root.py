"""A Debian that systemd-nspawn has booted: systemd as PID 1, the units of zkexec, and this zkexec.

The container has the network of this machine, on which the ZooKeeper of the tests is.  It is in a
cgroup of its own, so that its systemd finds no process of this machine.
"""

import subprocess
import sysconfig
import uuid
from contextlib import suppress
from pathlib import Path

from support.processes import proc
from support.sandbox import TEST, Sandbox
from support.waiting import DEADLINE_S, until

ROOT = TEST.parent
# The Python of the root runs what is in this checkout.
PROGRAM = """#!/usr/bin/python3 -I
import sys
sys.path[:0] = ["/opt/zkexec/src", "/opt/zkexec/packages"]
from {module} import main
main()
"""
PROGRAMS = {"zkexec": "zkexec.main", "zkexecctl": "zkexec.ctl.entry"}
SYSTEM_CGROUPS = Path("/sys/fs/cgroup")


class BootedRoot:
    """A container; `settings` and `files` are its /etc/zkexec and /srv, seen from outside."""

    def __init__(self, base: Path, sandbox: Sandbox) -> None:
        """Boot it, and wait until that is done."""
        self.settings, self.files, drop_ins = (
            sandbox.folder / name for name in ("settings", "files", "drop-ins")
        )
        for folder in (self.settings, self.files, drop_ins):
            folder.mkdir()
        programs = []
        for name, module in PROGRAMS.items():
            program = sandbox.folder / name
            program.write_text(PROGRAM.format(module=module), encoding="ascii")
            program.chmod(0o755)
            programs.append(f"--bind-ro={program}:/usr/bin/{name}")
        # Short times show what more time was requested for, and what a watchdog does.
        (drop_ins / "short.conf").write_text("[Service]\nTimeoutStartSec=2\nWatchdogSec=2\n")
        self._name = f"zkexec-{uuid.uuid4().hex[:12]}"
        self._cgroup = _unified() / self._name
        self._cgroup.mkdir()
        self._container = sandbox.start(
            *("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self._cgroup),
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"),
            *("--volatile=overlay", f"--directory={base}", f"--machine={self._name}"),
            *("--link-journal=no", "--resolv-conf=off"),
            f"--bind-ro={ROOT / 'src'}:/opt/zkexec/src",
            f"--bind-ro={sysconfig.get_path('purelib')}:/opt/zkexec/packages",
            *programs,
            f"--bind-ro={ROOT / 'share/systemd/system'}:/usr/local/lib/systemd/system",
            f"--bind-ro={drop_ins}:/etc/systemd/system/zkexec@short.service.d",
            f"--bind={self.settings}:/etc/zkexec",
            f"--bind={self.files}:/srv",
            env=sandbox.environment(SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"),
        )
        self._leader = until(lambda: _first_process(self._container.pid), "systemd as PID 1")
        until(
            lambda: self.systemctl("is-system-running").strip() in ("running", "degraded"), "boot"
        )

    @property
    def host(self) -> str:
        """The name of the host."""
        return self.inside("/etc/hostname").read_text(encoding="utf-8").strip()

    def systemctl(self, *words: str) -> str:
        """Run systemctl in the container, and return what it prints, whether it succeeds or not."""
        run = subprocess.run(
            ["nsenter", f"--target={self._leader}", "--all", "--root", "--wd", "systemctl", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )
        return run.stdout

    def show(self, unit: str, *names: str) -> list[str]:
        """Return properties of a unit."""
        found = dict(
            line.split("=", 1)
            for line in self.systemctl("show", unit, f"--property={','.join(names)}").splitlines()
        )
        return [found.get(name, "") for name in names]

    def until_shown(self, unit: str, **wanted: str) -> None:
        """Wait until each of these properties begins with this text."""

        def is_shown() -> bool:
            found = self.show(unit, *wanted)
            return all(map(str.startswith, found, wanted.values()))

        until(is_shown, lambda: f"{wanted} of {unit}: {self.systemctl('status', unit)}")

    def inside(self, path: str) -> Path:
        """Return where a file of the container is for a program outside of it."""
        return Path(f"/proc/{self._leader}/root{path}")

    def configure(self, instance: str, **settings: str) -> None:
        """Write the file of settings of an instance."""
        lines = [f'{name}="{value}"\n' for name, value in settings.items()]
        (self.settings / f"{instance}.env").write_text("".join(lines), encoding="utf-8")

    def close(self) -> None:
        """Shut it down, and remove what it has left in the cgroups of this machine."""
        with suppress(subprocess.TimeoutExpired):
            self.systemctl("poweroff")
        with suppress(AssertionError):
            self._container.wait()
        self._container.close()
        for above in {self._cgroup.parent, SYSTEM_CGROUPS / "systemd"}:
            folders = [path for path in (above / self._name).rglob("*") if path.is_dir()]
            for folder in (*sorted(folders, reverse=True), above / self._name):
                with suppress(OSError):
                    folder.rmdir()


def _unified() -> Path:
    """Return where this machine has the cgroups of version 2."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise RuntimeError("this machine has no cgroups of version 2, without which systemd cannot run")


def _first_process(above: int) -> int:
    """Return the process below this one that is PID 1 of a namespace; 0 if there is none yet."""
    for child in map(int, proc(above, f"task/{above}/children").split()):
        status = proc(child, "status").decode()
        numbers = [line.split() for line in status.splitlines() if line.startswith("NSpid:")]
        if numbers and len(numbers[0]) > 2 and numbers[0][-1] == "1":
            return child
        if found := _first_process(child):
            return found
    return 0
