"""The table of subcommands: parsing, running, help, man page and completions all use it."""

from zkexec.cli.options import Option
from zkexec.cli.parser import OptionNames
from zkexec.ctl.exit_status import TIMED_OUT_STATUS, WRONG_USAGE_STATUS, statuses
from zkexec.ctl.subcommand import (
    APPROVING,
    BY,
    CONNECTION,
    DRY_RUN,
    HOST,
    HOW,
    JSON,
    MESSAGE,
    NO_MEMBERS,
    PUSHING,
    QUESTIONS,
    REASON,
    SERVING_PAGES,
    STEERING,
    TIMEOUT,
    TOKEN,
    YES,
    Argument,
    Subcommand,
    listening,
)
from zkexec.frozen import replace

OBSERVE = "Observe"
CONFIGURATION = "Configuration"
STEER = "Steer"
TRY_OUT = "Try out"

_GROUP = Argument(metavar="NAME", meaning="The group, as its members name it with --lock")
_PATH = Argument(metavar="ZK_PATH", meaning="The znode; ZK_PATH/ is a tree")

_STATUS = Subcommand(
    name="status",
    group=OBSERVE,
    module="zkexec.ctl.command.status",
    summary="List the groups, or show one and its members",
    text="Without NAME: all groups below /zkexec, with the number of living members, those "
    "in flight, how many wait, the newest version that a member has tried, and why the rollout "
    "does not go on.\n\n"
    "With NAME: the rollout in one line, with the push that it is about and the time that it has "
    "taken and will take at this pace, and then one line for each member: host, process, phase, "
    "the version that it runs and the one that it wants (revision and digest), health, queue "
    "position, reason. After a failure also the way back, as a command. Of more than 50 members "
    "only those are shown that need attention, unless --all is given.",
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
            meaning="Keep showing it as it changes, until Ctrl-C",
        ),
        Option(
            name="until-done",
            group=HOW,
            has_variable=False,
            meaning="Watch until the rollout of NAME is over, and exit as 'zkexecctl wait' does",
        ),
        Option(
            name="all",
            group=HOW,
            has_variable=False,
            meaning="Show all members of NAME, however many they are",
        ),
        Option(
            name="events",
            group=HOW,
            has_variable=False,
            meaning="Show what each member of NAME did in this rollout, the oldest first, "
            "and what operators did",
        ),
        JSON,
    ),
    statuses=statuses(
        "shown; with --until-done: the rollout is complete",
        "there is no such group; with --until-done: the rollout failed, is paused or held",
    ),
    examples=(
        ("zkexecctl status", "List the groups."),
        ("zkexecctl status web --watch", "Watch the rollout in the group web, live."),
        ("zkexecctl status web --events", "List what each member did in this rollout."),
    ),
)

_WAIT = Subcommand(
    name="wait",
    group=OBSERVE,
    module="zkexec.ctl.command.wait",
    summary="Wait until all members are up to date",
    text="Follows the rollout of the group, and ends when all living members run the newest "
    "version of their inputs, or when the rollout fails or is paused. If stdout is not a "
    "terminal, there is one line for each change.",
    arguments=(_GROUP,),
    options=(TIMEOUT,),
    statuses=statuses(
        "the rollout is complete",
        "the rollout failed, is paused or held, or there is no such group",
        TIMED_OUT_STATUS,
    ),
    examples=(("zkexecctl wait web --timeout 600", "Let a pipeline fail if a rollout fails."),),
)

_SERVING_STATUSES = (
    (0, "TERM ended it"),
    WRONG_USAGE_STATUS,
    (
        125,
        "it cannot listen, as the address is in use or not of this machine, or lacks packages",
    ),
    (130, "Ctrl-C ended it: it ends by that signal"),
)

_WEB = Subcommand(
    name="web",
    group=OBSERVE,
    module="zkexec.ctl.command.web",
    summary="Serve a web page of the groups, and their metrics",
    text="Serves a page with all groups, and one for each group that shows what "
    "'zkexecctl status' shows, live. /groups/NAME.json is the status as JSON, /metrics are the "
    "metrics as 'zkexecctl exporter' serves them. No page shows the content of a "
    "configuration.\n\n"
    "Nothing can be changed unless --actions is given: then those who log in with the token can "
    "steer the groups. Needs the packages of the extra 'web', and names those that are missing.",
    options=SERVING_PAGES,
    statuses=_SERVING_STATUSES,
    examples=(
        ("zkexecctl web", "Serve the page to browsers of this machine."),
        (
            "zkexecctl web --listen 0.0.0.0:8907 --token @token --actions",
            "Serve it to others as well, and let them steer.",
        ),
    ),
)

_EXPORTER = Subcommand(
    name="exporter",
    group=OBSERVE,
    module="zkexec.ctl.command.exporter",
    summary="Serve metrics of the groups for Prometheus",
    text="Serves /metrics and /-/healthy, and nothing else. The groups are read when they are "
    "scraped, at most once a second. While the cluster is away, only zkexec_cluster_connected is "
    "there. Groups whose names begin with / are not included. Needs the packages of the extra "
    "'exporter', and names those that are missing.",
    options=(listening("127.0.0.1:9907"), TOKEN, HOST, NO_MEMBERS),
    statuses=_SERVING_STATUSES,
    examples=(("zkexecctl exporter --no-members", "Serve the metrics of groups only."),),
)

_PUSH_STATUSES = statuses(
    "pushed, or nothing to change; with --wait: the rollout is complete; with --hold and --wait: "
    "as many members as the hold allows have succeeded",
    "not pushed: not confirmed, the check failed, or the znode was changed meanwhile; with "
    "--wait: the rollout failed, is paused or held, or a later push or write has superseded it",
    TIMED_OUT_STATUS,
)

_PUSH = Subcommand(
    name="push",
    group=CONFIGURATION,
    module="zkexec.ctl.command.push",
    summary="Show what changes, ask, and write files to znodes",
    text="Shows the diff between znodes and files, asks for confirmation, and writes all of them "
    "in one transaction. If a znode was changed after its diff was shown, nothing is written. "
    "Who pushed, when and why, and the contents themselves, are kept for undo.\n\n"
    "ZK_PATH/=DIR/ pushes a folder as a tree, which is one content in the history: each file "
    "becomes a znode, the file zknode.data in a folder becomes the content of the folder's znode, "
    "and znodes without a file are deleted. Files and folders whose names begin with a dot are "
    "skipped, and so are such znodes. Ephemeral znodes stay. All files together can have at most "
    "1,000,000 bytes.",
    arguments=(
        Argument(
            metavar="ZK_PATH=FILE",
            meaning="The znode, which is created if it is missing, and the file with its new "
            "content; the FILE - is stdin, and needs --yes; ZK_PATH/=DIR/ is a tree and a folder",
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
            "Push from a script, which cannot confirm.",
        ),
        (
            "zkexecctl push /solr/conf/=conf/ --check 'xmllint --noout $1/schema.xml'",
            "Push a folder, after a check of its copy.",
        ),
        (
            "zkexecctl push /web.conf=web.conf --lock web --hold=5 --wait",
            "Let five members try a file, and the others after 'zkexecctl approve web'.",
        ),
    ),
)

_PULL = Subcommand(
    name="pull",
    group=CONFIGURATION,
    module="zkexec.ctl.command.pull",
    summary="Write a tree into a new or empty folder",
    text="Each znode with content becomes a file, as the znodes were at one moment. The content "
    "of a znode that has others below it becomes the file zknode.data in its folder. A znode "
    "with neither content nor others below it becomes an empty file. Ephemeral znodes are "
    "skipped. If something cannot be written, nothing is left.",
    arguments=(
        Argument(
            metavar="ZK_PATH/=DIR/",
            meaning="The tree, and a folder that is empty or does not exist",
        ),
    ),
    statuses=statuses("written", "there is no such znode, or it cannot be files"),
    examples=(("zkexecctl pull /solr/conf/=conf/", "Get a tree, to edit and push it again."),),
)

_UNDO = Subcommand(
    name="undo",
    group=CONFIGURATION,
    module="zkexec.ctl.command.undo",
    summary="Push the previous content again",
    text="A push of earlier content, with everything that belongs to a push: the diff, the "
    "confirmation, the checks, the history. Without --to it is the content before the present "
    "one.",
    arguments=(
        Argument(
            metavar="ZK_PATH",
            meaning="The znode, or with a slash at its end the tree; several are written in one "
            "transaction",
            is_repeatable=True,
        ),
    ),
    options=(
        Option(
            name="to",
            group=HOW,
            metavar="N",
            has_variable=False,
            meaning="Go back to revision N of the history; for one ZK_PATH only",
        ),
        *PUSHING,
    ),
    statuses=_PUSH_STATUSES,
    examples=(
        ("zkexecctl undo /web.conf --lock web --wait", "Undo the last push, everywhere."),
        ("zkexecctl undo /web.conf --to 4", "Go back to revision 4."),
    ),
)

_HISTORY = Subcommand(
    name="history",
    group=CONFIGURATION,
    module="zkexec.ctl.command.history",
    summary="List what was pushed, when, by whom and why",
    text="The last ten contents of the znode, newest first, with their revisions. Content that "
    "another tool has set is marked. A tree, ZK_PATH/, is one content.",
    arguments=(_PATH,),
    options=(JSON,),
    statuses=statuses("shown", "there is no such znode"),
    examples=(("zkexecctl history /web.conf", "See who changed what, and why."),),
)

_SHOW = Subcommand(
    name="show",
    group=CONFIGURATION,
    module="zkexec.ctl.command.show",
    summary="Write the content of a znode to stdout",
    text="The present content, or an earlier one, byte for byte. Of a tree, ZK_PATH/, the files "
    "are listed.",
    arguments=(
        Argument(
            metavar="ZK_PATH[@N]",
            meaning="The znode, and the revision of an earlier content; @ and digits at the end "
            "are always such a revision; ZK_PATH/ and ZK_PATH/@N are trees",
        ),
    ),
    statuses=statuses("shown", "there is no such znode, or no such revision"),
    examples=(("zkexecctl show /web.conf@4 >web.conf", "Save the content of revision 4."),),
)

_DIFF = Subcommand(
    name="diff",
    group=CONFIGURATION,
    module="zkexec.ctl.command.diff",
    summary="Compare an earlier content with the present one",
    text="A unified diff from revision N to revision M of the history, or to the present content. "
    "Of binary contents the sizes and digests are shown, of trees the files that differ.",
    arguments=(
        _PATH,
        Argument(metavar="N", meaning="The revision of an earlier content"),
        Argument(metavar="M", meaning="The revision to compare it with", is_needed=False),
    ),
    statuses=statuses("shown, whether they differ or not", "no such znode, or no such revision"),
    examples=(("zkexecctl diff /web.conf 4", "See what has changed since revision 4."),),
)


def _steering(
    name: str,
    summary: str,
    text: str,
    example: tuple[str, str],
    options: tuple[Option, ...] = STEERING,
) -> Subcommand:
    return Subcommand(
        name=name,
        group=STEER,
        module="zkexec.ctl.command.steer",
        summary=summary,
        text=text,
        arguments=(_GROUP,),
        options=options,
        statuses=statuses("done", "not done, as the group is not in the state for it"),
        examples=(example,),
    )


_PAUSE = replace(
    _steering(
        "pause",
        "Admit no member of a group any more",
        "Members in flight finish; members that wait for a turn keep waiting, and show why. "
        "The pause lasts until 'zkexecctl resume'.",
        ("zkexecctl pause web --reason 'the database moves'", "Stop a rollout where it is."),
        (replace(REASON, meaning=f"{REASON.meaning}; required"), BY),
    ),
    needed_options=(REASON,),
)
_RESUME = _steering(
    "resume",
    "Let a paused rollout continue",
    "Ends what 'zkexecctl pause' began. A rollout that stopped because a version failed "
    "continues after 'zkexecctl retry', or with new content.",
    ("zkexecctl resume web", "Let the rollout continue."),
)
_APPROVE = _steering(
    "approve",
    "Let all members follow a push that is held",
    "Ends the hold that 'zkexecctl push --hold' began: the other members follow. With --hold, "
    "members follow only until this many have the new version. A hold can be raised, and not "
    "lowered.",
    ("zkexecctl approve web --reason 'one day without errors'", "Let the rollout continue."),
    APPROVING,
)
_RETRY = _steering(
    "retry",
    "Try a failed version again, on one member",
    "One member tries the failed version again; if it becomes healthy, the others follow.",
    ("zkexecctl retry web --reason 'the disk was full'", "Try again what was not to blame."),
)
_RESTART = _steering(
    "restart",
    "Restart all members in turn, without a change",
    "A rolling restart: each member takes its turn as for new configuration.",
    ("zkexecctl restart web --reason 'new certificates'", "Restart the group."),
)

_FORGET = Subcommand(
    name="forget",
    group=STEER,
    module="zkexec.ctl.command.steer",
    summary="Reclaim the turn of a member that will not come back",
    text="Ends the turn of a member whose host is gone, in flight or after a failure. The turn of "
    "a living member is not ended.",
    arguments=(
        _GROUP,
        Argument(metavar="MEMBER", meaning="The member ID, as 'zkexecctl status' shows it"),
    ),
    options=(
        Option(
            name="force",
            group=HOW,
            has_variable=False,
            meaning="Do it also if the member is alive",
        ),
        REASON,
        BY,
    ),
    statuses=statuses("done", "the member is alive, or has no turn"),
    examples=(("zkexecctl forget web web3-d81ea1d2-0", "End the turn of a host that burnt down."),),
)

_DELETE = Subcommand(
    name="delete",
    group=STEER,
    module="zkexec.ctl.command.delete",
    summary="Remove a group without members, or a znode",
    text="A NAME is that of a group: its record and all of its znodes are removed, if no member is "
    "alive and none has a turn. Nothing of what members have as inputs is removed with it.\n\n"
    "A ZK_PATH is a znode, or with a slash at its end a tree; it is removed with its history. It "
    "is shown which members have it as an input. If their snapshots would become unusable, it is "
    "refused without --force. A group whose NAME begins with a slash is found at this path.",
    arguments=(
        Argument(
            metavar="NAME|ZK_PATH",
            meaning="The group, as its members named it with --lock; or a znode; ZK_PATH/ is a "
            "tree",
        ),
    ),
    options=(
        DRY_RUN,
        YES,
        Option(
            name="group",
            group=HOW,
            has_variable=False,
            meaning="Delete the group of this name, also if the znode with this path has a content",
        ),
        Option(
            name="force",
            group=HOW,
            has_variable=False,
            meaning="Delete a znode although living members have it as an input",
        ),
        MESSAGE,
        BY,
    ),
    statuses=statuses(
        "deleted",
        "not deleted: not confirmed, members are alive or in flight, living members need the "
        "znode, or there is no such group or znode",
    ),
    examples=(
        ("zkexecctl delete web", "Remove what a group has left that is not used any more."),
        ("zkexecctl delete /app/old.conf --dry-run", "See who needs a znode, and its history."),
    ),
)

_DEV = Subcommand(
    name="dev",
    group=TRY_OUT,
    module="zkexec.ctl.command.dev",
    summary="Run a throwaway ZooKeeper in the foreground",
    text="A real ZooKeeper from this machine's installation (Debian, Homebrew, ZOOKEEPER_HOME), "
    "with its files in a temporary folder that is removed with it. Ctrl-C ends it. It listens on "
    "127.0.0.1 only, takes sessions as a default install does (4 to 40 seconds), and writes "
    "without fsync: not for anything that should last. It uses ZOOKEEPER_HOME, JAVA_HOME and "
    "TMPDIR.",
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
            meaning="Run N servers, from 1 to 9",
        ),
    ),
    statuses=(
        WRONG_USAGE_STATUS,
        (125, "it could not be started (no ZooKeeper, no Java, port in use), or a server ended"),
        (130, "Ctrl-C ended it: it ends by that signal, as by others (TERM: 143)"),
    ),
    examples=(("zkexecctl dev --port 2182 --ensemble 3", "Have an ensemble to play with."),),
    needs_cluster=False,
)

_COMPLETION = Subcommand(
    name="completion",
    group=TRY_OUT,
    module="zkexec.ctl.command.completion",
    summary="Print the completions for a shell",
    text="The script by which a shell completes zkexec and zkexecctl: subcommands, options, files, "
    "and the names of groups, members and znodes in the cluster. For these it runs zkexecctl "
    "with the connection options that are on the line, for at most two seconds. A package of "
    "the system has installed the same scripts already.",
    arguments=(Argument(metavar="SHELL", meaning="bash, zsh or fish"),),
    statuses=((0, "printed"), WRONG_USAGE_STATUS),
    examples=(
        (
            "zkexecctl completion bash",
            "For each shell, with 'source <(zkexecctl completion bash)' in ~/.bashrc; so for zsh.",
        ),
        (
            "zkexecctl completion fish",
            "A line 'zkexecctl completion fish | source' in config.fish reads it in each shell.",
        ),
    ),
    needs_cluster=False,
)

SUBCOMMANDS: tuple[Subcommand, ...] = (
    *(_STATUS, _WAIT, _WEB, _EXPORTER),
    *(_PUSH, _PULL, _UNDO, _HISTORY, _SHOW, _DIFF),
    *(_PAUSE, _RESUME, _APPROVE, _RETRY, _RESTART, _FORGET, _DELETE),
    *(_DEV, _COMPLETION),
)
SUBCOMMAND_BY_NAME = {subcommand.name: subcommand for subcommand in SUBCOMMANDS}

OPTION_NAMES = OptionNames.of(
    (
        *CONNECTION,
        *(option for subcommand in SUBCOMMANDS for option in subcommand.options),
        *QUESTIONS,
    )
)
"""All options of all subcommands; an option takes a value with every subcommand or with none."""


_OTHER_NAMES = {
    **dict.fromkeys(("list", "ls", "info"), "status"),
    **dict.fromkeys(("follow", "await"), "wait"),
    **dict.fromkeys(("put", "set", "create", "write", "upload", "apply"), "push"),
    **dict.fromkeys(("download", "export"), "pull"),
    **dict.fromkeys(("revert", "rollback"), "undo"),
    **dict.fromkeys(("log", "revisions"), "history"),
    **dict.fromkeys(("get", "cat", "read"), "show"),
    **dict.fromkeys(("compare", "cmp"), "diff"),
    **dict.fromkeys(("stop", "freeze"), "pause"),
    **dict.fromkeys(("continue", "unpause", "start"), "resume"),
    **dict.fromkeys(("release", "promote"), "approve"),
    **dict.fromkeys(("reclaim", "evict"), "forget"),
    **dict.fromkeys(("remove", "rm", "rmr", "deleteall"), "delete"),
}
"""What other programs call a subcommand: nearer than a name with similar letters."""


def find(name: str) -> Subcommand:
    """Return a subcommand by its name; a ValueError suggests the nearest one, or lists all."""
    if name in SUBCOMMAND_BY_NAME:
        return SUBCOMMAND_BY_NAME[name]
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistyped name needs them

    from zkexec.cli.converters import shown  # noqa: PLC0415

    meant = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else []
    near = meant or get_close_matches(name, [*SUBCOMMAND_BY_NAME, "help"], n=1)
    if near:
        raise ValueError(f"unknown subcommand {shown(name)} (did you mean {near[0]}?)")
    known = ", ".join(SUBCOMMAND_BY_NAME)
    raise ValueError(f"unknown subcommand {shown(name)}: choose one of {known}")
