"""What one command line of zkexecctl says, validated: the operator's counterpart of Settings."""

from zkexec.cli.security import Access
from zkexec.cli.shell_command import CommandLine
from zkexec.frozen import frozen


@frozen(kw_only=True)
class Connection:
    """How the cluster is reached; `hosts_text` is the cluster as it was written."""

    hosts_text: str
    servers: tuple[tuple[str, int], ...]
    chroot: str = ""
    connect_timeout_s: float = 30.0
    access: Access = Access()


@frozen(kw_only=True)
class Call:
    """One verb and all that was said with it; what a verb has no option for is at its default.

    `lock` is the group's NAME, as argument or `--lock`; "" where none was given.  `pairs` are
    those of ZK_PATH=FILE.  `by` is who does it, for the record.  `timeout_s` is None for none.
    """

    verb: str
    connection: Connection
    lock: str = ""
    member: str = ""
    paths: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    numbers: tuple[int, ...] = ()
    by: str = ""
    reason: str = ""
    message: str = ""
    check: CommandLine | None = None
    to: int | None = None
    timeout_s: float | None = None
    watch: bool = False
    until_done: bool = False
    json: bool = False
    wait: bool = False
    yes: bool = False
    dry_run: bool = False
    force: bool = False
    port: int = 2181
    ensemble: int = 1
