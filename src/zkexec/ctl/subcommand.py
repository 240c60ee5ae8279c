"""What the command line of zkexecctl is made of: subcommands, their arguments and options.

The options of the connection are those of zkexec, with their variables.  Options of a single
subcommand have no variable: an environment describes a host, not one operation.
"""

from zkexec.cli.options import BY_NAME, Option
from zkexec.frozen import frozen, replace


@frozen(kw_only=True)
class Argument:
    """One argument of a subcommand; a mistake in it is reported under its `metavar`."""

    metavar: str
    meaning: str
    is_needed: bool = True
    is_repeatable: bool = False

    @property
    def spelling(self) -> str:
        """How the usage shows it."""
        shown = f"{self.metavar} ..." if self.is_repeatable else self.metavar
        return shown if self.is_needed else f"[{shown}]"


@frozen(kw_only=True)
class Subcommand:
    """One subcommand: its arguments and options, its help, and the module that runs it.

    `text` is its description, with empty lines between paragraphs.  `statuses` are its exit
    statuses with their meaning, `examples` command lines with what they do.  `needed_options` are
    those of its options that it cannot be without.
    """

    name: str
    group: str
    module: str
    summary: str
    text: str
    statuses: tuple[tuple[int, str], ...]
    examples: tuple[tuple[str, str], ...]
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    needs_cluster: bool = True
    needed_options: tuple[Option, ...] = ()

    @property
    def synopsis(self) -> str:
        """The subcommand and its arguments."""
        return " ".join([self.name, *(argument.spelling for argument in self.arguments)])

    @property
    def usage(self) -> str:
        """The subcommand, its arguments and the options that it needs, as a person types them."""
        needed = [f"--{option.name} {option.metavar}" for option in self.needed_options]
        return " ".join([self.synopsis, *needed])


CONNECTION: tuple[Option, ...] = tuple(
    BY_NAME[name]
    for name in ("cluster", "connect-timeout", "auth", "tls-ca", "tls-cert", "tls-key")
)
QUESTIONS: tuple[Option, ...] = tuple(BY_NAME[name] for name in ("help", "version"))

SHELLS = ("bash", "zsh", "fish")
"""The shells that there are completions for."""

HOW = "Options"
WHO_AND_WHY = "For the record"

JSON = Option(
    name="json",
    group=HOW,
    has_variable=False,
    meaning="Write JSON, for programs",
)
LOCK = Option(
    name="lock",
    short="l",
    group=HOW,
    metavar="NAME",
    has_variable=False,
    meaning="The group whose inputs these paths are",
)
TIMEOUT = Option(
    name="timeout",
    group=HOW,
    metavar="SECONDS",
    has_variable=False,
    meaning="Stop waiting after this time; without it, wait for ever",
)
REASON = Option(
    name="reason",
    group=WHO_AND_WHY,
    metavar="TEXT",
    has_variable=False,
    meaning="Why, for the record: one line of at most 1000 characters",
)
BY = Option(
    name="by",
    group=WHO_AND_WHY,
    metavar="WHO",
    meaning="Who does it, for the record; by default your user and host name",
)
STEERING = (REASON, BY)
APPROVING: tuple[Option, ...] = (
    Option(
        name="hold",
        group=HOW,
        metavar="N[%]",
        is_attached=True,
        has_variable=False,
        meaning="Keep the hold, and raise it to this many members: a number (5), or a percentage "
        "(10%)",
    ),
    *STEERING,
)

DRY_RUN = Option(
    name="dry-run",
    group=HOW,
    has_variable=False,
    meaning="Show and check everything, and change nothing",
)
YES = Option(
    name="yes",
    short="y",
    group=HOW,
    has_variable=False,
    meaning="Do not ask for confirmation; required if stdin is not a terminal",
)
MESSAGE = Option(
    name="message",
    short="m",
    group=WHO_AND_WHY,
    metavar="TEXT",
    has_variable=False,
    meaning="What this is about, for the history: one line of at most 1000 characters",
)

PUSHING: tuple[Option, ...] = (
    LOCK,
    Option(
        name="wait",
        group=HOW,
        has_variable=False,
        meaning="Follow the rollout in the group of --lock to its end",
    ),
    TIMEOUT,
    Option(
        name="hold",
        group=HOW,
        metavar="N[%]",
        is_attached=True,
        implied="1",
        has_variable=False,
        meaning="Admit no more than this many members of the group to the new version before "
        "'zkexecctl approve': a number (5), a percentage (10%), or 1 if it is left out",
    ),
    Option(
        name="undo-on-failure",
        group=HOW,
        has_variable=False,
        meaning="With --wait: if the rollout fails, push the previous content again",
    ),
    Option(
        name="check",
        group=HOW,
        metavar="COMMAND",
        has_variable=False,
        meaning="First run this command with copies of the new contents, named like the znodes, "
        "as its last arguments (in shell syntax: $1, $2, ...), of a tree the folder; push only if "
        "it succeeds",
    ),
    DRY_RUN,
    YES,
    replace(
        BY_NAME["acl"],
        group=HOW,
        meaning="Who may use the znodes that are created: everybody (open), the identities of "
        "--auth and --tls-cert (creator), others reading (creator+read), or SCHEME:ID:PERMS,... "
        "as zkCli takes it",
    ),
    MESSAGE,
    BY,
)

SERVING = "Serving"
TOKEN = Option(
    name="token",
    group=SERVING,
    metavar="@FILE",
    has_variable=False,
    meaning="The file with the token, which only you may read (mode 0600): one line of at least 32 "
    "characters",
)
HOST = Option(
    name="host",
    group=SERVING,
    metavar="NAME",
    repeatable=True,
    has_variable=False,
    meaning="A name under which the server is reached, beside localhost and the address that it "
    "listens on; requests under another name are refused",
)
NO_MEMBERS = Option(
    name="no-members",
    group=SERVING,
    has_variable=False,
    meaning="Leave out the metrics of single members",
)


def listening(default: str) -> Option:
    """Return the option for where a server listens."""
    return Option(
        name="listen",
        group=SERVING,
        metavar="ADDRESS:PORT",
        default=default,
        has_variable=False,
        meaning="Listen here; beyond this machine only with --token, which then also guards "
        "reading",
    )


SERVING_PAGES: tuple[Option, ...] = (
    listening("127.0.0.1:8907"),
    TOKEN,
    Option(
        name="actions",
        group=SERVING,
        has_variable=False,
        meaning="Let those who log in with the token pause, resume, approve, retry, restart and "
        "forget",
    ),
    HOST,
    Option(
        name="behind-tls",
        group=SERVING,
        has_variable=False,
        meaning="Browsers connect to a proxy with TLS: cookies are sent over TLS only, and with "
        "--token reading is guarded, too",
    ),
    Option(
        name="user-header",
        group=SERVING,
        metavar="NAME",
        has_variable=False,
        meaning="The header in which the proxy names the user, who may read and is recorded for "
        "what is done",
    ),
    Option(
        name="trusted-proxy",
        group=SERVING,
        metavar="ADDRESS",
        repeatable=True,
        has_variable=False,
        meaning="Believe --user-header, and the address in X-Forwarded-For, only if a request "
        "comes from this address",
    ),
    NO_MEMBERS,
)
