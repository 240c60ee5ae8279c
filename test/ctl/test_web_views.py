"""What the pages show, computed from values: marks, sentences, commands, and what changes."""

import time
from typing import Any

import pytest

from support.group_samples import (
    NEW,
    OLD,
    PATH,
    START,
    duplicate,
    entry,
    facts,
    failed_on,
    group_status,
    held_in_zones,
    on,
    paused,
    pushed,
    waiting,
)
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxUnavailable
from zkexec.core.rollout.record import AuditEntry, EntryPhase, RolloutRecord
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.member_row import LastWrite, MemberZnode
from zkexec.ctl.web.cluster_views import (
    Connection,
    Fragments,
    GroupView,
    OverviewView,
    changed_fragments,
)
from zkexec.ctl.web.group_page import MOST_TILES, GroupPage
from zkexec.ctl.web.overview_page import OverviewPage
from zkexec.ctl.web.page_elements import harmless, letters, size_text
from zkexec.ctl.web.page_fragments import fragments_of
from zkexec.ctl.web.page_marks import Mark
from zkexec.ctl.web.page_templates import PageTemplates
from zkexec.frozen import replace
from zkexec.group.member_profile import LastTurn

NOW = START + 60
CONNECTED = Connection("localhost:2181")


def view_of(status: GroupStatus | None) -> GroupView:
    """A view of one group."""
    return GroupView(name="web", connection=CONNECTED, read_at=NOW, status=status)


def page_of(status: GroupStatus) -> GroupPage:
    """The page of one group."""
    return GroupPage(view_of(status), status)


def parts_of(status: GroupStatus, *, has_actions: bool = False) -> Fragments:
    """The parts of the page of one group, as HTML."""
    return fragments_of(view_of(status), PageTemplates("localhost", has_actions=has_actions))


def marks_of(members: dict[str, MemberZnode], **changes: Any) -> dict[str, Mark]:
    """The marks of these members."""
    status = group_status(members, **changes)
    return {row.name: mark for row, mark in page_of(status).marks}


def test_a_mark_shows_what_is_most_urgent() -> None:
    """Each member has the mark of the most urgent that is true of it."""
    members = {
        "good": on(NEW, 20),
        "waits": waiting(),
        "turn": waiting(),
        "fails": on(OLD, 20, phase="failed", wanted=NEW, health="unhealthy"),
        "blocked": on(OLD, 20, phase="blocked", wanted=NEW, health="unhealthy"),
        "ill": on(NEW, 20, health="unhealthy"),
        "behind": on(OLD, 10),
        "starts": on("", 20, phase="loading", wanted=NEW),
        "twice": duplicate("good"),
        "rubbish": MemberZnode(error="no JSON"),
    }
    turns = {"turn": entry(), "fails": entry(EntryPhase.FAILED), "gone": entry()}
    assert marks_of(members, in_flight=turns, queue=("waits",)) == {
        "good": Mark.UP_TO_DATE,
        "waits": Mark.WAITING,
        "turn": Mark.IN_ITS_TURN,
        "fails": Mark.FAILED,
        "blocked": Mark.BLOCKED,
        "ill": Mark.UNAVAILABLE,
        "behind": Mark.BEHIND,
        "starts": Mark.WAITING,
        "twice": Mark.DUPLICATE,
        "rubbish": Mark.UNREADABLE,
        "gone": Mark.MISSING,
    }


def test_a_failure_comes_with_its_ways_out() -> None:
    """After a failure the page has the whole reason, and commands that can be pasted."""
    members = {"m1": on(OLD, 20, phase="failed", wanted=NEW), "m2": waiting()}
    status = group_status(
        members,
        versions=failed_on("m1", reason="no licence"),
        in_flight={"m1": entry(EntryPhase.FAILED)},
    )
    page = page_of(status)
    assert page.state is GroupState.FAILED
    assert any("no licence" in note.text for note in page.notes)
    assert "zkexecctl retry web" in [command.line for command in page.commands]
    assert [one.row.name for one in page.attention] == ["m1"]
    # The undo is the first way out; no button invites to try what has failed.
    assert "/web/retry" in parts_of(status, has_actions=True)["actions"].html
    assert " first" not in parts_of(status, has_actions=True)["actions"].html
    stopped = group_status(members, paused=paused())
    assert " first" in parts_of(stopped, has_actions=True)["actions"].html


@pytest.mark.parametrize(("first_check_s", "words"), [(30, "no check yet"), (0, "not checked")])
def test_a_health_that_is_not_known_is_explained(first_check_s: float, words: str) -> None:
    """A member without a result of a health check is shown as in `zkexecctl status`."""
    seen = on(NEW, 20, health="unknown")
    seen = replace(seen, facts=replace(facts(), first_check_s=first_check_s))
    html = parts_of(group_status({"m1": seen}))["members"].html
    assert f'<span class="health unknown">{words}</span>' in html


@pytest.mark.parametrize(
    ("message", "chip"),
    [("undo to @7", "undo to @7"), ("as it was", "content of @5"), ("", "content of @5")],
)
def test_an_undo_is_named_once(message: str, chip: str) -> None:
    """An entry of the history has one number for what an undo brought back."""
    undo = pushed(10, 20, message=message, restored_revision=5)
    html = parts_of(group_status({"m1": on(NEW, 20)}, histories={PATH: (undo,)}))["history"].html
    assert f'<span class="tag">{chip}</span>' in html
    assert html.count("@5") + html.count("@7") == 1
    assert ('class="quote"' in html) == (message == "as it was")


def test_a_missing_member_can_be_forgotten() -> None:
    """A member that is missing in its turn comes with the command that reclaims the turn."""
    options: dict[str, Any] = {"connection_words": ("--cluster", "zk1:2181/prod")}
    page = page_of(group_status({"m1": on(NEW, 20)}, in_flight={"m'2": entry()}, **options))
    assert [command.line for command in page.commands] == [
        "zkexecctl forget web 'm'\"'\"'2' --cluster zk1:2181/prod"
    ]
    assert page.forgettable == ("m'2",)
    # What its command runs on is not known; it can well run.
    shown = parts_of(page.status)["members"].html
    assert "missing" in shown
    assert "nothing yet" not in shown


def test_the_page_shows_what_status_shows() -> None:
    """Each set of inputs, why fewer members may be in flight, and since when one is missing."""
    empty = {PATH: LastWrite(30, START + 30, 0), "/db": LastWrite(10, START + 10)}
    members = {"m1": on(NEW, 20), "db": replace(on(OLD, 10), facts=facts(paths=("/db",)))}
    limit = AgreedMaxUnavailable(MaxUnavailable(100, percent=True), "m1")
    group = group_status(members, znodes=empty, in_flight={"gone": entry()}, max_unavailable=limit)
    page, parts = page_of(group), parts_of(group)

    assert [line.rpartition("  ")[2] for line in page.inputs] == [f"({PATH})", "(/db)"]
    assert page.limit.startswith("max unavailable: 100%, that is 2, set by m1; 1 while the new")
    since = time.strftime("%H:%M:%S", time.localtime(START + 21))
    assert f"gone is missing in its turn, which began at {since}" in {
        note.text for note in page.notes
    }
    assert [one.reason for one in page.attention if one.row.name == "m1"] == [f"{PATH} is empty"]
    for line in (*page.inputs, page.limit):
        assert f">{line}</p>" in parts["summary"].html


@pytest.mark.parametrize(
    ("changes", "operations"),
    [
        ({}, ("pause", "restart")),
        ({"paused": paused()}, ("resume", "restart")),
        (
            {"versions": failed_on("m1"), "in_flight": {"m1": entry(EntryPhase.FAILED)}},
            ("pause", "retry"),
        ),
    ],
)
def test_only_operations_that_make_sense_are_offered(
    changes: dict[str, Any], operations: tuple[str, ...]
) -> None:
    """A group that is not paused cannot be resumed, and so on."""
    members = {"m1": on(OLD, 20, wanted=NEW), "m2": waiting()}
    assert page_of(group_status(members, **changes)).operations == operations


def test_without_actions_no_part_has_a_form_or_a_button_for_them() -> None:
    """The actions are links, and only there if the server has actions."""
    status = held_in_zones()
    assert "approve" in parts_of(status, has_actions=True)["actions"].html
    assert "href" not in parts_of(status)["actions"].html
    assert all("<form" not in part.html for part in parts_of(status, has_actions=True).values())


def test_zones_are_in_the_order_of_the_rollout() -> None:
    """The open zone comes first, and members without a zone last."""
    members = {
        name: replace(on(NEW, 20), facts=replace(facts(), zone=zone))
        for name, zone in {"m1": "east", "m2": "west", "m3": ""}.items()
    }
    status = group_status(members, zone="west", in_flight={"m2": entry()})
    page = page_of(status)
    assert [zone.name for zone in page.zones] == ["west", "east", ""]
    assert letters(page.zones) == "1t2u"


def test_the_squares_of_a_large_group_are_sent_once() -> None:
    """If a member of a large group changes, the squares are not sent, only their letters."""
    members = {f"m{number}": on(NEW, 20) for number in range(MOST_TILES + 10)}
    before = parts_of(group_status(members))
    after = parts_of(group_status({**members, "m3": on(NEW, 20, health="unhealthy")}))
    changed = changed_fragments(before, after)
    assert 'data-letters="3u1n46u"' in str(changed["marks"])
    assert "squares" not in changed
    more = parts_of(group_status({**members, "new": on(NEW, 20)}))
    assert "squares" in changed_fragments(before, more)


def test_nothing_changes_with_time_alone() -> None:
    """Rendered again a moment later, a group at rest has the same parts, so nothing is sent."""
    status = group_status({"m1": on(NEW, 20)})
    later = replace(view_of(status), read_at=NOW + 5)
    templates = PageTemplates("localhost", has_actions=False)
    assert not changed_fragments(
        fragments_of(view_of(status), templates), fragments_of(later, templates)
    )


def test_texts_of_znodes_are_escaped() -> None:
    """What comes from znodes is printed as a text on one line, whatever it is."""
    name = "<b>\u202e&\"'"
    html = parts_of(group_status({name: on(OLD, 20, phase="blocked", reason="<i>\nx")}))
    text = "".join(part.html for part in html.values())
    assert "&lt;b&gt;\\u202e&amp;&#34;&#39;" in text
    assert "&lt;i&gt;\\nx" in text
    assert not {"<b>\u202e", "<i>\n"} & {text[at : at + 4] for at in range(len(text))}
    assert harmless("a\ud800b") == "a\\ud800b"


def test_a_result_that_is_a_template_is_shown() -> None:
    """What a member says of its turn is a text, also with braces in it."""
    turn = LastTurn(START + 21, NEW[:12], START + 22, "restart", "{0} {reason}")
    known = on(NEW, 20)
    member = replace(known, facts=replace(facts("m1"), turn=turn))
    html = parts_of(group_status({"m1": member}))
    assert "{0} {reason}" in html["timeline"].html


def test_lost_turns_are_counted_in_the_time_line() -> None:
    """When turns were lost is not known; a member that is missing now is."""
    lost = {NEW: VersionState(20, "", lost_turns=2)}
    group = group_status({"m1": on(NEW, 20)}, versions=lost, in_flight={"gone": entry()})
    entries = {one.text: one for one in page_of(group).timeline if not one.at}
    assert {text: (one.without_time, one.reason) for text, one in entries.items()} == {
        f"lost turns with {NEW[:12]}: 2": ("earlier", ""),
        "is missing in its turn": ("now", "missing in its turn"),
    }
    assert '<span class="when">earlier</span>' in parts_of(group)["timeline"].html


def test_a_time_far_in_the_future_is_shown() -> None:
    """No time that a znode can contain keeps a page from being shown."""
    pause = replace(paused(), at=1e12)
    audit = (AuditEntry("pause", "anna", "", "t1", at=1e12),)
    html = parts_of(group_status({"m1": on(NEW, 20)}, paused=pause, audit=audit))
    assert any('datetime="33658-' in part.html for part in html.values())


def test_an_old_status_proposes_nothing() -> None:
    """If much can have happened before the connection was lost, no command or button is shown."""
    status = group_status({"m1": waiting(), "m2": waiting()}, versions=failed_on("m1"))
    lost = replace(CONNECTED, disconnected_since=NOW + 80, error="refused")
    recent = GroupPage(replace(view_of(status), connection=lost), status)
    lost = replace(lost, disconnected_since=NOW + 100)
    old = GroupPage(replace(view_of(status), connection=lost), status)

    assert recent.commands
    assert recent.operations
    assert (old.commands, old.operations, old.forgettable) == ((), (), ())
    assert "nothing is proposed" in old.notes[0].text
    assert recent.notes == old.notes[1:]


def test_groups_that_need_attention_come_first() -> None:
    """The list of groups has failures first, then what waits for an operator, then the rest."""
    failed = RolloutRecord(versions=failed_on("m1"))
    summaries = (
        GroupSummary(name="calm", base="", alive=3),
        GroupSummary(name="busy", base="", alive=3, in_flight=1),
        GroupSummary(name="ill", base="", alive=3, unavailable=1),
        GroupSummary(name="broken", base="", alive=3, in_flight=1, record=failed),
        GroupSummary(name="still", base="", alive=3, record=RolloutRecord(paused=paused())),
    )
    view = OverviewView(connection=CONNECTED, read_at=NOW, summaries=summaries)
    rows = OverviewPage(view, summaries).rows
    assert [row.summary.name for row in rows] == ["broken", "still", "busy", "ill", "calm"]
    assert [(row.up_to_date_count, row.total) for row in rows][:1] == [(2, 3)]


def test_a_group_that_cannot_be_read_has_no_progress() -> None:
    """Of a group whose record cannot be read no number is shown that only the record has."""
    error = "/zkexec/web/state: the cluster gives no permission for this"
    summary = GroupSummary(name="web", base="", alive=1, error=error)
    view = OverviewView(connection=CONNECTED, read_at=NOW, summaries=(summary,))
    html = fragments_of(view, PageTemplates("localhost", has_actions=False))["groups"].html
    assert error in html
    assert "it is not known how many members are up to date" in html
    assert "of 1 up to date" not in html
    assert "no member is alive" not in html


def test_an_old_status_has_its_time() -> None:
    """While the cluster is away, the banner shows when what is below it was read, if it was."""
    away = replace(CONNECTED, disconnected_since=NOW + 600)
    templates = PageTemplates("localhost", has_actions=False)
    known = replace(view_of(group_status({"m1": on(NEW, 20)})), connection=away)
    groups = OverviewView(connection=away, read_at=NOW, summaries=())
    for view in (known, groups):
        banner = fragments_of(view, templates)["banner"].html
        read_at = banner.partition("last known status, read ")[2]
        assert 'datetime="2027-01-15T08:01:00Z"' in read_at
    for unknown in (replace(known, status=None), replace(groups, summaries=None)):
        banner = fragments_of(unknown, templates)["banner"].html
        assert "No connection" in banner
        assert "last known" not in banner


def test_the_bars_have_one_order() -> None:
    """In the bar of the list and in that of the page, what has failed is behind what waits."""
    members = {"m1": on(OLD, 20, phase="failed", wanted=NEW), "m2": waiting(), "m3": on(NEW, 20)}
    turns = {"m1": entry(EntryPhase.FAILED)}
    status = group_status(members, versions=failed_on("m1"), in_flight=turns, queue=("m2",))
    record = RolloutRecord(versions=failed_on("m1"))
    summary = GroupSummary(name="web", base="", alive=3, in_flight=1, waiting=1, record=record)
    view = OverviewView(connection=CONNECTED, read_at=NOW, summaries=(summary,))
    [row] = OverviewPage(view, (summary,)).rows
    for bar in (page_of(status).meter, row.meter):
        assert [part.letter for part in bar] == ["u", "w", "f"]
        assert [part.start for part in bar] == sorted(part.start for part in bar)


def test_a_group_that_is_not_known_yet_has_a_page() -> None:
    """While the cluster has not answered, the page shows that, and no members."""
    parts = fragments_of(view_of(None), PageTemplates("localhost", has_actions=True))
    assert "not known yet" in parts["summary"].html
    assert set(parts) == set(parts_of(group_status({"m1": on(NEW, 20)})))


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (400_000, "400 kB")]
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    """A number of bytes has at most three digits before its unit."""
    assert size_text(size) == text
