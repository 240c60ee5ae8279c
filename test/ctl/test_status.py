"""`zkexecctl status`, once: the list, one group, and JSON, as text."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

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
    of_two_scopes,
    on,
    parsed,
    paused,
    sharing,
    waiting,
)
from support.sandbox import TEST
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxUnavailable
from zkexec.core.rollout.record import AuditEntry, EntryPhase, Pause
from zkexec.core.rollout.version import scope_of, short
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.step import Step
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.member_row import IgnoredZnode, IgnoreReason, LastWrite, MemberZnode
from zkexec.ctl.status.render import render_group, render_overview
from zkexec.ctl.status.status_json import status_json
from zkexec.ctl.status.time_phrases import age, span
from zkexec.ctl.terminal.table import Frame
from zkexec.ctl.terminal.text_width import cells
from zkexec.frozen import replace

SCHEMA = json.loads(
    (TEST.parent / "share" / "zkexec" / "status.schema.json").read_text(encoding="utf-8")
)
NOW = START + 40
REFUSED = (
    'exit status 1: nginx: [emerg] unknown directive "foo" in '
    "/etc/nginx/conf.d/the-second-site.example.conf:12"
)


def plain(_style: str, text: str) -> str:
    """No colours."""
    return text


def drawn(group: GroupStatus, width: int | None = None, height: int | None = None) -> list[str]:
    """The lines of one group, without colours."""
    return render_group(group, NOW, Frame(plain, width, height))


def a_rollout(count: int = 5) -> GroupStatus:
    """One member up to date, one in flight, the others waiting."""
    members = {f"m{number}": waiting() for number in range(count)}
    members |= {"m0": on(NEW, 20, 35), "m1": on(NEW, 20, phase="verifying", running="")}
    queue = tuple(f"m{number}" for number in range(2, count))
    return group_status(members, in_flight={"m1": entry()}, queue=queue)


def ignored(count: int) -> tuple[IgnoredZnode, ...]:
    """Znodes in the queue that are no member's."""
    paths = [f"/zkexec/web/queue/a note {number}" for number in range(count)]
    return tuple(IgnoredZnode(path, IgnoreReason.STRANGER) for path in paths)


def summary_of(group: GroupStatus) -> GroupSummary:
    """What the list of all groups shows of a group."""
    return GroupSummary(
        name=group.name,
        base=group.base,
        record=group.record,
        alive=len(group.members),
        in_flight=len(group.in_flight),
        have_turns=frozenset(group.record.in_flight),
        waiting=len(group.queue),
        unavailable=len(group.record.unavailable),
        error=group.error,
        exists=group.exists,
    )


def everything() -> list[GroupStatus]:
    """Groups in all states, with everything that there can be."""
    audit = (AuditEntry("forget", "anna", "its host burnt", "token", "m9", START),)
    width = AgreedMaxUnavailable(MaxUnavailable(50, percent=True), "m0")
    failed = {"m1": entry(EntryPhase.FAILED), "m9": entry()}
    return [
        a_rollout(),
        group_status({"m1": on(NEW, 20)}, max_unavailable=width, audit=audit),
        group_status({"m1": waiting()}, versions=failed_on("m1"), in_flight=failed),
        group_status({"m1": waiting()}, paused=paused()),
        group_status({}),
        group_status(
            {"m1": sharing(on(NEW, 20), "m2"), "m2": on(NEW, 20), "m1~0": duplicate("m1")}
        ),
        group_status({"m1": MemberZnode(error="junk")}, error="newer", ignored=ignored(5)),
        group_status(
            {"m1": waiting()}, queue=("m9", "m1"), queue_paths=("/q/t-1", "/q/t-2"), absent=(PATH,)
        ),
        group_status({}, exists=False),
    ]


def test_the_first_line_shows_how_far_it_is() -> None:
    """Group, members, version, a bar, the time that has passed, and what it waits for."""
    first, *_ = lines = drawn(a_rollout())

    assert first == (
        "web: 1 of 5 updated to bbbbbbbbbbbb  [##........]  20 s so far, about 51 s to go"
    )
    assert "waits for: m1 in flight" in lines


@pytest.mark.parametrize(
    ("time_s", "text", "short_text"),
    [
        (-5, "0 s", "0s"),
        (0.9, "0 s", "0s"),
        (59, "59 s", "59s"),
        (60, "1 min", "1m"),
        (125, "2 min 5 s", "2m"),
        (3600, "1 h", "1h"),
        (3605, "1 h", "1h"),
        (90_000, "1 d 1 h", "1d"),
    ],
)
def test_durations_are_short(time_s: float, text: str, short_text: str) -> None:
    """Two units at most in a sentence, one in a column, and never less than nothing."""
    assert span(time_s) == text
    assert age(START, START + time_s) == short_text


def test_texts_of_a_megabyte_are_drawn() -> None:
    """Whatever a znode contains, there are only as many lines as a person can read."""
    long = "界é x" * 250_000
    crowd = {long: on(NEW, 20, reason=long, health=long, phase=long), "m1": on(NEW, 20)}
    group = group_status(
        crowd, paused=Pause(long, long, START), versions=failed_on(long), ignored=ignored(3)
    )
    for width in (20, 80, 200):
        lines = drawn(group, width)
        assert max(map(cells, lines)) <= width
        assert len(lines) < 20_000 / width
    assert max(map(len, drawn(group))) < 20_000
    assert max(map(len, render_overview([summary_of(group)], NOW, Frame(plain)))) < 20_000


def test_what_is_ignored_is_shown_with_the_command_that_removes_it() -> None:
    """The first three with their paths and a command, and how many more there are."""
    group = group_status({"m1": on(NEW, 20)}, ignored=ignored(5))
    found = [line for line in drawn(group) if line.startswith("ignored: ")]

    assert found[0] == (
        "ignored: /zkexec/web/queue/a note 0, no member can have created it; to remove it: "
        "zkCli.sh deleteall '/zkexec/web/queue/a note 0'"
    )
    assert found[3:] == ["ignored: 2 more"]
    assert "ignored" not in "".join(drawn(group_status({"m1": on(NEW, 20)}, ignored=())))


def test_a_queue_node_of_no_member_is_shown_with_the_way_out() -> None:
    """The lines and the JSON name it, and the member behind it is not called the next."""
    path = "/zkexec/web/queue/abcdefabcdefabcd-0000000007"
    queue_paths = (path, "/zkexec/web/queue/m1-0000000008")
    members = {"m1": waiting(), "m2": on(NEW, 20)}
    group = group_status(members, queue=("m9", "m1"), queue_paths=queue_paths)
    lines = drawn(group)

    assert (
        "1st in the queue: m9, which is not a member, and the members behind it wait; "
        f"to remove it: zkCli.sh delete {path}"
    ) in lines
    assert "waits for: 1 waiting, m1 behind m9, which is not a member" in lines
    (found,) = json.loads(status_json([group], NOW))["groups"]
    assert found["intruders"] == [{"queue_position": 1, "name": "m9", "path": path}]


def test_a_missing_input_is_shown_with_the_way_out() -> None:
    """The lines and the JSON name it, and so do the rows of its members."""
    group = group_status({"m1": on(NEW, 20), "m2": on(NEW, 20)}, znodes={}, absent=(PATH,))
    lines = drawn(group)

    assert lines[0].startswith("web: 0 of 2 up to date")
    assert any(line.endswith(f"to create it: zkexecctl push {PATH}=FILE") for line in lines)
    assert f"waits for: {PATH}, which does not exist" in lines
    assert next(line for line in lines if line.startswith("m1")).endswith(f"  {PATH} missing")
    (found,) = json.loads(status_json([group], NOW))["groups"]
    assert found["progress"][0]["missing"] == [PATH]
    assert not found["up_to_date"]


def test_a_member_that_wants_other_contents_shows_it_in_its_row() -> None:
    """A member with other contents of the same inputs is not up to date."""
    lines = drawn(group_status({"m1": on(OLD, 20), "m2": on(NEW, 20), "m3": on(NEW, 20)}))

    assert lines[0].startswith(f"web: 2 of 3 updated to {short(NEW)}")
    assert any(line.endswith(f"others want {short(NEW)} of the same inputs") for line in lines)


def test_a_record_that_is_not_understood_comes_with_advice() -> None:
    """The consequence is shown, and how to start a new record unless a newer zkexec wrote it."""
    unreadable = group_status({"m1": on(NEW, 20)}, error="/zkexec/web/state: the record is junk")
    consequence = "commands keep running, and no member is admitted"

    shown, advice, *_ = drawn(unreadable)
    assert shown == "web: /zkexec/web/state: the record is junk"
    assert advice == (
        f"{consequence}; to start a new record, in which every version is untried: "
        "zkCli.sh delete /zkexec/web/state"
    )
    newer = drawn(replace(unreadable, is_newer=True))
    assert newer[1] == f"{consequence}; use the zkexecctl of the version that wrote it"
    assert consequence not in "".join(drawn(replace(unreadable, is_forbidden=True)))


def test_each_member_has_a_row() -> None:
    """Without a width each column is there, and each member has a row."""
    lines = drawn(a_rollout())
    rows = {line.split()[0]: line.split() for line in lines[lines.index("") + 1 :]}

    titles = ["MEMBER", "HOST", "PID", "PHASE", "STEP", "RUNS", "WRITTEN"]
    assert rows["MEMBER"][: len(titles)] == titles
    assert rows["m0"][:5] == ["m0", "host-of-m", "4711", "running", "-"]
    assert rows["m0"][5] == NEW[:12]
    assert rows["m1"][-1] == "turn"
    assert [rows[f"m{number}"][-1] for number in (2, 3, 4)] == ["1st", "2nd", "3rd"]
    assert OLD[:12] in rows["m2"]
    assert NEW[:12] in rows["m2"]


def test_a_member_behind_its_inputs_wants_nothing_that_is_known() -> None:
    """Such a member differs from one that waits; an input that was emptied is named."""
    behind = drawn(group_status({"m1": on(OLD, 10), "m2": waiting()}))
    emptied = drawn(group_status({"m1": on(OLD, 10)}, znodes={PATH: LastWrite(20, START, 0)}))

    assert any(line.startswith("m1 ") and "not read yet" in line for line in behind)
    assert any(line.startswith("m1 ") and f"{PATH} is empty" in line for line in emptied)


def test_what_keeps_members_behind_is_named_once() -> None:
    """If all of them have the same reason, the line about those that are behind has it."""
    reason = "not started: the wanted configuration has failed in the group"
    behind = {name: on(OLD, 10, reason=reason) for name in ("m1", "m2")}
    assert f"waits for: m1, m2 without the newest {PATH} ({reason})" in drawn(group_status(behind))
    behind["m2"] = on(OLD, 10)
    assert f"waits for: m1, m2 without the newest {PATH}" in drawn(group_status(behind))


def test_a_znode_that_keeps_members_behind_is_the_only_one_that_is_named() -> None:
    """If the common reason names a znode, no input is named that the members could use."""
    reason = "/app/key does not exist, and the template that needs it has no default for it"
    behind = {name: on("", 0, reason=reason) for name in ("m1", "m2")}
    both, one = drawn(group_status(behind)), drawn(group_status({"m1": behind["m1"]}))
    assert f"waits for: m1, m2 wait: {reason}" in both
    assert f"waits for: m1 waits: {reason}" in one
    assert PATH not in "\n".join((*both, *one))
    behind["m2"] = on(OLD, 10)
    assert f"waits for: m1, m2 without the newest {PATH}" in drawn(group_status(behind))


def test_what_is_part_of_a_tree_is_undone_with_it() -> None:
    """The command to undo a push names the tree and not the znodes in it, which it refuses."""
    inside = (PATH, f"{PATH}er", "/app/")
    seen = waiting()
    member = replace(seen, facts=replace(seen.facts or facts(), inputs=inside))
    written = {path: LastWrite(20, START + 20) for path in inside}
    lines = drawn(group_status({"m1": member}, znodes=written, versions=failed_on("m1")))
    assert "to undo the push: zkexecctl undo /app/ --lock web --wait" in lines


def test_what_stops_a_rollout_is_shown_with_the_way_out() -> None:
    """Failure, pause and missing members: who, why, since when, and what to do about it."""
    failed = drawn(group_status({"m1": waiting()}, versions=failed_on("m1")))
    paused_lines = drawn(group_status({"m1": waiting()}, paused=paused()))
    lost = drawn(group_status({"m2": on(NEW, 20)}, in_flight={"m1": entry()}))

    assert failed[0].startswith("web: failed, 0 of 1 updated to bbbbbbbbbbbb")
    assert re.match(
        r"b{12} failed on m1 \(host-of-m\) at .*: the command ended \(exit status 3\)", failed[1]
    )
    assert failed[2].startswith("failed: no other member tries this version")
    assert failed[3:5] == [
        f"to undo the push: zkexecctl undo {PATH} --lock web --wait",
        "to try it again: zkexecctl retry web",
    ]
    assert paused_lines[0].startswith("web: paused, 0 of 1 updated to bbbbbbbbbbbb")
    assert re.match(r"paused by anna since .*: the night is for sleeping", paused_lines[1])
    assert paused_lines[2].endswith("zkexecctl resume web")
    assert lost[1].endswith("zkexecctl forget web m1")
    assert any(re.match(r"m1 .* missing ", line) for line in lost)


def a_failed_check() -> GroupStatus:
    """A version that the check of one member refused, with a long reason."""
    failed = on(OLD, 20, phase="failed", wanted=NEW, reason=REFUSED, step="check")
    return group_status(
        {"m1": failed, "m2": waiting()},
        versions=failed_on("m1", reason=REFUSED, step="check"),
        in_flight={"m1": entry(EntryPhase.FAILED)},
        queue=("m2",),
    )


def test_a_failed_check_is_shown_with_its_whole_reason() -> None:
    """The step and the reason are on lines of their own, whole, and broken only between words."""
    whole, narrow = drawn(a_failed_check()), drawn(a_failed_check(), 79)

    assert re.match(
        rf"b{{12}} failed in its check on m1 \(host-of-m\) at .*: {re.escape(REFUSED)}$", whole[1]
    )
    assert not any(REFUSED in line for line in narrow)
    assert whole[1] in " ".join(narrow)
    table = drawn(a_failed_check(), 99)
    rows = {line.split()[0]: line.split() for line in table[table.index("") + 1 :]}
    assert rows["MEMBER"][1:3] == ["PHASE", "STEP"]
    assert rows["m1"][1:3] == ["failed", "check"]


def test_a_failure_of_one_member_is_shown_with_its_whole_reason() -> None:
    """Another reason than that of the version has a line of its own; only three members have."""
    reasons = {f"m{number}": f"no space on /disk{number}" for number in range(5)}
    members = {
        name: on(OLD, 20, 30, phase="blocked", wanted=NEW, reason=reason, step="pre-stop")
        for name, reason in reasons.items()
    }
    lines = drawn(group_status(members))
    blocked = " is blocked by its host, failed in its pre-stop command at "
    found = [line for line in lines if blocked in line]

    assert len(found) == 3
    assert re.match(r"m0 .* at .*: no space on /disk0; it tries again every ten seconds$", found[0])
    assert "2 more members failed or are blocked" in lines


def test_a_failed_restart_has_no_push_that_could_be_undone() -> None:
    """If the newest write is a rolling restart, an undo is not proposed."""
    group = group_status(
        {"m1": on(OLD, 25, phase="waiting", wanted=f"{NEW}.r")},
        restart=LastWrite(25, START + 25),
        versions={
            NEW: VersionState(20, "", known_good=True),
            f"{NEW}.r": failed_on("m1", zxid=25)[NEW],
        },
    )

    assert phrases.advice(group) == ["to try it again: zkexecctl retry web"]


def test_the_step_of_a_member_in_flight_is_shown() -> None:
    """What the rollout waits for has the step, and so has the member in JSON."""
    members = {"m1": on(OLD, 20, phase="checking", wanted=NEW, step="check"), "m2": waiting()}
    group = group_status(members, in_flight={"m1": entry()}, queue=("m2",))

    assert "waits for: m1 (check) in flight" in drawn(group)
    (found,) = parsed(status_json([group], NOW))["groups"]
    assert [member["step"] for member in found["members"]] == ["check", None]


def test_the_step_of_a_failure_is_in_the_json() -> None:
    """The failure of a version has its step, or null if it is not known."""
    known, unknown = a_failed_check(), group_status({"m1": waiting()}, versions=failed_on("m1"))
    found = parsed(status_json([known, unknown], NOW))["groups"]

    assert [group["progress"][0]["failure"]["step"] for group in found] == ["check", None]


def test_a_duplicate_is_shown_with_the_way_out() -> None:
    """The head names both processes and what to do; its row and the count show it as well."""
    lines = drawn(group_status({"m1": on(NEW, 20), "m1~0": duplicate("m1")}))

    assert lines[0].startswith(f"web: 1 of 2 updated to {short(NEW)}")
    assert lines[1] == (
        "m1~0 (host-of-m, pid 4711) has the member ID of m1 (host-of-m, pid 4711) and takes no "
        "turn: give it another --member-id"
    )
    assert lines[2] == "waits for: m1~0 with a member ID that another process has"
    assert lines[-1].endswith("  duplicate of m1")


def test_members_that_share_files_are_shown() -> None:
    """Each of the two names the other and the file."""
    lines = drawn(group_status({"m1": on(NEW, 20), "m2": sharing(on(NEW, 20), "m1")}))

    assert lines[-2].endswith("  m2 writes to the same /etc/app.conf")
    assert lines[-1].endswith("  m1 writes to the same /etc/app.conf")


def test_many_members_that_share_a_file_are_counted() -> None:
    """A file is named once for all that write to it, and of many members the first few."""
    sharers = {f"m{number}": sharing(on(NEW, 20), "m1") for number in range(2, 10)}
    first, last = [
        next(line for line in drawn(group_status({"m1": on(NEW, 20), **sharers})) if name in line)
        for name in ("m1 ", "m9 ")
    ]

    assert first.endswith("  m2, m3, m4 and 5 more write to the same /etc/app.conf")
    assert last.endswith("  m1 writes to the same /etc/app.conf")


def test_the_schema_names_all_steps() -> None:
    """The schema of `status --json` lists each step of a change, in their order."""
    described = SCHEMA["$defs"]["step"]["description"]
    assert described.startswith(", ".join(step.value for step in Step) + ";")


def test_what_operators_did_is_shown() -> None:
    """The last operations are shown: when, who, what, about which member, and why."""
    lines = drawn(everything()[1])

    assert any(line.endswith(" anna: forget m9: its host burnt") for line in lines)


@pytest.mark.parametrize("width", [30, 40, 60, 79, 99, 119, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Columns are left out and texts are cut until it fits, also with letters of double width."""
    reason = "健康な状態になりませんでした " * 5
    members = {"名前" * 4: on(NEW, 20, phase="failed", reason=reason), "m2": waiting()}
    group = group_status(members, in_flight={"名前" * 4: entry()}, paused=paused())

    lines = drawn(group, width)

    assert max(map(cells, lines)) <= width
    assert any(line.startswith("MEMBER") for line in lines)


def test_a_narrow_terminal_shows_columns_with_content() -> None:
    """Empty columns are left out first, and the reason last."""
    group = group_status({"m1": on(NEW, 20, phase="failed", reason="no space left on the disk")})
    (titles,) = (line for line in drawn(group, 79) if line.startswith("MEMBER"))

    assert "TURN" not in titles
    assert "WANTS" not in titles
    assert "no space left on the disk" in "\n".join(drawn(group, 79))


@pytest.mark.parametrize("height", [4, 8, 12, 23])
def test_a_low_terminal_shows_the_members_that_delay_it(height: int) -> None:
    """Members in flight and in the queue come first, and the number of the others is shown."""
    lines = drawn(a_rollout(200), 100, height)
    members = [line.split()[0] for line in lines if re.match(r"m\d", line)]

    assert len(lines) <= height
    if height > 8:
        assert members[:2] == ["m1", "m2"]
        assert lines[-1] == f"... and {200 - len(members)} more"


def test_after_a_failure_no_smaller_number_is_shown() -> None:
    """A version that has failed is not untried, and no member is admitted to it."""
    limit = AgreedMaxUnavailable(MaxUnavailable(3), "m2")
    members = {"m1": on(OLD, 20, phase="failed", wanted=NEW), "m2": waiting(), "m3": waiting()}
    untried = drawn(group_status(members, max_unavailable=limit))
    failed = drawn(group_status(members, max_unavailable=limit, versions=failed_on("m1")))

    assert "max unavailable: 3, set by m2; 1 while the new version is untried" in untried
    assert "max unavailable: 3, set by m2" in failed


def test_the_list_shows_the_failure_of_other_inputs() -> None:
    """A newer version of other inputs does not hide a failure whose member keeps its turn."""
    versions = of_two_scopes()
    members = {
        "m1": on(OLD, 20, phase="failed", wanted=NEW),
        "db": replace(on("c" * 64, 30), facts=facts(paths=("/db",))),
    }
    turns = {"m1": entry(EntryPhase.FAILED)}
    znodes = {PATH: LastWrite(20, START + 20), "/db": LastWrite(30, START + 30)}
    group = group_status(members, versions=versions, in_flight=turns, znodes=znodes)
    summary = summary_of(group)

    assert group.state is summary.state is GroupState.FAILED
    assert "no licence" in "\n".join(render_overview([summary], NOW, Frame(plain)))

    replaced = {**versions, "d" * 64: VersionState(25, scope_of((PATH,)))}
    # No member has these inputs any more, or it has them and something newer is rolled out.
    for gone in (
        replace(summary, have_turns=frozenset({"db"})),
        replace(summary, record=replace(group.record, versions=replaced)),
    ):
        assert gone.state is GroupState.ROLLING


def test_the_list_has_a_line_for_each_group() -> None:
    """State, counts, newest version, and the reason; no member is named."""
    summaries = [summary_of(group) for group in everything()]
    lines = render_overview(summaries, NOW, Frame(plain))

    assert len(lines) == 1 + len(everything())
    assert re.match(r"web +rolling +5 +1 +3 ", lines[1])
    assert re.match(r"web +failed .* failed on m1 at .*exit status 3", lines[3])
    assert re.match(r"web +paused .* paused by anna since .*: the night", lines[4])
    assert render_overview([], NOW, Frame(plain)) == ["There is no group below /zkexec."]


@pytest.mark.parametrize("shown", [everything(), [], everything()[:1], [held_in_zones()]])
def test_the_json_is_as_documented(shown: list[GroupStatus]) -> None:
    """The output is valid by the schema, in all states, and is one line of ASCII."""
    line = status_json(shown, NOW, None)

    Draft202012Validator(SCHEMA).validate(parsed(line))
    assert line.isascii()
    assert "\n" not in line
    assert [group["state"] for group in parsed(line)["groups"]] == [s.state.value for s in shown]


def test_the_schema_finds_mistakes() -> None:
    """A field too many, one too few and one of another type are errors."""
    good = parsed(status_json(everything(), NOW, NOW))
    bad: dict[str, Any] = {**good, "more": 1, "at": "now"}
    del bad["groups"]

    schema = Draft202012Validator(SCHEMA)
    assert not list(schema.iter_errors(good))
    assert len(list(schema.iter_errors(bad))) == 3


def test_every_field_is_documented() -> None:
    """docs/status.md names each field of the schema."""
    text = (TEST.parent / "docs" / "status.md").read_text(encoding="utf-8")
    objects = [SCHEMA, *SCHEMA["$defs"].values()]
    fields = {name for one in objects for name in one.get("properties", {})}

    assert {name for name in fields if f"`{name}`" not in text} == set()
