"""What zkexecctl writes about a group, in sentences: for `status`, for `wait` and for a push."""

import shlex
from collections.abc import Mapping, Sequence

from zkexec.core.phases import Phase
from zkexec.core.rollout.record import EntryPhase, RolloutRecord
from zkexec.core.rollout.version import short
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.step import failed_in
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.member_row import Intruder, MemberRow
from zkexec.ctl.status.progress import Progress
from zkexec.ctl.status.time_phrases import moment, span
from zkexec.ctl.status.undo_targets import UndoTarget, undo_targets
from zkexec.ctl.status.version_writes import serving_others
from zkexec.ctl.status.write_phrases import goal, version_name, write_text

_MOST_NAMES = 3
_BAR = 10
_STOPPED_PHASES = (Phase.FAILED.value, Phase.BLOCKED.value)


def ordinal(number: int) -> str:
    """Write a queue position: 1st, 2nd, 11th."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def names(all_names: Sequence[str]) -> str:
    """Write the first few names, and how many more there are."""
    more = len(all_names) - _MOST_NAMES
    if more <= 1:
        return ", ".join(all_names)
    return f"{', '.join(all_names[:_MOST_NAMES])} and {more} more"


def bar(count: int, total: int) -> str:
    """Draw how many of all that is."""
    filled = _BAR * count // total if total else 0
    return f"[{'#' * filled}{'.' * (_BAR - filled)}]"


def headline(group: GroupStatus, now: float) -> str:
    """Write how far the rollout is and whether it has stopped, or why there is none."""
    if group.state is GroupState.GONE:
        return f"{group.name}: no such group ({group.base} does not exist)"
    if group.state is GroupState.UNREADABLE:
        return f"{group.name}: {group.error}"
    if group.state is GroupState.EMPTY:
        return f"{group.name}: no member is alive"
    has_stopped = group.state in (GroupState.FAILED, GroupState.PAUSED, GroupState.HELD)
    stopped = f"{group.state.value}, " if has_stopped else ""
    count = f"{group.name}: {stopped}{group.up_to_date_count} of {len(group.rows)}"
    one = group.progress[0] if len(group.progress) == 1 else None
    push = None if one else group.last_push
    last = f"; last push: {write_text(push, now)}" if push and push.label else ""
    # A member that is being restarted does not serve either, but that is no reason to worry.
    count_unavailable = sum(not _is_restarting(row) for row in group.unavailable)
    unavailable = f", {count_unavailable} unavailable" if count_unavailable else ""
    return f"{count} {goal(one, now) if one else 'up to date'}{last}{unavailable}"


def pace(progress: Progress, now: float) -> str:
    """Write the time that the rollout has taken and will take; "" if it is not known."""
    took_s, remaining_s = progress.took_s(now), progress.remaining_s(now)
    if took_s is None:
        return ""
    if progress.is_complete:
        return f"took {span(took_s)}"
    to_go = "" if remaining_s is None else f", about {span(remaining_s + 0.5)} to go"
    return f"{span(took_s)} so far{to_go}"


def progress_line(progress: Progress, now: float, *, with_pace: bool = True) -> str:
    """Write how far the rollout of one set of inputs is, if members have different ones."""
    shown = pace(progress, now) if with_pace else ""
    inputs = names(progress.inputs) or "no input"
    line = f"{progress.up_to_date_count} of {progress.total} {goal(progress, now)}"
    return f"{line}  {shown and f'{shown}  '}({inputs})"


def waits_for(group: GroupStatus, *, with_steps: bool = False) -> str:
    """Write what the rollout waits for now, perhaps with the steps of the members in flight."""
    duplicates = [row.name for row in group.duplicates]
    absent = group.absent
    parts = (
        _waits_for_members(group, with_steps),
        absent and f"{names(absent)}, which {'does' if len(absent) == 1 else 'do'} not exist",
        duplicates and f"{names(duplicates)} with a member ID that another process has",
    )
    return "; ".join(part for part in parts if part)


def _waits_for_members(group: GroupStatus, with_steps: bool) -> str:
    """Name the members in flight; else those behind their inputs, in the queue, or the others."""
    unfinished = [row for row in group.rows if not row.is_up_to_date and not row.duplicate_of]
    busy = [row for row in unfinished if not row.has_finished]
    in_flight = [
        ([_in_flight(row, with_steps) for row in busy if _is_restarting(row)], "in flight"),
        ([row.name for row in busy if row.is_alive and _has_failed(row)], "failed"),
        ([row.name for row in busy if not row.is_alive], "missing in its turn"),
    ]
    found = [f"{names(members)} {what}" for members, what in in_flight if members]
    if found:
        return ", ".join(found)
    behind = [row for row in busy if row.inputs_behind]
    if behind:
        return _behind_inputs(group, behind)
    if group.waiting:
        return f"{len(group.waiting)} waiting{_next_in_queue(group)}"
    others = [f"{row.name} {row.phase}" for row in busy]
    differing = [f"{row.name} wants {short(row.wanted)}" for row in unfinished if row.others_want]
    return names(others or differing)


def _next_in_queue(group: GroupStatus) -> str:
    """Name the member that is admitted next; "" if none is."""
    if group.state in (GroupState.FAILED, GroupState.PAUSED, GroupState.HELD):
        return ""
    first = group.waiting[0]
    position = first.queue_position or 0
    ahead = [one for one in group.intruders if one.queue_position < position]
    if ahead:
        return f", {first.name} behind {_unknown_name(ahead[-1])}"
    # The head of the queue admits those that want what it wants, of the open zone first.
    alike = [row for row in group.waiting if row.wanted == first.wanted]
    zone = group.record.zone
    return f", {next((row for row in alike if row.zone == zone), first).name} is next"


def _is_restarting(row: MemberRow) -> bool:
    return row.is_alive and row.turn_phase is EntryPhase.RESTARTING


def _in_flight(row: MemberRow, with_step: bool) -> str:
    return f"{row.name} ({row.step})" if with_step and row.step else row.name


def _has_failed(row: MemberRow) -> bool:
    return row.turn_phase is EntryPhase.FAILED


def _behind_inputs(group: GroupStatus, behind: Sequence[MemberRow]) -> str:
    members = names([row.name for row in behind])
    reason = behind[0].reason
    is_common = bool(reason) and all(row.reason == reason for row in behind)
    if is_common and reason.startswith("/"):
        # It names the znode that prevents the change; all inputs count as not read then.
        return f"{members} {'waits' if len(behind) == 1 else 'wait'}: {reason}"
    path = behind[0].inputs_behind[0]
    write = group.znodes.get(path)
    text = f"{members} without the newest {path}"
    if write is not None and write.excess:
        return f"{text}, which {write.excess}"
    if write is not None and not write.size:
        return f"{text}, which is empty"
    return f"{text} ({reason})" if is_common else text


def failure(group: GroupStatus, now: float) -> str:
    """Write which version has failed, on which members and why; "" if none has."""
    return "" if group.failure is None else failure_of(group.failure, now)


def failure_of(progress: Progress, now: float) -> str:
    """Write which version has failed in a rollout, on which members and why; "" if none has."""
    if progress.failure is None:
        return ""
    return version_failure(_version(progress), progress.failure, now, _hosts(progress))


def version_failure(
    name: str, found: VersionState, now: float, hosts: Mapping[str, str] | None = None
) -> str:
    """Write on which members, with their hosts, a version has failed, and why the last time."""
    at = f" at {moment(found.at, now)}" if found.at else ""
    reason = found.reason or "the reason is not known"
    where = names([on_host(member, hosts or {}) for member in found.failed_by])
    return f"{name} {failed_in(found.step)} on {where}{at}{_in_step(found.step)}: {reason}"


def _in_step(step: str) -> str:
    """Name the step, unless the failure is written with its step anyway."""
    return f", in step {step}" if step and failed_in(step) == failed_in("") else ""


def on_host(member: str, hosts: Mapping[str, str]) -> str:
    """Write the name of a member, with its host if that is not its name."""
    host = hosts.get(member, "")
    return f"{member} ({host})" if host and host != member else member


def _hosts(progress: Progress) -> dict[str, str]:
    return {row.name: row.znode.facts.host for row in progress.rows if row.znode.facts}


def _version(progress: Progress) -> str:
    """Name the version of a rollout by its revision and its digest."""
    return version_name(progress.write.label if progress.write else "", progress.digest)


def max_unavailable(group: GroupStatus) -> str:
    """Write how many members may be in flight, and who set it; "" if it is not known."""
    agreed = group.record.max_unavailable
    if agreed is None:
        return ""
    most = group.record.max_in_flight(group.record.zone)
    shown = f"{agreed.limit}, that is {most}" if agreed.limit.percent else str(agreed.limit)
    text = f"max unavailable: {shown}, set by {agreed.by}"
    if group.failure is not None:
        # No member is admitted at all.
        return text
    left = [one for one in group.progress if not one.is_complete]
    if any(not one.is_known_good for one in left) and most > 1:
        return f"{text}; 1 while the new version is untried"
    fewest = min((one.allowed for one in left), default=most)
    return f"{text}; {fewest} for now, twice as many as have succeeded" if fewest < most else text


def others_serve(group: GroupStatus) -> str:
    """Write what a failure means for the other members, and what these serve; "" without one."""
    failed = group.failure
    if failed is None:
        return ""
    serving = serving_others(failed.rows, failed.digest)
    parts = [
        f"{count} of {failed.total} serve{'s' * (count == 1)} {_running_name(group, digest)}"
        for digest, count in serving.items()
    ]
    kept = f": {', '.join(parts)}" if parts else ""
    return f"failed: no other member tries this version, and all others keep what they run{kept}"


def _running_name(group: GroupStatus, digest: str) -> str:
    """Name a version that a member runs, by its revision if that is proven."""
    row = next((one for one in group.rows if one.status.running == digest), None)
    return (group.versions.running(row) if row else "") or short(digest)


def tolerated_failures(group: GroupStatus) -> list[str]:
    """Write which versions go on although they have failed on some members."""
    most = group.record.tolerated
    lines = [
        f"{_version(one)} failed on "
        f"{names([on_host(member, _hosts(one)) for member in one.failures])}, which is tolerated: "
        f"max failed is {most}; the rollout goes on{_only_in_zone(group)}, and these members wait "
        "for a push or a retry"
        for one in _tolerated(group)
    ]
    return [*lines, *_places_at_risk(group)] if lines else lines


def _only_in_zone(group: GroupStatus) -> str:
    """Write that a failure keeps members of other zones waiting; "" if none wait."""
    zone = group.open_zone
    if zone is None or all(row.zone == zone for row in group.waiting):
        return ""
    return f" in zone {zone} only" if zone else " for members without a zone only"


def _places_at_risk(group: GroupStatus) -> list[str]:
    """Warn if tolerated failures can take all places, so that no other member is admitted."""
    tolerated, places = group.record.tolerated, group.record.max_in_flight(group.record.zone)
    if tolerated < places:
        return []
    text = f"max failed ({tolerated}) is not less than max unavailable ({places}): if that many"
    return [f"{text} members fail, no other is admitted; set --max-failed below --max-unavailable"]


def _tolerated(group: GroupStatus) -> list[Progress]:
    return [
        one
        for one in group.progress
        if one.failures and one.failure is None and not one.is_complete
    ]


def advice(group: GroupStatus) -> list[str]:
    """Write what an operator can do about a failure or a pause, each with its command."""
    lines = []
    # A tolerated failure stops no other member, but its own member is never done without a push.
    failed = [*filter(None, (group.failure,)), *_tolerated(group)]
    if failed:
        lines += _way_back(group, failed[0])
        lines.append(f"to try it again: {_command(group, 'retry', group.name)}")
    if group.record.paused is not None:
        lines.append(f"to continue: {_command(group, 'resume', group.name)}")
    if group.held is not None:
        lines.append(f"to let all members follow: {_command(group, 'approve', group.name)}")
        lines += [] if failed else _way_back(group, group.held)
    return lines


def _way_back(group: GroupStatus, progress: Progress) -> list[str]:
    """Write the command that brings back what was known good; none if nothing was pushed."""
    targets = undo_targets(progress, group.record, group.writes)
    follow = ("--lock", group.name, "--wait")
    if targets:
        revisions = {target.revision for target in targets}
        if len(revisions) == 1:
            to = [f"--to={revision}" for revision in revisions if revision]
            paths = [target.path for target in targets]
            return [f"to undo the push: {_command(group, 'undo', *paths, *to, *follow)}"]
        commands = [_command(group, "undo", one.path, *_to(one)) for one in targets]
        return [f"to undo the pushes: {' && '.join(commands)} {shlex.join(follow)}"]
    write = progress.write
    if write is None or progress.request is not None:
        return []
    source = "DIR/" if write.path.endswith("/") else "FILE"
    command = _command(group, "push", f"{write.path}={source}", *follow)
    return [f"no earlier content is kept; to push other content: {command}"]


def _to(target: UndoTarget) -> tuple[str, ...]:
    return (f"--to={target.revision}",) if target.revision else ()


def member_failures(group: GroupStatus, now: float) -> list[str]:
    """Write why members failed or are blocked, each reason whole; the first few.

    What is the failure of the version is left out.
    """
    known = {"", *(one.failure.reason for one in group.progress if one.failure is not None)}
    found = {
        row.name: _member_failure(row, now)
        for row in group.rows
        if row.phase in _STOPPED_PHASES and row.reason not in known
    }
    for progress in group.progress:
        for name, one in progress.failures.items():
            if one.reason not in known and not progress.is_complete:
                at = f" at {moment(one.at, now)}" if one.at else ""
                found.setdefault(name, f"{name} {failed_in(one.step)}{at}: {one.reason}")
    lines = [*found.values()]
    more = len(lines) - _MOST_NAMES
    if more > 0:
        lines[_MOST_NAMES:] = [f"{more} more members failed or are blocked"]
    return lines


def _member_failure(row: MemberRow, now: float) -> str:
    at = f" at {moment(row.since, now)}" if row.since else ""
    failed = f"{failed_in(row.step)}{at}: {row.reason}"
    if row.phase == Phase.BLOCKED.value:
        return f"{row.name} is blocked by its host, {failed}; it tries again every ten seconds"
    return f"{row.name} {failed}"


def pause(group: GroupStatus, now: float) -> str:
    """Write who has paused the group, since when and why; "" if it is not paused."""
    return record_pause(group.record, now)


def record_pause(record: RolloutRecord, now: float) -> str:
    """Write the same of its record."""
    paused = record.paused
    if paused is None:
        return ""
    since = f" since {moment(paused.at, now)}" if paused.at else ""
    by, reason = paused.by or "an operator", paused.reason or "no reason given"
    return f"paused by {by}{since}: {reason}; no member is admitted"


def record_advice(group: GroupStatus) -> str:
    """Write what follows from a record that is not understood, and what to do; or ""."""
    if not group.error or group.is_forbidden:
        return ""
    consequence = "commands keep running, and no member is admitted"
    if group.is_newer:
        return f"{consequence}; use the zkexecctl of the version that wrote it"
    path = f"{group.base}/state"
    return (
        f"{consequence}; to start a new record, in which every version is untried: "
        f"{shlex.join(['zkCli.sh', 'delete', path])}"
    )


def absent_inputs(group: GroupStatus) -> list[str]:
    """Write which inputs do not exist, and what to do; the first few."""
    lines = []
    for path in group.absent[:_MOST_NAMES]:
        members = [row.name for row in group.rows if path in row.absent]
        source = "DIR/" if path.endswith("/") else "FILE"
        lines.append(
            f"{path} does not exist; until it does, the files of these members stay as they are: "
            f"{names(members)}; to create it: {_command(group, 'push', f'{path}={source}')}"
        )
    more = len(group.absent) - len(lines)
    return [*lines, f"{more} more inputs do not exist"] if more else lines


def oversized_inputs(group: GroupStatus) -> list[str]:
    """Write which trees are too much for every member, and what follows; the first few."""
    lines = [
        f"{path} {group.znodes[path].excess}; until it is less, the members keep what they have"
        for path in group.oversized[:_MOST_NAMES]
    ]
    more = len(group.oversized) - len(lines)
    return [*lines, f"{more} more trees are too much"] if more else lines


def partly_hidden_inputs(group: GroupStatus) -> str:
    """Write of which trees a newer write may not be noticed; "" if of none."""
    paths = names(group.partly_hidden)
    return f"may not be read here as a whole: {paths}; a newer write may be there" if paths else ""


def missing_members(group: GroupStatus, now: float) -> list[str]:
    """Write which members are missing in their turns, and what to do; the first few."""
    lines = [missing_member(group, row, now) for row in group.missing[:_MOST_NAMES]]
    more = len(group.missing) - len(lines)
    return [*lines, f"{more} more members are missing in their turns"] if more else lines


def duplicate_members(group: GroupStatus) -> list[str]:
    """Write which members have the ID of another process, and what to do; the first few."""
    lines = [duplicate_member(group, row) for row in group.duplicates[:_MOST_NAMES]]
    more = len(group.duplicates) - len(lines)
    return [*lines, f"{more} more have the member ID of another process"] if more else lines


def missing_member(group: GroupStatus, row: MemberRow, now: float) -> str:
    """Write that a member is missing in its turn, and what to do."""
    command = _command(group, "forget", group.name, row.name)
    return f"{missing_since(row, now)}; if it does not come back: {command}"


def missing_since(row: MemberRow, now: float) -> str:
    """Write that a member is missing in its turn, and when this began."""
    what = "failed" if _has_failed(row) else "began"
    since = f", which {what} at {moment(row.since, now)}" if row.since else ""
    return f"{row.name} is missing in its turn{since}"


def duplicate_member(group: GroupStatus, row: MemberRow) -> str:
    """Write that another process has the member ID of a member, and what to do."""
    first = next((one for one in group.rows if one.name == row.duplicate_of), None)
    owner = _process(first) if first is not None else row.duplicate_of
    text = f"{_process(row)} has the member ID of {owner} and takes no turn"
    return f"{text}: give it another --member-id"


def member_reason(row: MemberRow, group: GroupStatus) -> str:
    """Write what is wrong with a member; "" if nothing is."""
    parts = [f"duplicate of {row.duplicate_of}"] if row.duplicate_of else []
    path = next(iter(row.inputs_behind), "")
    write = group.znodes.get(path)
    if write is not None and (write.excess or not write.size):
        parts.append(f"{path} {write.excess or 'is empty'}")
    if row.absent:
        parts.append(f"{names(row.absent)} missing")
    if row.others_want:
        parts.append(f"others want {short(row.others_want)} of the same inputs")
    return "; ".join(text for text in (*parts, row.reason, shared_files(row)) if text)


def shared_files(row: MemberRow) -> str:
    """Write which members on its host write to the same files; "" if none does."""
    others: dict[str, list[str]] = {}
    for other, file in row.shares_with:
        others.setdefault(file, []).append(other)
    return "; ".join(
        f"{names(found)} write{'s' if len(found) == 1 else ''} to the same {file}"
        for file, found in others.items()
    )


def intruders(group: GroupStatus) -> list[str]:
    """Write which queue nodes are no members', and how to remove them; the first few."""
    lines = [
        f"{ordinal(one.queue_position)} in the queue: {_unknown_name(one)}, and the members "
        f"behind it wait; to remove it: {shlex.join(['zkCli.sh', 'delete', one.path])}"
        for one in group.intruders[:_MOST_NAMES]
    ]
    more = len(group.intruders) - len(lines)
    return [*lines, f"in the queue: {more} more that are not members"] if more else lines


def ignored_znodes(group: GroupStatus) -> list[str]:
    """Write which znodes are ignored, and how to remove them; the first few."""
    lines = [
        f"ignored: {one.path}, {one.reason.value}; to remove it: "
        f"{shlex.join(['zkCli.sh', 'deleteall', one.path])}"
        for one in group.ignored[:_MOST_NAMES]
    ]
    more = len(group.ignored) - len(lines)
    return [*lines, f"ignored: {more} more"] if more else lines


def _unknown_name(one: Intruder) -> str:
    return f"{one.name or 'a node without a name'}, which is not a member"


def _process(row: MemberRow) -> str:
    facts = row.znode.facts
    return f"{row.name} ({facts.host}, pid {facts.pid})" if facts else row.name


def _command(group: GroupStatus, subcommand: str, *arguments: str) -> str:
    return printed_command(group.connection_words, subcommand, *arguments)
