"""The verbs that are about contents of znodes, for the table of `verbs`."""

from zkexec.cli.options import Option
from zkexec.operator.words import HOW, JSON, PUSHING, TIMED_OUT, Argument, Verb, statuses

CONFIGURATION = "Configuration"

_PATH = Argument(metavar="ZK_PATH", meaning="The znode")

_PUSH_STATUSES = statuses(
    "pushed, or nothing to change; with --wait: the rollout is through",
    "not pushed: answered no, the check failed, or it was changed meanwhile; with --wait: the "
    "rollout failed or is paused, or a later push or write has superseded it",
    TIMED_OUT,
)

_PUSH = Verb(
    name="push",
    group=CONFIGURATION,
    module="zkexec.operator.push",
    summary="Show what changes, ask, and write files to znodes",
    text="Shows the difference between znodes and files, asks, and writes all of them in one "
    "transaction. What somebody else has changed since the difference was shown is not "
    "overwritten. Who, when and why, and the contents themselves, are kept for undo.",
    arguments=(
        Argument(
            metavar="ZK_PATH=FILE",
            meaning="The znode, which is made where it is missing, and the file with its new "
            "content; the FILE - is the standard input, and wants --yes",
            is_repeatable=True,
        ),
    ),
    options=PUSHING,
    statuses=_PUSH_STATUSES,
    examples=(
        (
            "zkexecctl push /web.conf=web.conf --lock web --wait",
            "Push one file, and follow the rollout to its end.",
        ),
        (
            "zkexecctl push /web.conf=- --yes -m 'more workers' <web.conf",
            "Push from a script, which cannot be asked.",
        ),
    ),
)

_UNDO = Verb(
    name="undo",
    group=CONFIGURATION,
    module="zkexec.operator.push",
    summary="Push what was there before",
    text="A push of earlier content, with all that belongs to a push: the difference, the "
    "question, the checks, the history. Without --to it is the content before the present "
    "one.",
    arguments=(
        Argument(
            metavar="ZK_PATH",
            meaning="The znode; of several, all go back in one transaction",
            is_repeatable=True,
        ),
    ),
    options=(
        Option(
            name="to",
            group=HOW,
            metavar="N",
            has_variable=False,
            meaning="Go back to the content that the history lists as N; for one ZK_PATH only",
        ),
        *PUSHING,
    ),
    statuses=_PUSH_STATUSES,
    examples=(
        ("zkexecctl undo /web.conf --lock web --wait", "Take the last push back, everywhere."),
        ("zkexecctl undo /web.conf --to 4", "Go back to what was push 4."),
    ),
)

_HISTORY = Verb(
    name="history",
    group=CONFIGURATION,
    module="zkexec.operator.past",
    summary="List what was pushed, when, by whom and why",
    text="The last ten contents of the znode, newest first, with their numbers. Content that "
    "another tool has set is shown as such.",
    arguments=(_PATH,),
    options=(JSON,),
    statuses=statuses("shown", "there is no such znode"),
    examples=(("zkexecctl history /web.conf", "See who changed what, and why."),),
)

_SHOW = Verb(
    name="show",
    group=CONFIGURATION,
    module="zkexec.operator.past",
    summary="Write the content of a znode to stdout",
    text="The present content, or an earlier one, byte for byte.",
    arguments=(
        Argument(
            metavar="ZK_PATH[@N]",
            meaning="The znode, and the number of an earlier content in its history; @ and "
            "digits at the end are always such a number",
        ),
    ),
    statuses=statuses("shown", "there is no such znode, or no such content"),
    examples=(("zkexecctl show /web.conf@4 >web.conf", "Save the content of push 4."),),
)

_DIFF = Verb(
    name="diff",
    group=CONFIGURATION,
    module="zkexec.operator.past",
    summary="Compare an earlier content with the present one",
    text="A unified diff from content N to content M of the history, or to what the znode holds "
    "now. Of binary contents the sizes and digests are shown.",
    arguments=(
        _PATH,
        Argument(metavar="N", meaning="The number of an earlier content in the history"),
        Argument(metavar="M", meaning="The same for the other side", is_needed=False),
    ),
    statuses=statuses("shown, whether they differ or not", "no such znode, or no such content"),
    examples=(("zkexecctl diff /web.conf 4", "See what has changed since push 4."),),
)

OF_CONTENT: tuple[Verb, ...] = (_PUSH, _UNDO, _HISTORY, _SHOW, _DIFF)
