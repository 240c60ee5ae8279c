"""The words for each topic: what a person reads, and how much it matters."""

from enum import IntEnum


class Level(IntEnum):
    """How much a line matters."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    FATAL = 50


TEXTS: dict[str, tuple[Level, str]] = {
    "connecting": (Level.INFO, "connecting to {hosts}"),
    "connected": (Level.INFO, "connected"),
    "registering": (Level.INFO, "registering callback on {path}"),
    "connect-failed": (Level.WARNING, "cannot connect to {reason}"),
    "disconnected": (
        Level.WARNING,
        "connection to the cluster lost ({reason}); the command is left alone",
    ),
    "session-expired": (Level.WARNING, "session expired; opening a new one"),
    "session-renewed": (Level.WARNING, "still no connection; beginning again with a new session"),
    "history-changed": (
        Level.WARNING,
        "the cluster was wiped, or restored from a dump: what it holds now counts",
    ),
    "read-unanswered": (Level.WARNING, "the cluster does not answer a read; connecting anew"),
    "read-failed": (Level.WARNING, "cannot read the configuration: {reason}"),
    "unneeded-cluster-silent": (
        Level.WARNING,
        (
            "no connection to {hosts} yet ({reason}); nothing is mirrored, so the command starts "
            "without it, and connecting continues"
        ),
    ),
    "cluster-silent": (
        Level.WARNING,
        "no configuration from {hosts} within {connect_timeout_s:g} s ({reason})",
    ),
    "cluster-unreachable": (
        Level.FATAL,
        "--cluster: no configuration from {hosts} within {connect_timeout_s:g} s: {reason}",
    ),
    "cached-files-used": (Level.WARNING, "starting on the files that are there (--start cached)"),
    "cached-files-missing": (Level.FATAL, "--start cached: cannot use {reason}"),
    "znodes-unusable": (Level.FATAL, "--mirror: {problems} at {hosts}"),
    "waiting-for-znodes": (Level.INFO, "waiting (--start wait): {problems}"),
    "znode-unusable": (
        Level.WARNING,
        "{path} {problem}; its file and the command stay as they are",
    ),
    "znode-usable": (Level.INFO, "{path} has content again"),
    "touched": (Level.DEBUG, "{path} was touched; reading"),
    "changed": (Level.INFO, "new content for {path} ({size} bytes, sha256 {sha256})"),
    "change-undone": (Level.INFO, "back to what is installed; nothing to change"),
    "change-gone": (Level.INFO, "what was newer is gone; what failed here is wanted again"),
    "restarting": (Level.INFO, "restarting for the new configuration"),
    "installed": (Level.INFO, "wrote {path} ({size} bytes, sha256 {sha256})"),
    "written-in-place": (
        Level.WARNING,
        "{path} is written in place, a reader may see it half written: {reason}",
    ),
    "files-unwritable": (Level.FATAL, "--mirror: cannot write {reason}"),
    "files-failed": (
        Level.WARNING,
        "cannot write {reason}; the old configuration stays, next try in {retry_s:g} s",
    ),
    "forking": (Level.INFO, "forking {command}"),
    "forked": (Level.INFO, "forked {pid}"),
    "start-delayed": (
        Level.WARNING,
        "--exec: {reason}; nothing runs now, next try in {retry_s:g} s",
    ),
    "start-failed": (Level.FATAL, "--exec: {reason}"),
    "left-over": (
        Level.WARNING,
        (
            "an earlier zkexec left processes of this command behind ({count}), stopping them "
            "first ({signal}, killed after {kill_timeout_s:g} s)"
        ),
    ),
    "left-over-stays": (
        Level.WARNING,
        "processes of an earlier zkexec cannot be stopped, the command starts beside them: {pids}",
    ),
    "stopping": (Level.INFO, "stopping the command ({signal}, killed after {kill_timeout_s:g} s)"),
    "killing": (Level.WARNING, "the command did not stop in time; killing it"),
    "ended": (Level.DEBUG, "the command ended: {ending}"),
    "command-failed": (Level.INFO, "command failed"),
    "signal": (Level.DEBUG, "received {signal}"),
    "checking": (Level.INFO, "health checking via: {health}"),
    "check-passed": (Level.INFO, "successful health check"),
    "check-failed": (Level.WARNING, "failed health check: {reason}"),
    "start-blocked": (
        Level.WARNING,
        (
            "not started: the wanted configuration has failed in the group, and the files on disk "
            "are not known to be good; waiting for new configuration"
        ),
    ),
    "known-good-files-used": (
        Level.WARNING,
        "starting on the files that are there: they are proven, the wanted configuration is not",
    ),
    "turn-awaited": (Level.INFO, "waiting for the turn: {ahead} ahead, behind {behind}"),
    "restart-ignored": (
        Level.WARNING,
        "ignored {path}: no zkexecctl has written this; zkexecctl restart or retry writes it anew",
    ),
    "queue-strays": (
        Level.WARNING,
        "ignored {paths}: no member can have created this queue node; it can be deleted",
    ),
    "queue-left-over": (
        Level.WARNING,
        (
            "ignored {path}: it is lasting, so it belongs to no living member (restored from a "
            "dump?); it can be deleted"
        ),
    ),
    "turn-next": (Level.INFO, "next in turn; waiting for {members}"),
    "turn-blocked": (
        Level.WARNING,
        (
            "the rollout is paused since {since}: configuration {digest} failed on {failed_by} "
            "({reason}); new configuration ends this, zkexecctl retry, or that what "
            "runs on {failed_by} becomes healthy"
        ),
    ),
    "turn-outdated": (
        Level.WARNING,
        (
            "configuration {digest} is not tried: the group has gone on to newer configuration, "
            "which this member has not seen, or of which a znode is missing or may not be read"
        ),
    ),
    "turn-paused": (
        Level.WARNING,
        "the rollout is paused by {by} since {since} ({reason}); it goes on when it is resumed",
    ),
    "turn-taken": (Level.INFO, "turn taken for configuration {digest}"),
    "turn-confirmed": (Level.DEBUG, "turn confirmed"),
    "turn-released": (Level.INFO, "turn released"),
    "turn-lost": (
        Level.WARNING,
        "the turn was taken back: this member was out of sight for too long",
    ),
    "verifying": (Level.INFO, "waiting for the command to become healthy"),
    "known-good": (Level.INFO, "healthy on the new configuration"),
    "restart-failed": (
        Level.WARNING,
        (
            "restart failed: {reason}; the rollout is paused until there is new configuration or a "
            "retry (zkexecctl){or_else}"
        ),
    ),
    "old-command-ended": (
        Level.WARNING,
        (
            "the old command does not run any more ({reason}); zkexec stays, and starts it again "
            "once the new files can be written, or at once if the change is undone"
        ),
    ),
    "reverted": (
        Level.WARNING,
        "back on the last good configuration; the rollout stays paused until there is a new one",
    ),
    "restart-asked": (Level.INFO, "an operator has asked for a rolling restart"),
    "pushed-again": (
        Level.INFO,
        "what failed is wanted once more; trying it again",
    ),
    "adopted": (Level.WARNING, "an earlier run was lost in its turn; taking the turn over"),
    "member-missing": (
        Level.WARNING,
        (
            "{member} is gone in the middle of its restart; unless it returns, its turn is taken "
            "back in {grace_s:g} s"
        ),
    ),
    "member-reaped": (Level.WARNING, "{member} did not return; its turn is taken back"),
    "member-id-taken": (
        Level.WARNING,
        (
            "--member-id: {member} is taken in the group by {holder}; this member takes no turn "
            "until that is gone: give it another --member-id"
        ),
    ),
    "group-width": (
        Level.WARNING,
        (
            "the group restarts {width} at a time, as {by} asks; --max-unavailable {own} of this "
            "member does not count"
        ),
    ),
    "group-trouble": (Level.WARNING, "cannot take part in the group: {reason}"),
    "no-identity": (Level.FATAL, "{reason}"),
    "files-shared": (
        Level.WARNING,
        (
            "--mirror: {path} is the file of {members} on this host as well: what is tried there "
            "is under this command, too, and after a crash this member may not start on it; give "
            "each member a file of its own"
        ),
    ),
    "id-not-locked": (
        Level.WARNING,
        (
            "--member-id: no folder for the lock of {member}, so only its znode keeps a second "
            "zkexec with this ID away: {obstacles}"
        ),
    ),
    "alerting": (Level.INFO, "alerting via: {alert_command} ({alert}: {reason})"),
    "alert-failed": (Level.WARNING, "the alert command failed: {reason}"),
    "alert-killed": (Level.WARNING, "the alert command took too long; killed"),
    "lines-lost": (Level.WARNING, "{count} lines of this log could not be written"),
    "phase": (Level.DEBUG, "{left} -> {phase}"),
    "client": (Level.DEBUG, "client: {line}"),
    "zkexec-failed": (
        Level.WARNING,
        (
            "zkexec failed internally ({reason}); the command keeps running, configuration is no "
            "longer followed; beginning again in {retry_s:g} s"
        ),
    ),
    "zkexec-failed-alone": (
        Level.FATAL,
        "zkexec failed internally ({reason}), and no command runs; please report this",
    ),
    "begun-again": (Level.INFO, "beginning again; the command that runs is kept"),
    "traceback": (Level.DEBUG, "{line}"),
}
