"""Build the compiled starter of zkexec, if this machine can, and find `share` a place.

`ZKEXEC_BUILD_STARTER` decides: `0` leaves it out, `1` makes it an error if it cannot be built, and
`auto`, the default, leaves it out then and prints one line.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_VARIABLE = "ZKEXEC_BUILD_STARTER"
_CHOICES = ("auto", "0", "1")
_SOURCE = "src/zkexec/process/_starter.c"
_NAME = "_starter.abi3.so"
_SHARE = "src/zkexec/share"
_FLAGS = ("-O2", "-std=c11", "-fPIC", "-shared", "-fvisibility=hidden")


class BuildError(Exception):
    """The starter cannot be built, for this reason."""


class StarterHook(BuildHookInterface[BuilderConfig]):
    """Adds the starter to a wheel, or puts it beside its source for an editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the starter before the files of a wheel are collected."""
        if self.target_name != "wheel":
            return
        source = Path(self.root, _SOURCE)
        beside = source.with_name(_NAME)
        self._folder = tempfile.TemporaryDirectory(prefix="zkexec-build-")
        built = self._build(source)
        if version == "editable":
            beside.unlink(missing_ok=True)
            if built:
                shutil.move(built, beside)
            _link_share(Path(self.root, _SHARE))
        elif built:
            build_data["force_include"][str(built)] = f"zkexec/process/{_NAME}"
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{platform}"

    def finalize(
        self,
        version: str,  # noqa: ARG002 -- the names are hatchling's
        build_data: dict[str, Any],  # noqa: ARG002
        artifact_path: str,  # noqa: ARG002
    ) -> None:
        """Remove what is in the wheel by now."""
        if self.target_name == "wheel":
            self._folder.cleanup()

    def _build(self, source: Path) -> Path | None:
        choice = os.environ.get(_VARIABLE) or "auto"
        if choice not in _CHOICES:
            raise BuildError(f"{_VARIABLE}: {choice!r} is none of {', '.join(_CHOICES)}")
        if choice == "0":
            return None
        try:
            return _compile(source, Path(self._folder.name, _NAME))
        except BuildError as error:
            if choice == "1":
                raise
            # Not more: zkexec works without it.
            self.app.display_warning(f"zkexec: no compiled starter: {error}")
            return None


def _link_share(link: Path) -> None:
    """Make the files of `share` resources of the package; a source archive contains no link."""
    if not link.exists():
        link.symlink_to("../../share")


def _compile(source: Path, target: Path) -> Path:
    """Compile the extension; raises BuildError."""
    include = Path(sysconfig.get_path("include"))
    if sys.implementation.name != "cpython" or not sys.platform.startswith("linux"):
        raise BuildError("it is for CPython on Linux")
    if not (include / "Python.h").exists():
        raise BuildError(f"{include}/Python.h does not exist")
    compiler = shlex.split(os.environ.get("CC") or "cc")
    flags = [*_FLAGS, *shlex.split(os.environ.get("CFLAGS", ""))]
    flags += shlex.split(os.environ.get("LDFLAGS", ""))
    command = [*compiler, *flags, f"-I{include}", str(source), "-o", str(target)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise BuildError(f"cannot execute {compiler[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{shlex.join(command)} failed:\n{error.stderr}") from error
    return target
