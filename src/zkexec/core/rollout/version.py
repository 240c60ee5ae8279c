"""Identify a snapshot as its group knows it: by the inputs that were read, and their bytes.

Local paths do not count.  Two members of one host that write the same contents to different
folders want the same version, and what failed for one is not tried by the other.
"""

from __future__ import annotations

from zkexec.core.input_options import InputOptions
from zkexec.core.snapshot import Snapshot, last_written
from zkexec.digest import digest_of_parts
from zkexec.frozen import frozen, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen(uncompared=("written",))
class ConfigVersion:
    """One particular state of all inputs of a member.

    `scope` identifies the set of its inputs, as options name them.  `zxid` is the newest of them.
    `digest` is the digest of the contents; if an operator requested a rolling restart, the name of
    this restart follows after a dot.  `written` is as in a `Snapshot`.
    """

    digest: str
    zxid: int
    scope: str
    written: int = -1

    @property
    def last_written(self) -> int:
        """The zxid of the last write of its inputs, which makes it a retry after a failure."""
        return last_written(self.zxid, self.written)


def version_of(snapshot: Snapshot, inputs: InputOptions) -> ConfigVersion:
    """Return the version of a snapshot of these inputs."""
    digest = snapshot.digest
    if not inputs.needs_state:
        # What is in the files is what was read.
        mirrors = inputs.mirrors
        digest = digest_of_parts(
            {(m.zk_path.encode(), snapshot.files.get(m.local_path, b"")) for m in mirrors}
        )
    scope = scope_of(inputs.paths)
    restart = f".{snapshot.restart}" if snapshot.restart else ""
    return ConfigVersion(digest + restart, snapshot.zxid, scope, snapshot.written)


def scope_of(paths: Iterable[str]) -> str:
    """Return what identifies a set of inputs, by their paths as options name them."""
    return digest_of_parts({(path.encode(),) for path in paths})[:12]


def renumbered(version: ConfigVersion, newest: int, zxid: int) -> ConfigVersion:
    """Return the version with `zxid` if its own zxid is above `newest`, the newest that exists.

    Such a version is of another history of the servers.  It must not make anything out of date,
    so its scope is left out.
    """
    return version if version.zxid <= newest else replace(version, zxid=zxid, scope="")


def contents_of(digest: str) -> str:
    """Return the digest of the contents alone, without the name of a restart."""
    return digest.partition(".")[0]


def is_same_contents(digest: str, other: str) -> bool:
    """Whether two digests are of the same contents, whatever restart was requested."""
    return contents_of(digest) == contents_of(other)


def short(digest: str) -> str:
    """Shorten the digest of a version, so that people can compare it by eye."""
    contents, dot, restart = digest.partition(".")
    return contents[:12] + dot + restart[:4]
