"""What the command line of zkexecctl is made of: verbs, their arguments and their options.

The options of the connection are those of zkexec, taken from its table, with their variables.
Options of single verbs have no variable, since an environment speaks for a host and not for one
deed; only who somebody is, and the ACL of a fleet, hold for all of them.
"""

from zkexec.cli.options import BY_NAME, Option
from zkexec.frozen import frozen, replace


@frozen(kw_only=True)
class Argument:
    """One argument of a verb; `metavar` is also the name under which a mistake in it is told."""

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
class Verb:
    """One verb: what it is for, what may be said with it, and the module that does it.

    `text` is its story, with empty lines between paragraphs; `statuses` are the exit statuses and
    what they tell, `examples` command lines and what they do.
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

    @property
    def usage(self) -> str:
        """Verb and arguments, as a person would type them."""
        return " ".join([self.name, *(argument.spelling for argument in self.arguments)])


CONNECTION: tuple[Option, ...] = tuple(
    BY_NAME[name]
    for name in ("cluster", "connect-timeout", "auth", "tls-ca", "tls-cert", "tls-key")
)
QUESTIONS: tuple[Option, ...] = tuple(BY_NAME[name] for name in ("help", "version"))

HOW = "Options"
WHO_AND_WHY = "For the record"

JSON = Option(
    name="json",
    group=HOW,
    has_variable=False,
    meaning="Say it as JSON, for programs",
)
LOCK = Option(
    name="lock",
    short="l",
    group=HOW,
    metavar="NAME",
    has_variable=False,
    meaning="The group that mirrors these paths",
)
TIMEOUT = Option(
    name="timeout",
    group=HOW,
    metavar="SECONDS",
    has_variable=False,
    meaning="Give up waiting after that time; where it is not given, never",
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
    meaning="Who does it, for the record; where it is not given, the user and the host",
)
STEERING = (REASON, BY)

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
        name="check",
        group=HOW,
        metavar="COMMAND",
        has_variable=False,
        meaning="Run this command first, with copies of the new contents, named like the znodes, "
        "as its last arguments (in shell syntax: $1, $2, ...); push only where it succeeds",
    ),
    Option(
        name="dry-run",
        group=HOW,
        has_variable=False,
        meaning="Show and check everything, and change nothing",
    ),
    Option(
        name="yes",
        short="y",
        group=HOW,
        has_variable=False,
        meaning="Do not ask; required where nobody can be asked",
    ),
    replace(
        BY_NAME["acl"],
        group=HOW,
        meaning="Who may use the znodes that are created: everybody (open), the identities of "
        "--auth and --tls-cert (creator), others reading (creator+read), or SCHEME:ID:PERMS,... "
        "as zkCli takes it",
    ),
    Option(
        name="message",
        short="m",
        group=WHO_AND_WHY,
        metavar="TEXT",
        has_variable=False,
        meaning="What it is about, for the history: one line of at most 1000 characters",
    ),
    BY,
)

WRONG_USAGE = (2, "wrong usage; nothing was done")
TIMED_OUT = (3, "it was not decided within --timeout")
_CANNOT_WORK = (125, "zkexecctl could not do its work (cluster unreachable, permission missing)")


def statuses(done: str, no: str, *others: tuple[int, str]) -> tuple[tuple[int, str], ...]:
    """Tell the exit statuses of a verb, with those that all verbs share."""
    return ((0, done), (1, no), WRONG_USAGE, *others, _CANNOT_WORK)
