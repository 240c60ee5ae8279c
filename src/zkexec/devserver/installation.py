"""The ZooKeeper and the Java of this machine, or what has to be installed.

ZOOKEEPER_HOME and JAVA_HOME win if they are set, and must be right.  Otherwise ZooKeeper is
Debian's or Homebrew's, and Java is Homebrew's or the one on the PATH.  Homebrew's comes first: it
is never linked to the PATH, where macOS has a `java` that only reports that there is none.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from zkexec.frozen import frozen


class DevServerError(Exception):
    """Why no server can be started, or why one has exited; one line for a person."""


_DEBIAN = "usr/share/java"
_HOMEBREW = ("opt/homebrew/opt", "usr/local/opt")
_JAR = re.compile(r"zookeeper-(\d[\w.+-]*)\.jar")
# Debian's jar lacks some of what a server with TLS needs.
_MORE_OF_DEBIAN = ("slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar")


@frozen()
class Installation:
    """What a server is started from: the command java, and jars below a folder.

    `version` is that of ZooKeeper, or "" if no jar has it in its name.
    """

    java: str
    folder: Path
    class_path: str
    version: str

    @property
    def name(self) -> str:
        """ZooKeeper as it is called in a message, with its version and its folder."""
        return f"{' '.join(filter(None, ('ZooKeeper', self.version)))} in {self.folder}"


def find_installation(environment: Mapping[str, str], root: Path = Path("/")) -> Installation:
    """Find ZooKeeper and Java below the root; raise DevServerError with what to install."""
    zookeeper = _zookeeper(environment, root)
    java = _java(environment, root)
    if zookeeper is None or not java:
        missing = ["Java"] * (not java) + ["ZooKeeper"] * (zookeeper is None)
        raise DevServerError(what_to_install(*missing))
    folder, class_path, version = zookeeper
    return Installation(java, folder, class_path, version)


def _zookeeper(environment: Mapping[str, str], root: Path) -> tuple[Path, str, str] | None:
    if home := environment.get("ZOOKEEPER_HOME"):
        if found := _unpacked(Path(home)):
            return found
        raise DevServerError(
            f"ZOOKEEPER_HOME: {home!r} has no lib/zookeeper-VERSION.jar: use the folder of an "
            "unpacked apache-zookeeper-VERSION-bin.tar.gz"
        )
    jar = root / _DEBIAN / "zookeeper.jar"
    if jar.exists():
        jars = ":".join(str(jar.with_name(name)) for name in (jar.name, *_MORE_OF_DEBIAN))
        # The jar with the version in its name is beside it.
        versions = filter(None, map(_version, sorted(jar.parent.glob("zookeeper-*.jar"))))
        return jar.parent, jars, next(versions, "")
    candidates = (_unpacked(root / prefix / "zookeeper" / "libexec") for prefix in _HOMEBREW)
    return next(filter(None, candidates), None)


def _unpacked(home: Path) -> tuple[Path, str, str] | None:
    """Find the jar in a folder like that of the tarball; before ZooKeeper 3.5 it was not in lib."""
    home = home.absolute()
    for jar in (*sorted(home.glob("lib/zookeeper*.jar")), *sorted(home.glob("zookeeper*.jar"))):
        version = _version(jar)
        if version or jar.name == "zookeeper.jar":
            return home, f"{home}/lib/*:{home}/*", version
    return None


def _version(jar: Path) -> str:
    match = _JAR.fullmatch(jar.name)
    return match[1] if match else ""


def _java(environment: Mapping[str, str], root: Path) -> str:
    if home := environment.get("JAVA_HOME"):
        java = Path(home).absolute() / "bin" / "java"
        if _is_program(java):
            return str(java)
        raise DevServerError(f"JAVA_HOME: {home!r} has no program bin/java")
    for prefix in _HOMEBREW:
        java = root / prefix / "openjdk" / "bin" / "java"
        if _is_program(java):
            return str(java)
    found = shutil.which("java", path=environment.get("PATH", os.defpath))
    return str(Path(found).absolute()) if found else ""


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def what_to_install(*missing: str) -> str:
    """Write how to install Java, ZooKeeper or both, or how to name their folders."""
    debian = {"Java": "default-jre-headless", "ZooKeeper": "libzookeeper-java"}
    # Homebrew's ZooKeeper brings its Java.
    homebrew = "zookeeper" if "ZooKeeper" in missing else "openjdk"
    return (
        f"{' and '.join(missing)} not found; on Debian and Ubuntu: sudo apt-get install -y "
        f"{' '.join(debian[name] for name in missing)}; with Homebrew: brew install {homebrew}; "
        f"or set {' and '.join(f'{name.upper()}_HOME' for name in missing)}"
    )
