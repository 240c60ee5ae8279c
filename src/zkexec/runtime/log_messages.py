"""The text and the level of each topic of a note.

Lines that the tutorial shows begin as it shows them.
"""

from zkexec.enumeration import Enum


class Level(Enum):
    """How important a line is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    FATAL = "fatal"


PRIORITIES = {Level.DEBUG: 7, Level.INFO: 6, Level.WARNING: 4, Level.FATAL: 3}
"""The numbers that the journal knows, see `man 3 sd-daemon`: the lower, the more important."""

HEALTH_CHECKS = frozenset({"health-check-started", "health-check-passed", "health-check-failed"})
"""A terminal, a pipe or a file gets a line for each; the journal and JSON, for each change."""

MESSAGES: dict[str, tuple[Level, str]] = {
    "settings-warning": (Level.WARNING, "{warning}"),
    "connecting": (Level.INFO, "connecting to {hosts}"),
    "connected": (Level.INFO, "connected"),
    "registering": (Level.INFO, "registering callback on {path}"),
    "connect-failed": (Level.WARNING, "cannot connect to {reason}"),
    "disconnected": (
        Level.WARNING,
        "connection to the cluster lost ({reason}); the command keeps running",
    ),
    "session-expired": (Level.WARNING, "session expired; opening a new one"),
    "session-renewed": (Level.WARNING, "still no connection; opening a new session"),
    "history-changed": (
        Level.WARNING,
        "the cluster was wiped, or restored from a dump; following what it contains now",
    ),
    "read-failed": (Level.WARNING, "cannot read the configuration: {reason}"),
    "started-unconnected": (
        Level.WARNING,
        (
            "no connection to {hosts} yet ({reason}); the command has no inputs and starts now, "
            "connecting continues"
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
    "cached-files-used": (Level.WARNING, "starting on the files on disk (--start cached)"),
    "cached-files-missing": (Level.FATAL, "--start cached: cannot use {reason}"),
    "znodes-unusable": (Level.FATAL, "{input_options}: at {hosts}, {problems}"),
    "record-forbidden": (Level.FATAL, "--lock: cannot read the record of the group: {reason}"),
    "cluster-awaited": (Level.DEBUG, "waiting for the configuration from {hosts} ({reason})"),
    "waiting-for-znodes": (Level.INFO, "waiting (--start wait): {problems}"),
    "znode-unusable": (
        Level.WARNING,
        "{path} {problem}; the files and the command stay as they are",
    ),
    "znode-usable": (Level.INFO, "{path} has content again"),
    "problem-over": (Level.INFO, "{path} prevents nothing any more"),
    "touched": (Level.DEBUG, "{path} may have changed; reading"),
    "changed": (Level.INFO, "new content for {path} ({size} bytes, sha256 {sha256})"),
    "changed-removal": (Level.INFO, "{path} is in its tree no more"),
    "installed-removal": (Level.INFO, "removed {path}"),
    "variables-changed": (Level.INFO, "new values for {names}"),
    "nothing-differs": (Level.INFO, "the inputs changed, but nothing on this host differs"),
    "render-impossible": (
        Level.WARNING,
        "cannot render the templates: {reason}; next attempt in {retry_s:g} s",
    ),
    "start-not-rendered": (Level.FATAL, "--template: cannot render on this host: {reason}"),
    "change-dropped": (Level.INFO, "what was not applied yet is dropped; nothing changes"),
    "change-undone": (Level.INFO, "the old content is back; nothing to change"),
    "newer-gone": (
        Level.INFO,
        "the newer content is gone; the wanted version is again the one that failed here",
    ),
    "restarting": (Level.INFO, "restarting for the new configuration"),
    "step-started": (Level.DEBUG, "running the {step} command"),
    "step-passed": (Level.INFO, "{step} succeeded"),
    "step-failed": (Level.WARNING, "{step} failed: {reason}"),
    "step-killed": (Level.WARNING, "{step} has not ended within {limit_s:g} s; killing it"),
    "step-impossible": (
        Level.WARNING,
        "{reason}; nothing is stopped, next attempt in {retry_s:g} s",
    ),
    "start-refused-by-check": (Level.FATAL, "not started: {reason}"),
    "start-refused": (Level.WARNING, "the wanted version is not used: {reason}"),
    "change-refused": (
        Level.WARNING,
        "the change is not applied: {reason}; waiting for new content",
    ),
    "only-installing": (
        Level.INFO,
        "installing the new configuration, which the command notices by itself",
    ),
    "reloading": (Level.INFO, "reloading for the new configuration"),
    "reload-signalled": (Level.DEBUG, "sending {signal} to the command"),
    "undrained": (
        Level.INFO,
        "the command was drained and is not stopped; running post-healthy for it",
    ),
    "staged": (Level.INFO, "the new files are in {folder}"),
    "stage-failed": (Level.FATAL, "--stage-only: cannot write {reason}"),
    "stage-refused": (Level.FATAL, "{reason}"),
    "files-put-back": (Level.WARNING, "the reload failed; the old files are put back"),
    "installed": (Level.INFO, "wrote {path} ({size} bytes, sha256 {sha256})"),
    "attributes-not-set": (
        Level.WARNING,
        "{path} has not the mode or the owner that options name: {reason}",
    ),
    "file-kept": (
        Level.WARNING,
        "{path} is not removed: another process has changed what zkexec had installed",
    ),
    "state-unwritten": (
        Level.WARNING,
        "cannot write the state file {path}: {reason}; the next start may take a turn it needs not",
    ),
    "written-in-place": (
        Level.WARNING,
        "{path} is written in place, a reader can see it half written: {reason}",
    ),
    "files-unwritable": (Level.FATAL, "{file_options}: cannot write {reason}"),
    "put-back-failed": (
        Level.WARNING,
        "cannot write {reason}; the refused files stay, next attempt in {retry_s:g} s",
    ),
    "files-failed": (
        Level.WARNING,
        "cannot write {reason}; the old files stay, next attempt in {retry_s:g} s",
    ),
    "command-starting": (Level.INFO, "forking {command}"),
    "command-started": (Level.INFO, "forked {pid}"),
    "start-delayed": (
        Level.WARNING,
        "--exec: {reason}; no command runs now, next attempt in {retry_s:g} s",
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
        "cannot stop processes of an earlier zkexec; the command starts beside them: {pids}",
    ),
    "stopping": (Level.INFO, "stopping the command ({signal}, killed after {kill_timeout_s:g} s)"),
    "killing": (Level.WARNING, "the command did not stop in time; killing it"),
    "command-ended": (Level.DEBUG, "the command ended: {ending}"),
    "command-ended-by-term": (Level.INFO, "the command ended: {ending}"),
    "command-failed": (Level.WARNING, "command failed: {reason}"),
    "signal-received": (Level.DEBUG, "received {signal}"),
    "term-received": (Level.INFO, "received {signal}; ending"),
    "health-check-started": (Level.INFO, "health checking via: {health}"),
    "health-check-passed": (Level.INFO, "successful health check"),
    "health-check-failed": (Level.INFO, "failed health check: {reason}"),
    "start-blocked": (
        Level.WARNING,
        (
            "not started: the wanted version has failed in the group, and the files on disk are "
            "not known good; waiting for new content"
        ),
    ),
    "known-good-files-used": (
        Level.WARNING,
        "starting on the files on disk: they are known good, the wanted version is not",
    ),
    "turn-awaited": (Level.INFO, "waiting for the turn in the queue"),
    "restart-ignored": (
        Level.WARNING,
        (
            "ignored {path}: no zkexecctl has written this; `zkexecctl restart {group}` or `retry` "
            "replaces it"
        ),
    ),
    "queue-strays": (
        Level.WARNING,
        "ignored {paths}: no member can have created this queue node; it can be deleted",
    ),
    "queue-left-over": (
        Level.WARNING,
        (
            "ignored {path}: it is not ephemeral, so no living member created it (restored from a "
            "dump?); it can be deleted"
        ),
    ),
    "turn-next": (
        Level.INFO,
        "next in the queue; members in flight: {in_flight}, unavailable: {unavailable}",
    ),
    "turn-awaits-room": (
        Level.DEBUG,
        "next in the queue; members in flight: {members}, unavailable: {unavailable}",
    ),
    "turn-held": (
        Level.WARNING,
        (
            "version {digest} is held by {by} since {since} ({reason}) after {after}; "
            "`zkexecctl approve {group}` continues the rollout"
        ),
    ),
    "members-admitted": (Level.DEBUG, "other members admitted: {members}"),
    "turn-blocked": (
        Level.WARNING,
        (
            "version {digest} {failed} on {failed_by} ({reason}), and since {since} no other "
            "member tries it; push new content or run `zkexecctl retry {group}`{or_else}"
        ),
    ),
    "turn-outdated": (
        Level.WARNING,
        (
            "version {digest} is not tried: the group has a newer one, which this member has not "
            "read, or of which a znode is missing or may not be read"
        ),
    ),
    "turn-paused": (
        Level.WARNING,
        (
            "the rollout is paused by {by} since {since} ({reason}); `zkexecctl resume {group}` "
            "continues it"
        ),
    ),
    "admitted": (Level.INFO, "turn taken for version {digest}"),
    "turn-confirmed": (Level.DEBUG, "turn confirmed"),
    "turn-released": (Level.INFO, "turn released"),
    "turn-lost": (
        Level.WARNING,
        "the turn was reclaimed: this member was missing for longer than the grace period",
    ),
    "verifying": (Level.INFO, "waiting for the command to become healthy"),
    "known-good": (Level.INFO, "healthy on the new configuration"),
    "change-failed": (
        Level.WARNING,
        (
            "the change failed: {reason}; the command runs on; this member waits for new content "
            "or `zkexecctl retry {group}`, and {consequence}"
        ),
    ),
    "restart-failed": (
        Level.WARNING,
        (
            "restart failed: {reason}; this member waits for new content or "
            "`zkexecctl retry {group}`{or_else}, and {consequence}"
        ),
    ),
    "old-command-ended": (
        Level.WARNING,
        (
            "the old command does not run any more ({reason}); zkexec starts it again as soon as "
            "the new files can be written, or at once if the change is undone"
        ),
    ),
    "reverted": (
        Level.WARNING,
        (
            "reverted to the last good configuration; this member waits for new content or "
            "`zkexecctl retry {group}`"
        ),
    ),
    "restart-requested": (Level.INFO, "an operator requested a rolling restart"),
    "pushed-again": (Level.INFO, "the failed content was written again; trying it again"),
    "adopted": (
        Level.WARNING,
        "an earlier zkexec of this member was lost in its turn; adopting the turn",
    ),
    "member-missing": (
        Level.WARNING,
        "{member} is missing in its turn; unless it returns, this is reclaimed in {grace_s:g} s",
    ),
    "turn-reclaimed": (Level.WARNING, "{member} did not return; its turn is reclaimed"),
    "member-id-taken": (
        Level.WARNING,
        (
            "--member-id: {member} is used in the group by {holder}; this member takes no turn "
            "until that process is gone: give it another --member-id"
        ),
    ),
    "max-unavailable-differs": (
        Level.WARNING,
        (
            "--max-unavailable: {own} of this member does not count, because {by} requests "
            "{max_unavailable}"
        ),
    ),
    "group-trouble": (Level.WARNING, "cannot take part in the group: {reason}"),
    "no-identity": (Level.FATAL, "{reason}"),
    "files-shared": (
        Level.WARNING,
        (
            "{file_options}: {path} is the file of {members} on this host as well; give each "
            "member a file of its own: what one member tries is under the other's command, too, "
            "and after a crash this member may not start on it"
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
    "notify-failed": (
        Level.WARNING,
        "--notify: cannot notify {socket}: {reason}; the command runs on, zkexec tries it again",
    ),
    "metrics-unwritten": (
        Level.WARNING,
        "--metrics-file: cannot write {path}: {reason}; zkexec tries it again each minute",
    ),
    "metrics-written": (Level.INFO, "--metrics-file: {path} is written again"),
    "lines-lost": (Level.WARNING, "{count} lines of this log could not be written"),
    "phase": (Level.DEBUG, "{left} -> {phase}"),
    "zkexec-failed": (
        Level.WARNING,
        (
            "zkexec failed internally ({reason}); the command keeps running, configuration is no "
            "longer followed; starting over in {retry_s:g} s"
        ),
    ),
    "zkexec-failed-alone": (
        Level.FATAL,
        "zkexec failed internally ({reason}), and no command runs; please report this",
    ),
    "zkexec-failed-stopping": (
        Level.FATAL,
        "zkexec failed internally ({reason}), and the command is being stopped; please report this",
    ),
    "caretaker-failed": (
        Level.WARNING,
        (
            "zkexec failed internally again ({reason}); until it is restarted, it only passes "
            "signals on and ends with the command; please report this"
        ),
    ),
    "started-over": (Level.INFO, "starting over; the running command is kept"),
    "traceback": (Level.DEBUG, "{line}"),
}
