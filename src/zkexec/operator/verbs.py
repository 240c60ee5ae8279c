"""The table of verbs: `--help`, parsing, man page, completions and dispatching all read it."""

from zkexec.cli.options import Option
from zkexec.cli.parser import OptionNames
from zkexec.operator.verbs_of_content import OF_CONTENT
from zkexec.operator.words import (
    BY,
    CONNECTION,
    HOW,
    JSON,
    QUESTIONS,
    REASON,
    STEERING,
    TIMED_OUT,
    TIMEOUT,
    WRONG_USAGE,
    Argument,
    Verb,
    statuses,
)

LOOK = "Look"
STEER = "Steer"
TRY_OUT = "Try out"

_GROUP = Argument(metavar="NAME", meaning="The group, as its members name it with --lock")

_STATUS = Verb(
    name="status",
    group=LOOK,
    module="zkexec.operator.status",
    summary="List the groups, or show one and its members",
    text="Without NAME: all groups below /zkexec, with their members alive, what they run, who "
    "is in the middle of a restart, who waits, and whether and why the rollout is paused.\n\n"
    "With NAME: the rollout in one line, with the time it has taken and will take at this "
    "pace, and then one line for each member: host, process, phase, the configuration that "
    "runs and the one that is wanted (digests), health, place in the queue, reason.",
    arguments=(
        Argument(
            metavar="NAME",
            meaning="The group, as its members name it with --lock; one whose name begins with "
            "/ is not in the list",
            is_needed=False,
        ),
    ),
    options=(
        Option(
            name="watch",
            short="w",
            group=HOW,
            has_variable=False,
            meaning="Go on showing it as it changes, until Ctrl-C",
        ),
        Option(
            name="until-done",
            group=HOW,
            has_variable=False,
            meaning="Watch until the rollout of NAME is over, and end as the verb wait does",
        ),
        JSON,
    ),
    statuses=statuses(
        "shown; with --until-done: the rollout is through",
        "there is no such group; with --until-done: the rollout failed or is paused",
    ),
    examples=(
        ("zkexecctl status", "List the groups."),
        ("zkexecctl status web --watch", "See who of the group web restarts, live."),
    ),
)

_WAIT = Verb(
    name="wait",
    group=LOOK,
    module="zkexec.operator.waiting",
    summary="Wait until what is wanted now runs everywhere",
    text="Follows the rollout of the group, and ends when all of its members alive run what is "
    "wanted now, or when the rollout fails or is paused. Where the output is no terminal "
    "there is one line for each change.",
    arguments=(_GROUP,),
    options=(TIMEOUT,),
    statuses=statuses(
        "the rollout is through", "the rollout failed or is paused, or no such group", TIMED_OUT
    ),
    examples=(("zkexecctl wait web --timeout 600", "Let a pipeline fail where a rollout does."),),
)


def _steering(name: str, summary: str, text: str, example: tuple[str, str]) -> Verb:
    return Verb(
        name=name,
        group=STEER,
        module="zkexec.operator.steer",
        summary=summary,
        text=text,
        arguments=(_GROUP,),
        options=STEERING,
        statuses=statuses("done", "not done, as the group is not in the state for it"),
        examples=(example,),
    )


_PAUSE = _steering(
    "pause",
    "Let no member of a group restart any more",
    "What has begun is finished; whoever waits for a turn goes on waiting, and says why. The "
    "reason is demanded. It lasts until the verb resume.",
    ("zkexecctl pause web --reason 'the database moves'", "Stop a rollout where it is."),
)
_RESUME = _steering(
    "resume",
    "Let a paused rollout go on",
    "Ends what the verb pause began. A rollout that paused by itself, since a restart had "
    "failed, goes on by the verb retry, or by new content.",
    ("zkexecctl resume web", "Let the rollout go on."),
)
_RETRY = _steering(
    "retry",
    "Try once more what has failed, on one member",
    "The configuration that has failed is tried once more by one member; where it becomes "
    "healthy, the others follow.",
    ("zkexecctl retry web --reason 'the disk was full'", "Try again what was not to blame."),
)
_RESTART = _steering(
    "restart",
    "Restart all members in turn, without a change",
    "A rolling restart: each member takes its turn as for new configuration.",
    ("zkexecctl restart web --reason 'new certificates'", "Restart the group."),
)

_FORGET = Verb(
    name="forget",
    group=STEER,
    module="zkexec.operator.steer",
    summary="Forget a member that will not come back",
    text="Takes the entry of a member from the record: that of a host that is gone in the middle "
    "of its restart, or after it has failed. A member that is alive is not forgotten.",
    arguments=(
        _GROUP,
        Argument(metavar="MEMBER", meaning="The member, as the verb status names it"),
    ),
    options=(
        Option(
            name="force",
            group=HOW,
            has_variable=False,
            meaning="Do it also while the member is alive",
        ),
        REASON,
        BY,
    ),
    statuses=statuses("done", "the member is alive, or there is none of that name"),
    examples=(("zkexecctl forget web web3-d81ea1d2-0", "Give up a host that burnt down."),),
)

_DEV = Verb(
    name="dev",
    group=TRY_OUT,
    module="zkexec.operator.dev",
    summary="Run a throwaway ZooKeeper in the foreground",
    text="A real ZooKeeper from this machine's installation (Debian, Homebrew, ZOOKEEPER_HOME), "
    "with its files in a temporary folder that goes with it. Ctrl-C ends it. It listens on "
    "127.0.0.1 only, takes sessions as a default install does (4 to 40 seconds), and writes "
    "without fsync: not for anything that should last. ZOOKEEPER_HOME, JAVA_HOME and TMPDIR are "
    "heeded.",
    options=(
        Option(
            name="port",
            group=HOW,
            metavar="PORT",
            default="2181",
            has_variable=False,
            meaning="The port of the first server; the others have the next ones",
        ),
        Option(
            name="ensemble",
            group=HOW,
            metavar="N",
            default="1",
            has_variable=False,
            meaning="Run that many servers, from 1 to 9",
        ),
    ),
    statuses=(
        WRONG_USAGE,
        (125, "it could not be started (no ZooKeeper, no Java, port in use), or a server ended"),
        (130, "Ctrl-C ended it: it dies of the signal, as of others (TERM: 143)"),
    ),
    examples=(("zkexecctl dev --port 2182 --ensemble 3", "Have an ensemble to play with."),),
    needs_cluster=False,
)

VERBS: tuple[Verb, ...] = (
    _STATUS,
    _WAIT,
    *OF_CONTENT,
    _PAUSE,
    _RESUME,
    _RETRY,
    _RESTART,
    _FORGET,
    _DEV,
)
BY_VERB = {verb.name: verb for verb in VERBS}

VOCABULARY = OptionNames.of(
    (*CONNECTION, *(option for verb in VERBS for option in verb.options), *QUESTIONS)
)
"""All that may stand on a command line; an option takes a value with every verb or with none."""


def find(name: str) -> Verb:
    """Return a verb by its name; a ValueError names them all, and one that was perhaps meant."""
    if name in BY_VERB:
        return BY_VERB[name]
    from difflib import get_close_matches  # noqa: PLC0415 - only who mistypes needs them

    from zkexec.cli.converters import shown  # noqa: PLC0415

    near = get_close_matches(name, [*BY_VERB, "help"], n=1)
    hint = f"; perhaps {near[0]} was meant" if near else ""
    known = ", ".join(BY_VERB)
    raise ValueError(f"expected a verb ({known}), got {shown(name)}{hint}")
