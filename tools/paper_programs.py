"""What the papers contain about each program: tables of options and subcommands, and more.

The rules of this file: whatever `--help` says is taken from where `--help` takes it.  Only what
has no room there, examples and the ways of calling, is written down here.
"""

from dataclasses import dataclass

from zkexec.cli import help_text
from zkexec.cli.options import OPTIONS, Option
from zkexec.ctl import exit_status, subcommand_help
from zkexec.ctl.subcommand import CONNECTION, QUESTIONS, Subcommand
from zkexec.ctl.subcommands import SUBCOMMANDS

Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Program:
    """One command; `options` are those that hold without a subcommand.

    `calls` are the lines of the synopsis behind the name, `variables` those of no option.
    """

    name: str
    summary: str
    calls: tuple[str, ...]
    description: tuple[str, ...]
    options: tuple[Option, ...]
    subcommands: tuple[Subcommand, ...] = ()
    variables: Rows
    variables_intro: str
    statuses: tuple[tuple[int, str], ...]
    statuses_intro: str = ""
    examples: Rows
    see_also: str

    @property
    def valued(self) -> tuple[Option, ...]:
        """All options that take a word as their value, whatever their subcommand, each once."""
        own = (option for subcommand in self.subcommands for option in subcommand.options)
        by_name = {option.name: option for option in (*self.options, *own)}
        return tuple(option for option in by_name.values() if option.takes_word)


def spellings(option: Option) -> tuple[str, ...]:
    """How an option can be written."""
    return (f"-{option.short}", f"--{option.name}") if option.short else (f"--{option.name}",)


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


_GROUPS = (
    "With --lock, all zkexec with the same cluster and NAME are members of one group: they "
    "restart in turn, and what has failed on one of them is not tried by the next. zkexecctl(1) "
    "shows and steers that."
)
_NO_DAEMON = (
    "All that it shows comes from ZooKeeper, and all that it does is written there: it needs no "
    "daemon, and no access to the hosts of the members."
)

ZKEXEC = Program(
    name="zkexec",
    summary="wrap a command whose configuration lives in ZooKeeper",
    calls=("[options]", "[options] -- COMMAND [ARGUMENT...]"),
    description=(
        *_paragraphs(help_text.SUMMARY),
        _GROUPS,
        "Losing the cluster, for however long, never touches a running command.",
    ),
    options=OPTIONS,
    variables_intro="Each option of the command line has the variable that is named with it, "
    "and the command line wins. A variable that is empty counts as not set. The commands of "
    "--alert, and of --check, --reload, --pre-stop and --post-healthy, find in their environment:",
    variables=(
        (
            "ZKEXEC_EVENT",
            (
                "Of an alert: zkexec-failed, command-failed, health-failed, restart-failed or "
                "recovered; of --pre-stop: restart, or end after a TERM to zkexec"
            ),
        ),
        ("ZKEXEC_REASON", "Of an alert: why, in a few words"),
        ("ZKEXEC_EXIT_STATUS", "Of the alert command-failed: 128 + n for a signal"),
        (
            "ZKEXEC_STEP",
            "The step that failed, such as check or health; or the step that the command is",
        ),
        ("ZKEXEC_STAGED", "Of --check: the folder with copies of all new files"),
        ("ZKEXEC_PID", "Not of an alert: the process ID of the command"),
        ("ZKEXEC_LOCK", "The name of the group, empty without --lock"),
        ("ZKEXEC_MEMBER", "The name of the member, without --lock that of the host"),
    ),
    statuses_intro=" ".join(help_text.EXIT_STATUS.removeprefix("Exit status: ").split()),
    statuses=help_text.STATUSES,
    examples=(
        (
            "zkexec --mirror /etc/app.conf=/app.conf -- app --config /etc/app.conf",
            "Bring a file, run a command with it, and restart that when the file changes.",
        ),
        (
            "zkexec -m /etc/app.conf=/app.conf --lock web --health 'curl -fs localhost' -- app",
            "The same in a group, whose members restart in turn and have to become healthy.",
        ),
        (
            "zkexec -m /etc/app/=/app/conf/ --env-tree /app/env -- app --config /etc/app",
            "Bring a whole tree, and the variables in another one.",
        ),
        (
            (
                "zkexec -m /etc/nginx.conf=/nginx.conf --check 'nginx -t -c \"$1\"' "
                "--on-change reload -- nginx -c /etc/nginx.conf -g 'daemon off;'"
            ),
            "Check a new file before it is installed, and reload instead of restarting.",
        ),
    ),
    see_also="zkexecctl(1)",
)

ZKEXECCTL = Program(
    name="zkexecctl",
    summary="see a rollout of zkexec, steer it, and push configuration to it",
    calls=("[connection options] SUBCOMMAND [options] [arguments]", "help [SUBCOMMAND]"),
    description=(
        *_paragraphs(subcommand_help.SUMMARY),
        _NO_DAEMON,
    ),
    options=(*CONNECTION, *QUESTIONS),
    subcommands=SUBCOMMANDS,
    variables_intro="Options of the connection are read from the variable that is named with "
    "them, as by zkexec(1), where the command line is silent. Other variables:",
    variables=subcommand_help.ENVIRONMENT,
    statuses=exit_status.STATUSES,
    examples=(
        ("zkexecctl status", "List the groups of the cluster on this host."),
        (
            "zkexecctl -c zk1,zk2,zk3/app status web --watch",
            "Watch a group of another cluster.",
        ),
        (
            "zkexecctl push /web.conf=web.conf --lock web --wait --yes",
            "Push a file from a pipeline, which fails where the rollout fails.",
        ),
        ("zkexecctl undo /web.conf --lock web --wait", "Take that back."),
    ),
    see_also="zkexec(1)",
)

PROGRAMS = (ZKEXEC, ZKEXECCTL)
