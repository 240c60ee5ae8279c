"""What a status shows of holds, zones and tolerated failures, and what has changed between two."""

import re
from typing import Any

from support.group_samples import (
    NEW,
    OLD,
    START,
    facts,
    group_status,
    held_in_zones,
    on,
    parsed,
    paused,
    waiting,
)
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import Hold, Pause, RolloutRecord
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.status.change_lines import group_changes, summary_changes
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.phrases import waits_for
from zkexec.ctl.status.render import render_group, render_overview
from zkexec.ctl.status.status_json import status_json
from zkexec.ctl.terminal.table import Frame
from zkexec.frozen import replace

NOW = START + 40
PLAIN = Frame(lambda _style, text: text)


def test_zones_holds_and_tolerated_failures_are_shown() -> None:
    """The head shows each of them; the members are grouped by zone, the open zone first."""
    lines = render_group(held_in_zones(), NOW, PLAIN)
    narrow = render_group(held_in_zones(), NOW, replace(PLAIN, width=100))
    text = "\n".join(lines)
    rows = [line.split() for line in lines[lines.index("") + 2 :]]

    assert lines[0].startswith("web: held, 1 of 3 updated to bbbbbbbbbbbb")
    assert "  zone east: 1 of 1 up to date" in lines
    assert "  zone west: 0 of 2 up to date, open" in lines
    assert [line for line in narrow if "zone " in line] == lines[1:3]
    assert "bbbbbbbbbbbb failed on m1 (host-of-m), which is tolerated: max failed is 5" in text
    held = r"^held after 11 members by anna since .*: more cache; the other members get the version"
    assert re.search(held, text, re.MULTILINE)
    assert "to let all members follow: zkexecctl approve web" in lines
    assert "to undo the push: zkexecctl undo /app/first --lock web --wait" in lines
    assert "to try it again: zkexecctl retry web" in lines
    assert [row[:2] for row in rows] == [["m1", "west"], ["m10", "west"], ["m2", "east"]]


def test_a_hold_is_shown_as_long_as_it_is_there() -> None:
    """Also if all members have the version, the hold and the way to end it are shown."""
    hold = Hold(MaxUnavailable(2), "anna", "more cache", (OLD,), START + 20)
    complete = group_status({"m1": on(NEW, 20)}, hold=hold)
    rolling = group_status({"m1": on(NEW, 20), "m2": waiting()}, hold=hold)
    in_list = GroupSummary(name="web", base="/zkexec/web", record=complete.record, alive=1)

    shown, to_be = ("\n".join(render_group(one, NOW, PLAIN)) for one in (complete, rolling))

    assert shown.startswith("web: 1 of 1 updated")
    assert "\na new version is held after 2 members by anna since " in shown
    assert "\nto be held after 2 members by anna since " in to_be
    for text in (shown, to_be):
        assert ": more cache\nto remove the hold: zkexecctl approve web\n" in text
    (line,) = render_overview([in_list], NOW, PLAIN)[1:]
    assert re.search(r"complete .* a new version is held after 2 members by anna since ", line)
    assert "hold" not in "\n".join(render_group(group_status({"m1": on(NEW, 20)}), NOW, PLAIN))


def test_the_next_member_is_one_that_can_be_admitted() -> None:
    """The next is the first of the open zone that wants the same; a held group has none."""
    members = {"m1": waiting(), "m2": waiting(), "m3": waiting(), "m4": on(NEW, 20)}
    zones = {"m1": "east", "m2": "west", "m3": "west", "m4": "east"}
    in_zones = {
        name: replace(seen, facts=replace(seen.facts or facts(), zone=zones[name]))
        for name, seen in members.items()
    }
    queue = ("m1", "m3", "m2")
    known = {NEW: VersionState(20, "", known_good=True, succeeded=1)}
    hold = Hold(MaxUnavailable(1), "anna", "more cache", (OLD,), START + 20)

    def text(**changes: Any) -> str:
        return waits_for(group_status(in_zones, queue=queue, versions=known, **changes))

    assert text() == "3 waiting, m1 is next"
    assert text(zone="west") == "3 waiting, m3 is next"
    assert text(zone="north") == "3 waiting, m1 is next"
    assert text(zone="west", hold=hold) == "3 waiting"
    assert text(paused=paused()) == "3 waiting"


def test_the_columns_of_the_list_stay_beside_a_long_reason() -> None:
    """On a terminal a long reason is cut, and no number is left out for it, even if it is none."""
    long = Pause("anna", "because " * 30, START)
    group = GroupSummary(name="web", base="/zkexec/web", record=RolloutRecord(paused=long), alive=2)

    title, row = render_overview([group], NOW, replace(PLAIN, width=130))

    assert title.split("  ")[-1] == "REASON"
    assert all(name in title for name in ("IN FLIGHT", "WAITING", "UNAVAILABLE", "TRIED"))
    assert len(row) <= 130
    assert row.endswith("...")


def test_zones_holds_and_failures_are_in_the_json() -> None:
    """The object has the limits, the hold, the open zone, and the numbers of each zone."""
    (group,) = parsed(status_json([held_in_zones()], NOW))["groups"]
    (progress,) = group["progress"]

    assert (group["state"], group["serving"], group["unavailable"]) == ("held", 3, 0)
    assert group["held"] == {"after": "11", "by": "anna", "reason": "more cache", "at": START + 20}
    assert group["max_failed"] == {"requested": "5", "by": "m2", "allowed": 5}
    assert (group["zone"], progress["succeeded"], progress["held"]) == ("west", 10, True)
    assert [zone["zone"] for zone in progress["zones"]] == ["east", "west"]
    assert progress["failure"] is None
    assert [(one["member"], one["step"]) for one in progress["failures"]] == [("m1", "check")]
    assert [member["zone"] for member in group["members"]] == ["west", "east", "west"]


def test_a_change_is_a_line() -> None:
    """Of two statuses the differences are written: of the group, and of each member."""
    before = group_status({"m1": on(NEW, 20), "m2": waiting(), "m3": on(NEW, 20)}, queue=("m2",))
    after = group_status({"m1": on(NEW, 20), "m2": on(NEW, 20), "m4": on(OLD, 10)}, paused=paused())
    changes = group_changes(before, after, NOW)

    assert changes[0] == "web: paused, 2 of 3 updated to bbbbbbbbbbbb"
    assert changes[1].startswith("paused by anna since ")
    assert changes[-3:] == [
        "m2: running, runs bbbbbbbbbbbb, healthy",
        "m4: running, runs aaaaaaaaaaaa, has not read the newest write, healthy",
        "m3: gone",
    ]
    assert group_changes(after, after, NOW) == []


def test_a_change_in_the_list_of_groups_is_a_line() -> None:
    """A group that is new, changed or gone has a line; the others have none."""
    one, two, three = (GroupSummary(name=name, base=f"/{name}", alive=2) for name in "abc")
    changed = replace(two, waiting=1)

    assert summary_changes([one, two], [one, changed, three], NOW) == [
        "b: rolling, 2 alive, 1 waiting",
        "c: complete, 2 alive",
    ]
    assert summary_changes([one, two], [one], NOW) == ["b: gone"]
