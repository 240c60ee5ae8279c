"""The record and the cards as bytes and back, and what is told of bytes that are neither."""

import json
import random
import re
from typing import Any

import pytest

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import (
    AS_COMMITTED,
    AgreedMaxUnavailable,
    AuditEntry,
    EntryPhase,
    InFlightEntry,
    Pause,
    RolloutRecord,
    VersionState,
)
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace
from zkexec.group.member_codec import StatusFacts, decode_status, encode_status
from zkexec.group.record_codec import decode, encode

MOST = 2**63 - 1
NOW = 1_700_000_000.125

FULL = RolloutRecord(
    in_flight={
        "web-1": InFlightEntry("t1", "d2", 70, EntryPhase.RESTARTING, 1_600_000_000.5),
        "web-2": InFlightEntry("t2", "d1", 60, EntryPhase.FAILED, 1_600_000_001.0),
    },
    versions={
        "d1": VersionState(
            60,
            "s",
            failed_by=("web-2",),
            lost_turns=1,
            reason="exit status 1",
            at=5.5,
            step="check",
        ),
        "d2": VersionState(70, "s", known_good=True, at=6.0),
    },
    max_unavailable=AgreedMaxUnavailable(MaxUnavailable(50, percent=True), "web-1"),
    paused=Pause("someone", "no restarts today", 7.0),
    last_admitted=12,
    audit=(AuditEntry("forget", "someone", "burnt down", "t9", "web-9", 8.0),),
)

FACTS = StatusFacts("host", 42, "1.2", "boot-1-2", "50%", 8.25, ("/a", "/b"))


def test_a_record_comes_back() -> None:
    """A record with everything in it comes back as it was."""
    assert decode(encode(FULL, NOW)) == FULL


def test_the_empty_record_comes_back() -> None:
    """The empty record comes back, and no bytes at all are one."""
    assert decode(encode(RolloutRecord(), NOW)) == RolloutRecord()
    assert decode(b"") == RolloutRecord()


def _some_text(rng: random.Random) -> str:
    return "".join(rng.choice("ab-._ 0é界\U0001f40d\"'\\") for _ in range(rng.randint(1, 12)))


def _some_record(rng: random.Random) -> RolloutRecord:
    names = [f"{_some_text(rng)}-{number}" for number in range(rng.randint(0, 6))]
    digests = [f"{rng.getrandbits(64):x}" for _ in range(rng.randint(0, 5))]
    return RolloutRecord(
        in_flight={
            name: InFlightEntry(
                _some_text(rng),
                # What has failed has a verdict.
                digest := rng.choice([_some_text(rng), *digests]),
                rng.getrandbits(rng.randint(1, 62)),
                rng.choice(list(EntryPhase) if digest in digests else [EntryPhase.RESTARTING]),
                rng.randint(1, 2**31),
            )
            for name in names
        },
        versions={
            digest: VersionState(
                zxid=rng.getrandbits(60),
                scope=rng.choice(["", "scope"]),
                known_good=rng.random() < 0.5,
                failed_by=tuple(rng.sample(names, rng.randint(0, len(names)))),
                lost_turns=rng.randint(0, 3),
                reason=rng.choice(["", _some_text(rng)]),
                step=rng.choice(["", "check", _some_text(rng)]),
                at=rng.randint(1, 2**31) + 0.25,
            )
            for digest in digests
        },
        max_unavailable=AgreedMaxUnavailable(
            MaxUnavailable(rng.randint(1, 100), rng.random() < 0.5), "m"
        ),
        last_admitted=rng.randint(-1, 2**31 - 1),
    )


def test_random_records_come_back() -> None:
    """Whatever a record holds comes back, in whatever order and letters."""
    for seed in range(300):
        record = _some_record(random.Random(seed))
        assert decode(encode(record, NOW)) == record, f"seed {seed}"


def test_what_is_new_gets_the_time_of_the_commit() -> None:
    """Times that stand for the commit become its time, and all others stay."""
    new = RolloutRecord(
        in_flight={"m": InFlightEntry("t", "d", 1), "old": InFlightEntry("t", "d", 1, since=3.0)},
        versions={"d": VersionState(1, "s")},
        paused=Pause("by", "why"),
    )
    assert {new.in_flight["m"].since, new.versions["d"].at} == {AS_COMMITTED}
    decoded = decode(encode(new, NOW))
    assert decoded.in_flight["m"].since == decoded.versions["d"].at == NOW
    assert decoded.paused == Pause("by", "why", NOW)
    assert decoded.in_flight["old"].since == 3.0


def test_a_record_is_small_and_stable() -> None:
    """The same record gives the same bytes, without a space, whoever built it in what order."""
    turned = replace(FULL, in_flight=dict(reversed(list(FULL.in_flight.items()))))
    assert encode(turned, NOW) == encode(FULL, NOW)
    half = AgreedMaxUnavailable(MaxUnavailable(50, percent=True), "m1")
    assert encode(RolloutRecord(max_unavailable=half), NOW) == (
        b'{"audit":[],"format":1,"in_flight":{},"last_admitted":-1,'
        b'"max_unavailable":{"by":"m1","limit":"50%"},"paused":null,"versions":{}}'
    )


def test_half_a_character_is_written_in_letters() -> None:
    """A reason with bytes that were no text is kept readable for every terminal."""
    failed = RolloutRecord(versions={"d": VersionState(1, "s", reason="bad \udcff", at=1.0)})
    assert decode(encode(failed, NOW)).versions["d"].reason == "bad \\udcff"
    status, _ = decode_status(encode_status(MemberStatus("failed", reason="bad \udcff"), FACTS))
    assert status.reason == "bad \\udcff"


def test_unknown_keys_are_ignored() -> None:
    """What a later zkexec adds to the same format does no harm."""
    fields = json.loads(encode(FULL, NOW))
    fields["more"] = [1]
    fields["in_flight"]["web-1"]["more"] = {}
    fields["versions"]["d1"]["more"] = None
    assert decode(json.dumps(fields).encode()) == FULL


def _broken(*way: str, value: object) -> bytes:
    fields = json.loads(encode(FULL, NOW))
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
        (b'{"format":2}', "written by a newer zkexec (format 2)"),
        (b'{"format":0}', "unknown format (0)"),
        (b'{"format":true}', "expected a JSON number as 'format'"),
        (_broken("last_admitted", value="1"), "expected a JSON number as 'last_admitted'"),
        (_broken("last_admitted", value=-2), "expected at least -1 as 'last_admitted'"),
        (_broken("in_flight", value=[]), "expected a JSON object as 'in_flight'"),
        (_broken("in_flight", "web-1", value=1), "expected a JSON object as 'in_flight'"),
        (_broken("in_flight", "web-1", "token", value=""), "expected a token"),
        (_broken("in_flight", "web-1", "token", value=None), "expected a JSON string as 'token'"),
        (_broken("in_flight", "web-1", "phase", value="x"), "expected a known phase"),
        (_broken("in_flight", "web-1", "phase", value=[]), "expected a known phase"),
        (_broken("in_flight", "web-1", "since", value=-1), "expected seconds of the epoch"),
        (_broken("in_flight", "web-1", "since", value=10**400), "expected seconds of the epoch"),
        (_broken("in_flight", "web-1", "zxid", value=True), "expected a JSON number"),
        (_broken("in_flight", "a/b", value={}), "expected a name that a member may have"),
        (_broken("in_flight", "..", value={}), "expected a name that a member may have"),
        (_broken("in_flight", "\ud800", value={}), "expected a name that a member may have"),
        (_broken("in_flight", "a\nb", value={}), "expected a name that a member may have"),
        (_broken("in_flight", "a" * 256, value={}), "expected a name that a member may have"),
        (
            _broken("last_admitted", value=2**63),
            "expected at most 9223372036854775807 as 'last_admitted'",
        ),
        (_broken("last_admitted", value=-(10**25)), "as 'last_admitted'"),
        (_broken("versions", "d1", "lost_turns", value=10**4000), "expected at most"),
        (HUGE_NUMBER, "expected at most 9223372036854775807 as 'last_admitted'"),
        (b'{"format":' + b"1" * 5000 + b"}", "expected at most 9223372036854775807 as 'format'"),
        (_broken("in_flight", "web-1", "since", value=[]), "as 'since'"),
        (encode(FULL, NOW).replace(b"1600000000.5", b"1e999"), "expected seconds of the epoch"),
        (
            _broken("versions", "d1", "known_good", value=1),
            "expected a JSON boolean as 'known_good'",
        ),
        (_broken("versions", "d1", "failed_by", value=[1]), "expected JSON strings"),
        (_broken("versions", "d1", "failed_by", value="m"), "expected a JSON array"),
        (_broken("versions", "d1", "at", value="now"), "expected a JSON number as 'at'"),
        (_broken("max_unavailable", "limit", value="0"), "a number or a percentage"),
        (_broken("max_unavailable", "limit", value="101%"), "a number or a percentage"),
        (_broken("max_unavailable", "by", value=""), "expected a name that a member may have"),
        (_broken("max_unavailable", value=3), "expected a JSON object as 'max_unavailable'"),
        (_broken("paused", value=True), "expected a JSON object as 'paused'"),
        (_broken("paused", "by", value=3), "expected a JSON string as 'by'"),
    ],
)
def test_what_is_no_record(content: bytes, reason: str) -> None:
    """Bytes that are no record are refused, in one line that says what is wrong with them."""
    with pytest.raises(ValueError, match=re.escape(reason)) as refused:
        decode(content)
    assert "\n" not in str(refused.value)


def test_the_largest_numbers() -> None:
    """What ZooKeeper itself may have for a number is one, and an unknown key may hold anything."""
    fields = json.loads(encode(FULL, NOW))
    fields["last_admitted"] = MOST
    fields["in_flight"]["web-1"]["zxid"] = MOST
    content = json.dumps(fields).encode()
    found = decode(content)
    assert (found.last_admitted, found.in_flight["web-1"].zxid) == (MOST, MOST)
    assert decode(encode(found, NOW)) == found
    with_more = content[:-1] + b',"more":' + b"7" * 10_000 + b',"and":1e9999}'
    assert decode(with_more) == found


def test_more_losses_than_can_be_are_not_counted() -> None:
    """One more loss is still a number that everybody takes."""
    known = replace(FULL.versions["d2"], lost_turns=MOST)
    record = decode(encode(replace(FULL, versions={"d2": known, "d1": known}), NOW))
    lost = record.reclaim("web-1", "t1")
    assert decode(encode(lost, NOW)).versions["d2"].failed_by == ("web-1",)


def test_an_entry_that_has_failed_is_a_verdict() -> None:
    """Where the record lacks the verdict, nobody else tries what a member has failed with."""
    record = replace(
        FULL, in_flight={**FULL.in_flight, "web-3": FULL.in_flight["web-2"]}, versions={}
    )
    version_state = decode(encode(record, NOW)).versions["d1"]
    assert version_state == VersionState(
        60, "", failed_by=("web-2", "web-3"), reason="the record does not say why", at=1_600_000_001
    )
    assert "d2" not in decode(encode(record, NOW)).versions
    assert decode(encode(FULL, NOW)).versions["d1"].reason == "exit status 1"


def test_texts_that_are_only_shown_are_cut() -> None:
    """A reason of a megabyte is not carried on, and what identifies something is never cut."""
    long = "é" * 900_000
    entry = InFlightEntry(long, long, 1, since=1.0)
    record = replace(
        FULL,
        in_flight={"m": entry},
        versions={long: VersionState(1, long, reason=long, at=1.0)},
        paused=Pause(long, long, 1.0),
        audit=(AuditEntry(long, long, long, long, long, 1.0),) * 12,
    )
    found = decode(encode(record, NOW))
    cut = "é" * 997 + "..."
    assert found.in_flight["m"] == entry
    assert found.versions[long] == VersionState(1, long, reason=cut, at=1.0)
    assert found.paused == Pause(cut, cut, 1.0)
    assert found.audit == (AuditEntry(cut, cut, cut, long, cut, 1.0),) * 10
    status, facts = MemberStatus("running", long, reason=long), replace(FACTS, host=long)
    in_short = replace(status, reason=cut), replace(facts, host=cut)
    assert decode_status(encode_status(status, facts)) == in_short


def test_a_record_that_was_cut_or_changed() -> None:
    """Whatever becomes of some bytes of a record, the outcome is a record or a ValueError."""
    whole = encode(FULL, NOW)
    rng = random.Random(1)
    refused = 0
    for _ in range(3000):
        content = bytearray(whole)
        content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            assert isinstance(
                decode(bytes(content[: rng.choice([len(content), 50])])), RolloutRecord
            )
        except ValueError:
            refused += 1
    assert refused > 1000


def test_a_card_comes_back() -> None:
    """A card comes back with the words of the member and the facts about it."""
    status = MemberStatus(
        "verifying", "d1", "d2", "unknown", "waits for its turn", 7, 1.5, 2.5, "start"
    )
    assert decode_status(encode_status(status, FACTS)) == (status, FACTS)


@pytest.mark.parametrize(
    "key", ["host", "pid", "zkexec_version", "lock_file_id", "max_unavailable", "since", "phase"]
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
    ],
)
def test_marks_of_a_card(marks: dict[str, Any]) -> None:
    """What few members have to tell is written by those only, and read where it is there."""
    facts = replace(FACTS, **marks)
    content = encode_status(MemberStatus("running"), facts)

    assert decode_status(content)[1] == facts
    assert marks.keys() <= json.loads(content).keys()
    assert (
        not {"duplicate_of", "shared"}
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
