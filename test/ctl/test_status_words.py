"""The words of `status`: what stops a rollout, what comes next, and how long it takes."""

from typing import Any

import pytest

from support.group_samples import (
    NEW,
    OLD,
    PATH,
    START,
    entry,
    facts,
    failed_on,
    group_status,
    on,
    paused,
    pushed,
    waiting,
)
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import EntryPhase, Hold
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.member_row import LastWrite, MemberZnode
from zkexec.ctl.status.phrases import headline
from zkexec.ctl.status.render import render_group
from zkexec.ctl.status.time_phrases import moment
from zkexec.ctl.terminal.table import Frame
from zkexec.frozen import replace
from zkexec.group.member_profile import LastTurn

NOW = START + 40
PUSHED = {PATH: (pushed(3, 20, "alice", "more cache"),), "/app/": ()}


def drawn(group: GroupStatus) -> list[str]:
    """The lines of a group, without colours."""
    return render_group(group, NOW, Frame(lambda _style, text: text))


def unchecked(since: float, first_check_s: float, **changes: Any) -> MemberZnode:
    """A member whose command had no health check yet; it runs since then."""
    seen = on(NEW, 20, since, health="unknown", **changes)
    return replace(seen, facts=replace(facts(since=since), first_check_s=first_check_s))


def test_the_push_is_in_the_first_line() -> None:
    """Revision, author and message first, and in the next line the digest and the time."""
    first, second, *_ = drawn(group_status({"m1": on(NEW, 20)}, histories=PUSHED))

    assert first.startswith(f'web: 1 of 1 updated to {PATH}@3 (alice, "more cache")')
    assert second.startswith("version bbbbbbbbbbbb, pushed at ")
    assert second.endswith(", 20 s ago")


def test_the_time_of_what_runs_is_that_of_its_revision() -> None:
    """A push of what a member runs already names its version, and WRITTEN is when this came."""
    runs = on(NEW, 20, running_at=START + 10, running_zxid=10)

    *_, line = drawn(group_status({"m1": runs}, histories=PUSHED))

    assert f"@3 {NEW[:12]}  {moment(START + 20, NOW)}" in line


def test_the_last_push_is_in_the_first_line_of_several_rollouts() -> None:
    """If members have different inputs, the newest push of all is named behind the count."""
    other = replace(on(NEW, 15), facts=facts(paths=("/other",)))
    group = group_status(
        {"m1": on(NEW, 20), "m2": other},
        znodes={PATH: LastWrite(20, START), "/other": LastWrite(15, START)},
        histories=PUSHED,
    )

    assert headline(group, NOW) == (
        f'web: 2 of 2 up to date; last push: {PATH}@3 (alice, "more cache")'
    )


def test_a_long_message_is_cut_in_the_first_line() -> None:
    """A message of a thousand characters does not hide how far the rollout is."""
    histories = {**PUSHED, PATH: (pushed(3, 20, "alice", "x" * 1000),)}

    assert len(headline(group_status({"m1": on(NEW, 20)}, histories=histories), NOW)) < 150


def test_each_word_for_a_stop_is_explained() -> None:
    """Failed, blocked, paused and held are shown with what they mean."""
    hold = Hold(MaxUnavailable(1), "anna", "", (OLD,), START + 20)
    succeeded = {NEW: VersionState(20, "", known_good=True, succeeded=1)}
    blocked = on(OLD, 20, phase="blocked", wanted=NEW, reason="no space left", step="stage")
    texts = {
        "failed": group_status({"m1": waiting(), "m2": waiting()}, versions=failed_on("m1")),
        "blocked": group_status({"m1": blocked}),
        "paused": group_status({"m1": waiting()}, paused=paused()),
        "held": group_status({"m1": on(NEW, 20), "m2": waiting()}, hold=hold, versions=succeeded),
    }
    shown = {word: "\n".join(drawn(group)) for word, group in texts.items()}

    assert "failed: no other member tries this version" in shown["failed"]
    assert "2 of 2 serve aaaaaaaaaaaa" in shown["failed"]
    assert "blocked by its host" in shown["blocked"]
    assert "it tries again every ten seconds" in shown["blocked"]
    assert "; no member is admitted" in shown["paused"]
    assert "; the other members get the version when an operator approves it" in shown["held"]
    assert f"to undo the push: zkexecctl undo {PATH} --lock web --wait" in shown["held"]


@pytest.mark.parametrize(
    ("member", "cell"),
    [
        (unchecked(30, 30), "check in 20 s"),
        (unchecked(10, 5), "no check yet"),
        (unchecked(30, 30, phase="verifying"), "no check yet"),
        (unchecked(30, 0), "not checked"),
        (on(NEW, 20), "healthy"),
    ],
)
def test_a_health_check_that_has_not_come_is_announced(member: MemberZnode, cell: str) -> None:
    """Instead of `unknown`, the table has when the first health check comes."""
    lines = drawn(group_status({"m1": member}))

    assert f"  {cell}  " in lines[-1]
    assert "unknown" not in lines[-1]


def in_turns(**changes: Any) -> GroupStatus:
    """A rollout in which one of three members has finished; its turn began six seconds late."""
    done = on(NEW, 20, 30)
    assert done.facts is not None
    turn = LastTurn(START + 26, NEW[:12], START + 30, "restart", "succeeded")
    done = replace(done, facts=replace(done.facts, turn=turn))
    known = {NEW: VersionState(20, "", known_good=True, succeeded=1)}
    return group_status(
        {"m1": done, "m2": waiting(), "m3": waiting()},
        **{"versions": known, **changes},
    )


def test_an_estimate_counts_from_the_first_turn() -> None:
    """Four seconds a turn make eight for the two others, whenever the push was."""
    (progress,) = in_turns().progress

    assert progress.remaining_s(START + 30) == 8.0
    assert progress.remaining_s(START + 50) is None


@pytest.mark.parametrize(
    "stop",
    [
        {"paused": paused()},
        {"versions": failed_on("m2"), "in_flight": {"m2": entry(EntryPhase.FAILED)}},
        {"hold": Hold(MaxUnavailable(2), "anna", "", (OLD,), START + 20)},
    ],
)
def test_there_is_no_estimate_of_what_cannot_go_on(stop: dict[str, Any]) -> None:
    """Paused, failed, or before a hold is reached, nothing is promised."""
    (progress,) = in_turns(**stop).progress

    assert progress.remaining_s(START + 30) is None
    assert "to go" not in drawn(in_turns(**stop))[0]
