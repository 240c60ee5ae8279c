"""The znodes of a group as bytes and back, and what is reported of bytes that are none of them."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxFailed, AgreedMaxUnavailable
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import (
    ActingHead,
    AuditEntry,
    EntryPhase,
    HeldAgain,
    Hold,
    InFlightEntry,
    Pause,
    RolloutRecord,
)
from zkexec.core.rollout.version_state import AS_COMMITTED, VersionState
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace
from zkexec.group.entry_codec import decode_entry, decode_queued, encode_entry, encode_queued
from zkexec.group.member_codec import StatusFacts, decode_status, encode_status
from zkexec.group.record_codec import decode, encode
from zkexec.group.version_codec import (
    MemberFailure,
    decode_failure,
    decode_summary,
    encode_failure,
    encode_summary,
    with_trials,
)

MOST = 2**63 - 1
NOW = 1_700_000_000.125

FULL = RolloutRecord(
    versions={
        "d1": VersionState(60, "s", lost_zone="east", lost_until=3),
        "d2": VersionState(70, "s", known_good=True),
    },
    max_unavailable=AgreedMaxUnavailable(MaxUnavailable(50, percent=True), "web-1"),
    max_failed=AgreedMaxFailed(MaxFailed(2), "web-2"),
    paused=Pause("someone", "no restarts today", 7.0),
    hold=Hold(
        *(MaxUnavailable(10, percent=True, per_zone=True), "ann", "careful", ("d2",), 9.0),
        again=(HeldAgain("d4", 3),),
    ),
    zone="east",
    head=ActingHead("web-1", 17, 10.0),
    last_admitted=12,
    admissions=4,
    audit=(AuditEntry("forget", "someone", "burnt down", "t9", "web-9", 8.0),),
)
ENTRY = InFlightEntry("t1", "d2", 70, EntryPhase.FAILED, 1_600_000_000.5, zone="east", admission=3)
QUEUED = QueuedMember("web-1", "t1", "d2", "east")
STATE = VersionState(60, "s", failed_by=("m1",), reason="exit status 1", step="check", at=5.5)

FACTS = StatusFacts("host", 42, "1.2", "boot-1-2", "50%", 8.25, ("/a", "/b"))


def test_a_record_comes_back() -> None:
    """Decisions of all kinds come back as they were."""
    assert decode(encode(FULL, NOW)) == FULL


def test_the_empty_record_comes_back() -> None:
    """The empty record comes back, and no bytes at all are one."""
    assert decode(encode(RolloutRecord(), NOW)) == RolloutRecord()
    assert decode(b"") == RolloutRecord()


@pytest.mark.parametrize("limit", ["1", "999999999", "1%", "100%", "1%/zone", "100%/zone"])
def test_a_limit_comes_back(limit: str) -> None:
    """Each kind of max unavailable comes back."""
    known = FULL.max_unavailable
    content = encode(FULL, NOW).replace(b'"limit":"50%"', f'"limit":"{limit}"'.encode())
    found = decode(content).max_unavailable
    assert known is not None
    assert found is not None
    assert (str(found.limit), found.by) == (limit, known.by)
    assert decode(encode(decode(content), NOW)) == decode(content)


@pytest.mark.parametrize("limit", ["0", "7", "0%", "100%"])
def test_a_max_failed_comes_back(limit: str) -> None:
    """Each kind of max failed comes back; it may be none."""
    content = encode(FULL, NOW).replace(b'"limit":"2"', f'"limit":"{limit}"'.encode())
    found = decode(content).max_failed
    assert found is not None
    assert str(found.limit) == limit


def test_what_is_not_decided_is_not_written() -> None:
    """Entries, failures and counts have znodes of their own."""
    more = replace(
        FULL,
        in_flight={"m1": ENTRY},
        versions={"d1": replace(FULL.versions["d1"], failed_by=("m1",), lost_turns=1, succeeded=4)},
    )
    fewer = replace(more, in_flight={}, versions={"d1": FULL.versions["d1"]})
    assert encode(more, NOW) == encode(fewer, NOW)


def _some_text(rng: random.Random) -> str:
    return "".join(rng.choice("ab-._ 0é界\U0001f40d\"'\\") for _ in range(rng.randint(1, 12)))


def test_random_records_come_back() -> None:
    """Whatever a record contains comes back, in whatever order and letters."""
    for seed in range(300):
        rng = random.Random(seed)
        record = RolloutRecord(
            versions={
                f"{rng.getrandbits(64):x}": VersionState(
                    rng.getrandbits(60), rng.choice(["", "scope"]), known_good=rng.random() < 0.5
                )
                for _ in range(rng.randint(0, 5))
            },
            max_unavailable=AgreedMaxUnavailable(
                MaxUnavailable(rng.randint(1, 100), rng.random() < 0.5), f"m{_some_text(rng)}"
            ),
            paused=Pause(_some_text(rng), _some_text(rng), rng.randint(1, 2**31) + 0.25),
            head=ActingHead(f"m{_some_text(rng)}", rng.getrandbits(31), rng.randint(1, 2**31)),
            last_admitted=rng.randint(-1, 2**31 - 1),
        )
        assert decode(encode(record, NOW)) == record, f"seed {seed}"


def test_entries_and_queue_nodes_come_back() -> None:
    """What a member shows of its turn comes back, with a zone and without."""
    for zone in ("", "east"):
        entry, queued = replace(ENTRY, zone=zone), replace(QUEUED, zone=zone)
        assert decode_entry(encode_entry(entry, NOW), 99) == entry
        assert decode_queued(encode_queued(queued)) == queued
        assert (b"zone" in encode_entry(entry, NOW)) == bool(zone)


def test_failures_come_back() -> None:
    """A failure and the summary of all come back; without one the summary is empty."""
    new = replace(STATE, at=AS_COMMITTED)
    failure = decode_failure(encode_failure(new, NOW))
    assert failure == MemberFailure("exit status 1", "check", NOW, 60)
    summary = decode_summary(encode_summary(new, "m1", NOW))
    assert (summary.member, summary.reason, summary.at) == ("m1", "exit status 1", NOW)
    assert encode_summary(replace(new, failed_by=()), "m1", NOW) == b""
    children = ("succeeded", "failed.m2", "failed.m1", "condemned.m.3", "lost.t", "lost.u", "x.y")
    state = with_trials(VersionState(60, "s"), encode_summary(STATE, "m1", NOW), children, 7)
    assert state == replace(
        STATE,
        failed_by=("m.3", "m1", "m2"),
        condemned_by=("m.3",),
        lost_turns=2,
        succeeded=7,
    )


def test_what_is_new_gets_the_time_of_the_commit() -> None:
    """Times that mean the commit become its time, and all others stay."""
    hold = Hold(MaxUnavailable(), "", "")
    new = replace(FULL, paused=Pause("by", "why"), head=ActingHead("m", 1), hold=hold)
    decoded = decode(encode(new, NOW))
    assert decoded.paused == Pause("by", "why", NOW)
    assert decoded.head == ActingHead("m", 1, NOW)
    assert decoded.hold == replace(hold, at=NOW)
    assert decode_entry(encode_entry(replace(ENTRY, since=AS_COMMITTED), NOW), 99).since == NOW
    assert decode(encode(FULL, NOW)).paused == FULL.paused


def test_a_zxid_of_another_history_is_lowered() -> None:
    """An entry is never newer than the transaction that wrote it."""
    assert decode_entry(encode_entry(ENTRY, NOW), 69).zxid == 69
    assert decode_entry(encode_entry(ENTRY, NOW), 70).zxid == 70


def test_a_record_is_small_and_stable() -> None:
    """The same record gives the same bytes, without a space, whoever built it in what order."""
    turned = replace(FULL, versions=dict(reversed(list(FULL.versions.items()))))
    assert encode(turned, NOW) == encode(FULL, NOW)
    half = AgreedMaxUnavailable(MaxUnavailable(50, percent=True), "m1")
    good = {"d": VersionState(1, "s", known_good=True)}
    assert encode(RolloutRecord(max_unavailable=half, versions=good), NOW) == (
        b'{"admissions":0,"audit":[],"format":2,"head":null,"hold":null,"last_admitted":-1,'
        b'"max_failed":null,"max_unavailable":{"by":"m1","limit":"50%"},"paused":null,'
        b'"versions":{"d":{"known_good":true,"scope":"s","zxid":1}}}'
    )


def test_half_a_character_is_written_in_letters() -> None:
    """A reason with bytes that were no text is kept readable for every terminal."""
    failed = replace(STATE, reason="bad \udcff")
    assert decode_failure(encode_failure(failed, NOW)).reason == "bad \\udcff"
    assert decode_summary(encode_summary(failed, "m", NOW)).reason == "bad \\udcff"
    status, _ = decode_status(encode_status(MemberStatus("failed", reason="bad \udcff"), FACTS))
    assert status.reason == "bad \\udcff"


def test_unknown_keys_are_ignored() -> None:
    """What a later zkexec adds to the same format does no harm."""
    fields = json.loads(encode(FULL, NOW))
    fields["more"] = [1]
    fields["paused"]["more"] = {}
    fields["versions"]["d1"]["more"] = None
    assert decode(json.dumps(fields).encode()) == FULL


Decode = Callable[[bytes], object]


def _broken(*way: str, value: object, content: bytes = b"") -> bytes:
    fields = json.loads(content or encode(FULL, NOW))
    inner = fields
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = value
    return json.dumps(fields).encode()


HUGE_NUMBER = encode(FULL, NOW).replace(b'"last_admitted":12', b'"last_admitted":' + b"9" * 900_000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello", "no valid JSON"),
        (b"\xff\xfe", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b'{"format":NaN}', "no valid JSON"),
        (b"[]", "expected a JSON object as the record"),
        (b"null", "expected a JSON object as the record"),
        (b"{}", "expected a JSON number as 'format' of the record"),
        (b'{"format":3}', "the record was written by a newer zkexec (format 3)"),
        (
            b'{"format":1}',
            (
                "the record has format 1, which this zkexec does not read: "
                "stop the zkexec that writes it, and delete the znode"
            ),
        ),
        (b'{"format":0}', "the record has format 0, which this zkexec does not read: "),
        (b'{"format":true}', "expected a JSON number as 'format'"),
        (_broken("last_admitted", value="1"), "expected a JSON number as 'last_admitted'"),
        (_broken("last_admitted", value=-2), "expected at least -1 as 'last_admitted'"),
        (_broken("admissions", value=-1), "expected at least 0 as 'admissions'"),
        (
            _broken("last_admitted", value=2**63),
            "expected at most 9223372036854775807 as 'last_admitted'",
        ),
        (_broken("last_admitted", value=-(10**25)), "as 'last_admitted'"),
        (HUGE_NUMBER, "expected at most 9223372036854775807 as 'last_admitted'"),
        (b'{"format":' + b"1" * 5000 + b"}", "expected at most 9223372036854775807 as 'format'"),
        (_broken("versions", value=[]), "expected a JSON object as 'versions'"),
        (_broken("versions", "", value={}), "that can be a part of a path"),
        (_broken("versions", "a/b", value={}), "that can be a part of a path"),
        (_broken("versions", "..", value={}), "that can be a part of a path"),
        (_broken("versions", "d" * 1001, value={}), "that can be a part of a path"),
        (_broken("versions", "d1", "zxid", value=10**4000), "expected at most"),
        (_broken("versions", "d1", "lost_zone", value="a/b"), "that can be a part of a path"),
        (
            _broken("versions", "d1", "known_good", value=1),
            "expected a JSON boolean as 'known_good'",
        ),
        (_broken("max_unavailable", "limit", value="0"), "a number or a percentage"),
        (_broken("max_unavailable", "limit", value="101%"), "a number or a percentage"),
        (_broken("max_unavailable", "limit", value="3/zone"), "a number or a percentage"),
        (_broken("max_unavailable", "by", value=""), "expected a name that a member may have"),
        (_broken("max_unavailable", value=3), "expected a JSON object as 'max_unavailable'"),
        (_broken("max_failed", "limit", value="-1"), "a number or a percentage"),
        (_broken("max_failed", "limit", value="101%"), "a number or a percentage"),
        (_broken("hold", "after", value="0"), "a number or a percentage"),
        (_broken("hold", "known_good", value=[1]), "expected JSON strings"),
        (_broken("head", "member", value="a/b"), "expected a name that a member may have"),
        (_broken("head", "since", value=-1), "expected seconds of the epoch"),
        (_broken("zone", value=".."), "that can be a part of a path"),
        (_broken("paused", value=True), "expected a JSON object as 'paused'"),
        (_broken("paused", "by", value=3), "expected a JSON string as 'by'"),
        (_broken("paused", "at", value="now"), "expected a JSON number as 'at'"),
    ],
)
def test_what_is_no_record(content: bytes, reason: str) -> None:
    """Bytes that are no record are refused, in one line that says what is wrong with them."""
    with pytest.raises(ValueError, match=re.escape(reason)) as refused:
        decode(content)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("token", "", "that can be a part of a path"),
        ("token", "a/b", "that can be a part of a path"),
        ("token", None, "expected a JSON string as 'token'"),
        ("digest", "..", "that can be a part of a path"),
        ("digest", "\ud800", "that can be a part of a path"),
        ("phase", "x", "expected a known phase"),
        ("phase", [], "expected a known phase"),
        ("since", -1, "expected seconds of the epoch"),
        ("since", 10**400, "expected seconds of the epoch"),
        ("since", [], "as 'since'"),
        ("zxid", True, "expected a JSON number"),
        ("zone", "a\nb", "that can be a part of a path"),
        ("admission", -1, "expected at least 0 as 'admission'"),
        ("format", 9, "the entry was written by a newer zkexec (format 9)"),
    ],
)
def test_what_is_no_entry(key: str, value: object, reason: str) -> None:
    """An entry with one wrong field is refused."""
    content = _broken(key, value=value, content=encode_entry(ENTRY, NOW))
    with pytest.raises(ValueError, match=re.escape(reason)):
        decode_entry(content, 99)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("member", "a/b", "expected a name that a member may have"),
        ("member", "a" * 256, "expected a name that a member may have"),
        ("token", "..", "that can be a part of a path"),
        ("digest", 3, "expected a JSON string as 'digest'"),
    ],
)
def test_what_is_no_queue_node(key: str, value: object, reason: str) -> None:
    """A queue node with one wrong field is refused."""
    content = _broken(key, value=value, content=encode_queued(QUEUED))
    with pytest.raises(ValueError, match=re.escape(reason)):
        decode_queued(content)


def test_the_largest_numbers() -> None:
    """What ZooKeeper itself may have for a number is one, and an unknown key may be anything."""
    fields = json.loads(encode(FULL, NOW))
    fields["last_admitted"] = MOST
    fields["versions"]["d1"]["zxid"] = MOST
    content = json.dumps(fields).encode()
    found = decode(content)
    assert (found.last_admitted, found.versions["d1"].zxid) == (MOST, MOST)
    assert decode(encode(found, NOW)) == found
    with_more = content[:-1] + b',"more":' + b"7" * 10_000 + b',"and":1e9999}'
    assert decode(with_more) == found


def test_more_losses_than_can_be_are_not_counted() -> None:
    """The number of lost turns has a limit, whatever another client has made."""
    children = [f"lost.{number}" for number in range(2000)]
    assert with_trials(VersionState(1, "s"), b"", children, 0).lost_turns == 1000


def test_texts_that_are_only_shown_are_cut() -> None:
    """A reason of a megabyte is not carried on, and what identifies something is never cut."""
    long = "é" * 900_000
    record = replace(
        FULL,
        versions={"d": VersionState(1, long)},
        paused=Pause(long, long, 1.0),
        audit=(AuditEntry(long, long, long, long, long, 1.0),) * 12,
    )
    found = decode(encode(record, NOW))
    cut = "é" * 997 + "..."
    assert found.versions["d"] == VersionState(1, long)
    assert found.paused == Pause(cut, cut, 1.0)
    assert found.audit == (AuditEntry(cut, cut, cut, long, cut, 1.0),) * 10
    failed = replace(STATE, reason=long)
    assert decode_failure(encode_failure(failed, NOW)).reason == cut
    status, facts = MemberStatus("running", long, reason=long), replace(FACTS, host=long)
    in_short = replace(status, reason=cut), replace(facts, host=cut)
    assert decode_status(encode_status(status, facts)) == in_short


WHOLE: list[tuple[bytes, Decode]] = [
    (encode(FULL, NOW), decode),
    (encode_entry(ENTRY, NOW), lambda content: decode_entry(content, 99)),
    (encode_queued(QUEUED), decode_queued),
    (encode_summary(STATE, "m1", NOW), decode_summary),
    (encode_failure(STATE, NOW), decode_failure),
]


@pytest.mark.parametrize(("whole", "read"), WHOLE, ids=[str(n) for n in range(len(WHOLE))])
def test_a_content_that_was_cut_or_changed(whole: bytes, read: Decode) -> None:
    """Whatever becomes of some bytes of a znode, the outcome is a value or a ValueError."""
    rng = random.Random(1)
    refused = 0
    for _ in range(1000):
        content = bytearray(whole)
        content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            read(bytes(content[: rng.choice([len(content), len(content) // 2])]))
        except ValueError:
            refused += 1
    assert 300 < refused < 1000


def test_a_card_comes_back() -> None:
    """A card comes back with the words of the member and the facts about it."""
    status = MemberStatus(
        "verifying", "d1", "d2", "unknown", "waits for its turn", 7, 1.5, 2.5, "start"
    )
    assert decode_status(encode_status(status, FACTS)) == (status, FACTS)


@pytest.mark.parametrize(
    "key",
    [
        *("host", "pid", "zkexec_version", "lock_file_id", "since", "phase"),
        *("max_unavailable", "max_failed"),
    ],
)
def test_what_is_no_card(key: str) -> None:
    """A card without one of its fields is refused, and the field is named."""
    fields = json.loads(encode_status(MemberStatus("running"), FACTS))
    del fields[key]
    with pytest.raises(ValueError, match=f"as '{key}' of the member status"):
        decode_status(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "marks",
    [
        {"duplicate_of": "m1"},
        {"shared": (("m1", "/etc/a"), ("m2 of web", "/etc/b"))},
        {"duplicate_of": "m1", "shared": (("m3", "/etc/c"),)},
        {"zone": "east"},
    ],
)
def test_marks_of_a_card(marks: dict[str, Any]) -> None:
    """What few members have to tell is written by those only, and read where it is there."""
    facts = replace(FACTS, **marks)
    content = encode_status(MemberStatus("running"), facts)

    assert decode_status(content)[1] == facts
    assert marks.keys() <= json.loads(content).keys()
    assert (
        not {"duplicate_of", "shared", "zone"}
        & json.loads(encode_status(MemberStatus("running"), FACTS)).keys()
    )


@pytest.mark.parametrize(
    "mark", [{"duplicate_of": 1}, {"shared": {}}, {"shared": [{"member": "m1"}]}, {"shared": [1]}]
)
def test_a_mark_that_is_none(mark: dict[str, Any]) -> None:
    """A mark of another type is no valid card."""
    content = {**json.loads(encode_status(MemberStatus("running"), FACTS)), **mark}
    with pytest.raises(ValueError, match="JSON"):
        decode_status(json.dumps(content).encode())


def test_no_bytes_are_no_card() -> None:
    """An empty node is no card."""
    with pytest.raises(ValueError, match="the member status is no valid JSON"):
        decode_status(b"")


def test_an_unavailable_member_is_shown_as_one() -> None:
    """The flag is written only if it is set."""
    ill = MemberStatus("running", unavailable=True)
    assert decode_status(encode_status(ill, FACTS))[0] == ill
    assert b'unavailable":' not in encode_status(MemberStatus("running"), FACTS).replace(
        b"max_unavailable", b""
    )
