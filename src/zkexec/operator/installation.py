"""The ZooKeeper and the Java of this machine: where they are, or what has to be installed.

The rules of this file:

- ZOOKEEPER_HOME and JAVA_HOME win where they are set, and what they name has to be there.
- Else ZooKeeper is Debian's or Homebrew's, and Java is Homebrew's or the one on the PATH.
  Homebrew's comes first: it is never linked to the PATH, where macOS has a `java` of its own
  that does nothing but say that there is none.
- Whatever is missing is told at once, with the commands that install it.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from zkexec.frozen import frozen
from zkexec.operator.outcome import CANNOT_WORK, OperatorError

_DEBIAN = "usr/share/java"
_HOMEBREW = ("opt/homebrew/opt", "usr/local/opt")
_JAR = re.compile(r"zookeeper-(\d[\w.+-]*)\.jar")
# Debian's jar does not name all that a server with TLS needs.
_MORE_OF_DEBIAN = ("slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar")


@frozen()
class Installation:
    """What a server is started from: the command java, and jars below a folder.

    `version` is ZooKeeper's; it is empty where no jar tells it.
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
    """Find ZooKeeper and Java below the root; an OperatorError says what to install."""
    zookeeper = _zookeeper(environment, root)
    java = _java(environment, root)
    if zookeeper is None or not java:
        missing = ["Java"] * (not java) + ["ZooKeeper"] * (zookeeper is None)
        raise OperatorError(what_to_install(*missing), CANNOT_WORK)
    folder, class_path, version = zookeeper
    return Installation(java, folder, class_path, version)


def _zookeeper(environment: Mapping[str, str], root: Path) -> tuple[Path, str, str] | None:
    if home := environment.get("ZOOKEEPER_HOME"):
        if found := _unpacked(Path(home)):
            return found
        raise OperatorError(
            "ZOOKEEPER_HOME: expected a folder with lib/zookeeper-VERSION.jar, as there is one in "
            f"an unpacked apache-zookeeper-VERSION-bin.tar.gz; got {home!r}",
            CANNOT_WORK,
        )
    jar = root / _DEBIAN / "zookeeper.jar"
    if jar.exists():
        jars = ":".join(str(jar.with_name(name)) for name in (jar.name, *_MORE_OF_DEBIAN))
        # The jar with the version in its name stands beside it.
        versions = filter(None, map(_version, sorted(jar.parent.glob("zookeeper-*.jar"))))
        return jar.parent, jars, next(versions, "")
    candidates = (_unpacked(root / prefix / "zookeeper" / "libexec") for prefix in _HOMEBREW)
    return next(filter(None, candidates), None)


def _unpacked(home: Path) -> tuple[Path, str, str] | None:
    """Look at a folder like that of the tarball; before ZooKeeper 3.5 its jar was not in lib."""
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
        raise OperatorError(
            f"JAVA_HOME: expected a folder with the program bin/java, got {home!r}", CANNOT_WORK
        )
    for prefix in _HOMEBREW:
        java = root / prefix / "openjdk" / "bin" / "java"
        if _is_program(java):
            return str(java)
    found = shutil.which("java", path=environment.get("PATH", os.defpath))
    return str(Path(found).absolute()) if found else ""


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def what_to_install(*missing: str) -> str:
    """Say of Java, of ZooKeeper or of both how they are installed, or where to say they are."""
    debian = {"Java": "default-jre-headless", "ZooKeeper": "libzookeeper-java"}
    # Homebrew's ZooKeeper brings its Java.
    homebrew = "zookeeper" if "ZooKeeper" in missing else "openjdk"
    return (
        f"{' and '.join(missing)} not found; on Debian and Ubuntu: sudo apt-get install -y "
        f"{' '.join(debian[name] for name in missing)}; with Homebrew: brew install {homebrew}; "
        f"or set {' and '.join(f'{name.upper()}_HOME' for name in missing)}"
    )
