"""The table of all options of zkexec.

The parser, the environment, the help, the man page and the completions read this table.  Defaults
are written as an operator would type them, and are checked in the same way.
"""

from zkexec.frozen import frozen


@frozen(kw_only=True)
class Option:
    """One option: its name, its meaning, and its default.

    Without a `metavar` it is a flag.  If `default` is empty, there is none.  `choices` are values,
    or beginnings of values, that a shell can offer.  If `is_attached`, the value can only follow
    the name and an equals sign; if it is left out, it is `implied`, and with an empty one it is
    missing.
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
    is_attached: bool = False
    implied: str = ""

    @property
    def is_flag(self) -> bool:
        """Whether it has no value."""
        return not self.metavar

    @property
    def takes_word(self) -> bool:
        """Whether its value can be the next word."""
        return not self.is_flag and not self.is_attached

    @property
    def spelling(self) -> str:
        """How people read it: its name, and what its value is called."""
        return f"--{self.name}{self.value_spelling}"

    @property
    def value_spelling(self) -> str:
        """The part of the spelling that follows the name."""
        if not self.is_attached:
            return f" {self.metavar}" if self.metavar else ""
        return f"[={self.metavar}]" if self.implied else f"={self.metavar}"

    @property
    def variable(self) -> str:
        """The environment variable that is read if the option is not on the command line, or ""."""
        return "ZKEXEC_" + self.name.upper().replace("-", "_") if self.has_variable else ""


COMMAND = "Command"
CONFIGURATION = "Configuration"
CHANGES = "Changes"
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
        meaning="Run this command; through /bin/sh only if it contains shell syntax",
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
        meaning="Kill what is left of a stopped command after this time",
    ),
    Option(
        group=COMMAND,
        name="subreaper",
        meaning="Adopt and reap the orphans of the command, as PID 1 does",
    ),
    Option(
        group=COMMAND,
        name="notify",
        metavar="SENDER",
        choices=("command", "zkexec"),
        default="command",
        meaning="Leave NOTIFY_SOCKET to the command (command), or report to systemd from zkexec "
        "(zkexec): ready when the command is healthy, what it waits for, reloads, and the watchdog",
    ),
    Option(
        group=CONFIGURATION,
        name="mirror",
        short="m",
        metavar="LOCAL_PATH=ZK_PATH",
        repeatable=True,
        meaning="Mirror a config file from zookeeper to localhost, or with DIR/=ZK_PATH/ all "
        "znodes below ZK_PATH into the folder DIR; give it once for each (in the variable: several "
        "pairs, separated by blanks)",
    ),
    Option(
        group=CONFIGURATION,
        name="template",
        short="t",
        metavar="LOCAL_PATH=ZK_PATH|@FILE",
        repeatable=True,
        meaning="Render the template in this znode or local file into LOCAL_PATH, by Jinja2; it "
        "reads the trees of --values (in the variable: several, separated by blanks)",
    ),
    Option(
        group=CONFIGURATION,
        name="values",
        metavar="ZK_PATH",
        repeatable=True,
        meaning="Let templates read the znodes of this tree (in the variable: several, separated "
        "by blanks)",
    ),
    Option(
        group=CONFIGURATION,
        name="template-timeout",
        metavar="SECONDS",
        default="10",
        meaning="End a rendering that takes longer; it has failed; at least 0.1",
    ),
    Option(
        group=CONFIGURATION,
        name="env",
        metavar="NAME=ZK_PATH",
        repeatable=True,
        meaning="Give the command the variable NAME with the content of this znode; a change "
        "restarts (in the variable: several, separated by blanks)",
    ),
    Option(
        group=CONFIGURATION,
        name="env-tree",
        metavar="ZK_PATH[=PREFIX]",
        repeatable=True,
        meaning="Give the command a variable for each znode with content below ZK_PATH: PREFIX and "
        "its path, in upper case, with _ for other characters (in the variable: several, separated "
        "by blanks)",
    ),
    Option(
        group=CONFIGURATION,
        name="pristine",
        meaning="Let the command inherit no variables: it gets only those of --env and --env-tree",
    ),
    Option(
        group=CONFIGURATION,
        name="mode",
        metavar="[PATH=]OCTAL",
        repeatable=True,
        meaning="Give the file PATH, or all files below the folder PATH/, this mode; without PATH, "
        "every file; the longest PATH counts (in the variable: several, separated by blanks)",
    ),
    Option(
        group=CONFIGURATION,
        name="owner",
        metavar="[PATH=]USER[:GROUP]",
        repeatable=True,
        meaning="Give the file PATH, or all files below the folder PATH/, this owner, by names or "
        "numbers; otherwise as --mode (in the variable: several, separated by blanks)",
    ),
    Option(
        group=CONFIGURATION,
        name="state-dir",
        metavar="DIR",
        meaning="Remember in this folder what was installed, if there are trees, templates or "
        "variables; by default $STATE_DIRECTORY, or /var/lib/zkexec as root, or else "
        "$XDG_STATE_HOME/zkexec",
    ),
    Option(
        group=CONFIGURATION,
        name="start",
        metavar="POLICY",
        choices=("fresh", "wait", "cached"),
        default="fresh",
        meaning="At the first start: require every znode (fresh), wait for missing ones (wait), "
        "or use the last good files if the cluster is unreachable (cached)",
    ),
    Option(
        group=CONFIGURATION,
        name="allow-empty",
        meaning="Accept an empty znode as content instead of keeping the file",
    ),
    Option(
        group=CONFIGURATION,
        name="settle",
        metavar="SECONDS",
        default="0.1",
        meaning="Handle changes within this time of each other as one change",
    ),
    Option(
        group=CHANGES,
        name="check",
        metavar="COMMAND",
        meaning="Examine the new files with this command before anything is stopped or "
        "installed: $1, $2, ... are copies of them, in the order of --mirror and --template (a "
        "command without shell syntax gets them as its last arguments), and $ZKEXEC_STAGED is a "
        "folder with all of them at their full paths; if it fails, the change is not applied",
    ),
    Option(
        group=CHANGES,
        name="check-timeout",
        metavar="SECONDS",
        default="30",
        meaning="Kill a check that takes longer; it has failed; at least 0.1",
    ),
    Option(
        group=CHANGES,
        name="on-change",
        metavar="[PATH=]ACTION",
        choices=("restart", "reload", "none"),
        default="restart",
        repeatable=True,
        meaning="Apply a change of the file PATH, or of all files below the folder PATH/, by "
        "this action: restart the command, reload it, or none, if it notices new files by "
        "itself; without PATH, of every file; the longest PATH counts for a file, and the "
        "strongest action for a change (in the variable: several, separated by blanks)",
    ),
    Option(
        group=CHANGES,
        name="reload-signal",
        metavar="SIGNAL",
        choices=("HUP", "USR1", "USR2"),
        default="HUP",
        meaning="Reload by this signal to the process of the command (a name or a number); in a "
        "group, this needs a check",
    ),
    Option(
        group=CHANGES,
        name="reload",
        metavar="COMMAND",
        meaning="Reload by this command instead of a signal; $ZKEXEC_PID is the process of the "
        "command; if it fails, the old files are put back",
    ),
    Option(
        group=CHANGES,
        name="reload-timeout",
        metavar="SECONDS",
        default="30",
        meaning="Kill a reload command that takes longer; it has failed; at least 0.1",
    ),
    Option(
        group=CHANGES,
        name="pre-stop",
        metavar="COMMAND",
        meaning="Run this command before the command is stopped, to drain it for example; "
        "$ZKEXEC_EVENT is restart or end; if it fails before a restart, nothing is stopped",
    ),
    Option(
        group=CHANGES,
        name="pre-stop-timeout",
        metavar="SECONDS",
        default="30",
        meaning="Kill a pre-stop command that takes longer; it has failed; at least 0.1",
    ),
    Option(
        group=CHANGES,
        name="post-healthy",
        metavar="COMMAND",
        meaning="Run this command when a started command is healthy, to put it into traffic for "
        "example; health checks begin at once then; a change has succeeded only when this has; "
        "if it fails, it runs again",
    ),
    Option(
        group=CHANGES,
        name="post-healthy-timeout",
        metavar="SECONDS",
        default="30",
        meaning="Kill a post-healthy command that takes longer; it has failed; at least 0.1",
    ),
    Option(
        group=CHANGES,
        name="stage-only",
        metavar="DIR",
        meaning="Start nothing: write the files that would be installed into the new folder DIR, "
        "at their full paths, and run the check; exit with 0, or with 1 if the check failed",
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
        meaning="Wait INTERVAL seconds before starting health checks; in a group, the time that "
        "the command has to become healthy after a change",
    ),
    Option(
        group=HEALTH,
        name="health-timeout",
        metavar="SECONDS",
        default="none",
        meaning="Kill a health check that takes longer; it has failed; at least 0.1",
    ),
    Option(
        group=HEALTH,
        name="alert",
        short="a",
        metavar="COMMAND",
        meaning="Run this command if the primary command or a health check fails, or if a change "
        "cannot be applied",
    ),
    Option(
        group=HEALTH,
        name="alert-interval",
        metavar="SECONDS",
        default="0",
        meaning="While health checks fail, alert at most this often; 0: at each failed check",
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
        meaning="Restart in turns with all zkexec that have this lock NAME and cluster; NAME is a "
        "znode below /zkexec, or a path if it begins with /",
    ),
    Option(
        group=ROLLING,
        name="max-unavailable",
        metavar="N[%[/zone]]",
        default="1",
        meaning="Restart at most this many members at once: a number (2), a percentage (25%), or a "
        "percentage of the members in the zone (25%/zone); a version that is not known good is "
        "tried by one member alone, and then by at most twice as many as have succeeded",
    ),
    Option(
        group=ROLLING,
        name="max-failed",
        metavar="N[%]",
        default="0",
        meaning="Once ten members have succeeded, do not pause the rollout if at most this many "
        "fail: a number (2) or a percentage (5%); they count toward --max-unavailable",
    ),
    Option(
        group=ROLLING,
        name="zone",
        metavar="NAME",
        meaning="The zone of this member, such as its rack: members of two zones never restart at "
        "once; members without it form one zone",
    ),
    Option(
        group=ROLLING,
        name="min-healthy",
        metavar="SECONDS",
        meaning="Release the turn when the command has been healthy for this time; by default "
        "0, or 1 without a health check, or 2 with one if the command was not restarted",
    ),
    Option(
        group=ROLLING,
        name="on-failure",
        metavar="ACTION",
        choices=("pause", "revert"),
        default="pause",
        meaning="After a config failure, wait for new content (pause), or also put the last good "
        "files back and run on these (revert)",
    ),
    Option(
        group=ROLLING,
        name="member-id",
        metavar="ID",
        meaning="The name of this member in the group, unique and the same after a restart; by "
        "default made from the host and the command line",
    ),
    Option(
        group=CLUSTER,
        name="cluster",
        short="c",
        metavar="HOST:PORT,...",
        default="localhost:2181",
        meaning="Comma-delimited list of zookeeper hosts; the default port is 2181, IPv6 is in "
        "brackets, a chroot can follow: HOST:PORT,.../PATH",
    ),
    Option(
        group=CLUSTER,
        name="connect-timeout",
        metavar="SECONDS",
        default="30",
        meaning="Give up a first connection after this time; at least 0.1",
    ),
    Option(
        group=CLUSTER,
        name="session-timeout",
        metavar="SECONDS",
        default="10",
        meaning="Request a session of this length; from 1 to 3600",
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
        "of --auth and --tls-cert (creator), and others may read (creator+read), or "
        "SCHEME:ID:PERMS,... as in zkCli",
    ),
    Option(
        group=SECURITY,
        name="tls-ca",
        metavar="FILE",
        choices=("system",),
        meaning="Use TLS, and only servers with a certificate for their host name from one of "
        "these CAs; system: from those that the system trusts",
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
        name="metrics-file",
        metavar="FILE",
        meaning="Write metrics for the textfile collector of Prometheus's node_exporter into this "
        "file, at each change and each minute; its name has to end with .prom for that",
    ),
    Option(
        group=MESSAGES,
        name="keep-stderr",
        meaning="Pass on what the command writes to stderr, and add its last line to the reason "
        "if it fails or is not healthy: in the log, for the alert, and in a group also in "
        "ZooKeeper and in `zkexecctl status`; the stderr of the command is a pipe then",
    ),
    Option(
        group=MESSAGES,
        name="verbose",
        short="v",
        meaning="Log also decisions and reasons",
    ),
    Option(
        group=MESSAGES,
        name="silent",
        short="s",
        meaning="Log only one line for a fatal error",
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
