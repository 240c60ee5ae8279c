"""The one table of options.

Parsing, the environment, the defaults, the help text, the man page and the completions all read
this table, and so do the tests of the papers; an option that is not here does not exist.
Defaults are written as an operator would type them and pass through the same checks as typed
values.  The options of zkexecctl stand in `operator.words`, in the same form.
"""

from zkexec.frozen import frozen


@frozen(kw_only=True)
class Option:
    """One option: how it is spelled, what it means, and what holds where it is not given.

    Without a `metavar` it is a flag.  An empty `default` means that nothing is the default.
    `choices` are values, or beginnings of values, that a shell can offer.
    """

    name: str
    group: str
    meaning: str
    short: str = ""
    metavar: str = ""
    default: str = ""
    repeatable: bool = False
    has_variable: bool = True
    choices: tuple[str, ...] = ()

    @property
    def is_flag(self) -> bool:
        """Whether it stands alone, without a value."""
        return not self.metavar

    @property
    def variable(self) -> str:
        """The environment variable that is read where the command line is silent, or ""."""
        return "ZKEXEC_" + self.name.upper().replace("-", "_") if self.has_variable else ""


COMMAND = "Command"
CONFIGURATION = "Configuration"
HEALTH = "Health and alerts"
ROLLING = "Rolling restarts"
CLUSTER = "Cluster"
SECURITY = "Security"
MESSAGES = "Messages"

OPTIONS: tuple[Option, ...] = (
    Option(
        group=COMMAND,
        name="exec",
        short="e",
        metavar="COMMAND",
        meaning="Run this command; through /bin/sh only where it holds shell syntax",
    ),
    Option(
        group=COMMAND,
        name="kill-signal",
        metavar="SIGNAL",
        choices=("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"),
        default="TERM",
        meaning="Stop the command for a restart with this signal (a name or a number)",
    ),
    Option(
        group=COMMAND,
        name="kill-timeout",
        metavar="SECONDS",
        default="30",
        meaning="Kill what is left of a stopped command after that time",
    ),
    Option(
        group=COMMAND,
        name="subreaper",
        meaning="Adopt and reap the orphans of the command, as PID 1 does",
    ),
    Option(
        group=CONFIGURATION,
        name="mirror",
        short="m",
        metavar="LOCAL_PATH=ZK_PATH",
        repeatable=True,
        meaning="Mirror a config file from zookeeper to localhost; give it once for each file "
        "(in the variable: several pairs, separated by blanks)",
    ),
    Option(
        group=CONFIGURATION,
        name="start",
        metavar="POLICY",
        choices=("fresh", "wait", "cached"),
        default="fresh",
        meaning="At the first start: demand every znode (fresh), wait for missing ones (wait), "
        "or use the last good files while the cluster is unreachable (cached)",
    ),
    Option(
        group=CONFIGURATION,
        name="allow-empty",
        meaning="Take an empty znode as content instead of keeping the file",
    ),
    Option(
        group=CONFIGURATION,
        name="settle",
        metavar="SECONDS",
        default="0.1",
        meaning="Take changes within that time of each other as one change",
    ),
    Option(
        group=HEALTH,
        name="health",
        short="H",
        metavar="COMMAND",
        meaning="Run this command to health-check",
    ),
    Option(
        group=HEALTH,
        name="health-interval",
        short="i",
        metavar="INTERVAL",
        default="30",
        meaning="Health-check every INTERVAL seconds",
    ),
    Option(
        group=HEALTH,
        name="health-delay",
        short="d",
        metavar="INTERVAL",
        default="30",
        meaning="Wait INTERVAL seconds before starting health checks",
    ),
    Option(
        group=HEALTH,
        name="health-timeout",
        metavar="SECONDS",
        default="none",
        meaning="Kill a health check that takes longer, and take it as failed; at least 0.1",
    ),
    Option(
        group=HEALTH,
        name="alert",
        short="a",
        metavar="COMMAND",
        meaning="Run this command if the primary command returns falsey or health checks fail",
    ),
    Option(
        group=HEALTH,
        name="alert-interval",
        metavar="SECONDS",
        default="0",
        meaning="While a failure lasts, alert no more often than that; 0: at each failed check",
    ),
    Option(
        group=HEALTH,
        name="alert-recovery",
        meaning="Alert also when a failure is over",
    ),
    Option(
        group=ROLLING,
        name="lock",
        short="l",
        metavar="NAME",
        meaning="Name of a zk lockfile, used to enforce rolling restarts; lies below /zkexec "
        "where it does not begin with /",
    ),
    Option(
        group=ROLLING,
        name="max-unavailable",
        metavar="N[%]",
        default="1",
        meaning="Restart that many members at a time (2), or that many of a hundred (25%); a "
        "config that is proven nowhere yet is tried by one alone",
    ),
    Option(
        group=ROLLING,
        name="min-healthy",
        metavar="SECONDS",
        meaning="Give the turn on when the new child has been healthy that long; where it is not "
        "given: 0, without --health 1",
    ),
    Option(
        group=ROLLING,
        name="on-failure",
        metavar="ACTION",
        choices=("pause", "revert"),
        default="pause",
        meaning="After a restart that failed, wait for new config (pause), or run the last good "
        "files meanwhile (revert)",
    ),
    Option(
        group=ROLLING,
        name="member-id",
        metavar="ID",
        meaning="Be known to the group by that name, which has to be unique and to outlive "
        "restarts; where it is not given, made from the host and the command line",
    ),
    Option(
        group=CLUSTER,
        name="cluster",
        short="c",
        metavar="HOST:PORT,...",
        default="localhost:2181",
        meaning="Comma-delimited list of zookeeper hosts; the port may be left out (2181), IPv6 "
        "stands in brackets, a chroot may follow: HOST:PORT,.../PATH",
    ),
    Option(
        group=CLUSTER,
        name="connect-timeout",
        metavar="SECONDS",
        default="30",
        meaning="Give up a first connection after that time; at least 0.1",
    ),
    Option(
        group=CLUSTER,
        name="session-timeout",
        metavar="SECONDS",
        default="10",
        meaning="Ask the cluster for a session of that length; from 1 to 3600",
    ),
    Option(
        group=SECURITY,
        name="auth",
        metavar="SCHEME:@FILE",
        choices=("digest:@", "sasl:@"),
        repeatable=True,
        meaning="Prove an identity to the cluster: digest or sasl (DIGEST-MD5), with "
        "USER:PASSWORD in the file (in the variable: several, separated by blanks, also as "
        "SCHEME:USER:PASSWORD)",
    ),
    Option(
        group=SECURITY,
        name="acl",
        metavar="ACL",
        choices=("open", "creator", "creator+read"),
        default="open",
        meaning="Who may use the znodes that zkexec creates: everybody (open), the identities "
        "of --auth and --tls-cert (creator), others reading (creator+read), or "
        "SCHEME:ID:PERMS,... as zkCli takes it",
    ),
    Option(
        group=SECURITY,
        name="tls-ca",
        metavar="FILE",
        choices=("system",),
        meaning="Speak TLS, and only with servers that have a certificate for their host's name "
        "from one of these CAs; system: from those that the system trusts",
    ),
    Option(
        group=SECURITY,
        name="tls-cert",
        metavar="FILE",
        meaning="Show this certificate to the servers",
    ),
    Option(
        group=SECURITY,
        name="tls-key",
        metavar="FILE",
        meaning="The key of that certificate, without a passphrase",
    ),
    Option(
        group=MESSAGES,
        name="log-format",
        metavar="FORMAT",
        choices=("text", "json"),
        default="text",
        meaning="Log as text, or as json: one object a line",
    ),
    Option(
        group=MESSAGES,
        name="verbose",
        short="v",
        meaning="Say also what was decided and why",
    ),
    Option(
        group=MESSAGES,
        name="silent",
        short="s",
        meaning="Say nothing but one line for a fatal error",
    ),
    Option(
        group=MESSAGES,
        name="help",
        short="h",
        has_variable=False,
        meaning="Show this message",
    ),
    Option(
        group=MESSAGES,
        name="version",
        has_variable=False,
        meaning="Show the version",
    ),
)

BY_NAME = {option.name: option for option in OPTIONS}
BY_SHORT = {option.short: option for option in OPTIONS if option.short}
