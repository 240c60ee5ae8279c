"""Check what the record never does, by random sequences of all its operations."""

from random import Random

import pytest

from core.records import SCOPE, known_good, limit, population, version
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.record import (
    EntryPhase,
    Hold,
    InFlightEntry,
    Pause,
    Refusal,
    RolloutRecord,
)
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import FEW_SUCCEEDED
from zkexec.frozen import replace

MEMBERS = tuple(f"m{number}" for number in range(1, 9))
ZONES = ("", "east", "west")
CONTENTS = ("a", "b", "c")
STEPS = 150


class Group:
    """A record, and random operations on it, one after the other."""

    def __init__(self, seed: int) -> None:
        """Begin with a version that many members have."""
        self.random = Random(seed)
        self.record = RolloutRecord(
            versions={"a": known_good(1, succeeded=FEW_SUCCEEDED)},
            max_unavailable=limit(6),
            population=population(8),
        )
        self.revisions = dict.fromkeys(CONTENTS, 1)
        self._words = 0

    def version(self) -> ConfigVersion:
        """Return some content, at its newest zxid or an older one, sometimes written again."""
        content = self.random.choice(CONTENTS)
        if self.random.random() < 0.05:
            self.revisions[content] = max(self.revisions.values()) + 1
        age = self.random.choice((0, 0, 0, 1))
        return version(f"{content}@{max(1, self.revisions[content] - age)}")

    def new_token(self) -> str:
        """Return a token that was never returned before."""
        self._words += 1
        return f"t{self._words}"

    def token_of(self, member: str) -> str:
        """Return the token of the member's entry, or now and then a wrong one."""
        entry = self.record.in_flight.get(member)
        return entry.token if entry and self.random.random() < 0.9 else "wrong"

    def known_to(self, member: str) -> RolloutRecord:
        """Return the record as a member knows it: its own entry only, or all after a survey."""
        record = self.record
        if self.random.random() < 0.5:
            return record
        own = {name: entry for name, entry in record.in_flight.items() if name == member}
        return replace(record, in_flight=own)

    def whole(self, member: str, known: RolloutRecord) -> RolloutRecord:
        """Return the record with the entries that the member did not know."""
        others = {n: e for n, e in self.record.in_flight.items() if n != member}
        own = {n: e for n, e in known.in_flight.items() if n == member}
        whole = replace(known, in_flight={**others, **own})
        assert known.in_flight_count == len(whole.in_flight)
        return whole

    def admit(self, member: str) -> RolloutRecord | Refusal:
        """Admit a member; no failed or held version, no other zone and not too many come in."""
        wanted, zone = self.version(), self.random.choice(ZONES)
        entry = InFlightEntry(self.new_token(), wanted.digest, wanted.zxid, zone=zone)
        before = self.known_to(member)
        found = before.admit(member, entry, SCOPE, self.random.randrange(99))
        if isinstance(found, Refusal):
            return found
        found = self.whole(member, found)
        others = {name: e for name, e in found.in_flight.items() if name != member}
        assert len(found.in_flight) <= self.most_for(wanted, zone)
        ill = before.unavailable - {member} if member not in before.unavailable else frozenset()
        assert not ill or len(others) + len(ill) < before.max_in_flight(zone)
        assert before.failure_of(wanted) is None
        assert before.paused is None
        assert {e.zone for e in others.values()} <= {zone}
        assert found.zone == zone
        assert set(found.in_flight) - set(self.record.in_flight) <= {member}
        self.check_hold(wanted, found)
        return found

    def most_for(self, wanted: ConfigVersion, zone: str) -> int:
        """Return how many may be in flight after an admission to this version."""
        if not self.record.is_known_good(wanted):
            return 1
        succeeded = self.record.versions[wanted.digest].succeeded
        return min(self.record.max_in_flight(zone), max(1, 2 * succeeded))

    def check_hold(self, wanted: ConfigVersion, found: RolloutRecord) -> None:
        """Check that no more members have a held version than its hold allows."""
        hold = self.record.hold
        if hold is None or wanted.digest in hold.known_good:
            return
        state = found.versions[wanted.digest]
        have_it = sum(e.digest == wanted.digest for e in found.in_flight.values())
        ended_well = state.succeeded + state.succeeded_before
        assert ended_well + have_it <= hold.after.of(self.record.population.members)

    def readmit(self, member: str) -> RolloutRecord | Refusal:
        """Readmit a member in flight; no failed or held version and no other member comes in."""
        wanted = self.version()
        entry = InFlightEntry(self.token_of(member), wanted.digest, wanted.zxid)
        before = self.record if self.record.needs_survey(wanted) else self.known_to(member)
        found = before.readmit(member, entry, SCOPE)
        if isinstance(found, Refusal):
            return found
        found = self.whole(member, found)
        assert self.record.failure_of(wanted) is None
        assert set(found.in_flight) == set(self.record.in_flight)
        trying = [e for e in found.in_flight.values() if e.digest == wanted.digest]
        alone = [e for e in trying if e.phase is EntryPhase.RESTARTING]
        assert self.record.is_known_good(wanted) or len(alone) == 1
        assert found.in_flight[member].zone == self.record.in_flight[member].zone
        self.check_hold(wanted, found)
        return found

    def adopt(self, member: str) -> RolloutRecord:
        """Adopt an entry; a failed entry stays failed."""
        token = self.new_token()
        found = self.record.adopt(member, token)
        assert set(found.in_flight) == set(self.record.in_flight)
        before = self.record.in_flight.get(member)
        if before is not None and before.phase is EntryPhase.FAILED:
            assert found.in_flight[member].phase is EntryPhase.FAILED
        assert found.adopt(member, token) is found
        return found

    def release(self, member: str) -> RolloutRecord:
        """End a turn; only this member leaves, and a second release changes nothing."""
        own = self.record.in_flight.get(member)
        made_out = self.version() if self.random.random() < 0.3 else None
        if own is not None and self.random.random() < 0.7:
            made_out = ConfigVersion(own.digest, own.zxid, SCOPE)
        found = self.record.release(member, made_out)
        assert set(self.record.in_flight) - set(found.in_flight) <= {member}
        assert found.release(member, made_out) is found
        if made_out is not None:
            assert found.versions[made_out.digest].known_good
            assert member not in found.versions[made_out.digest].failed_by
        return found

    def fail(self, member: str) -> RolloutRecord:
        """Fail a version; no member leaves, it is blocked unless it is tolerated, and only once."""
        wanted, token = self.version(), self.token_of(member)
        found = self.record.fail(member, token, wanted, "exit status 1")
        assert set(found.in_flight) == set(self.record.in_flight)
        state = found.versions[wanted.digest]
        is_tolerated = state.succeeded >= FEW_SUCCEEDED and not state.condemned_by
        if not is_tolerated or len(state.failed_by) > found.tolerated:
            assert found.failure_of(wanted) is not None
        assert found.fail(member, token, wanted, "exit status 1") is found
        return found

    def reclaim(self, member: str) -> RolloutRecord:
        """Reclaim a turn; only the one with this token ends."""
        token = self.token_of(member)
        found = self.record.reclaim(member, token)
        assert set(self.record.in_flight) - set(found.in_flight) <= {member}
        entry = self.record.in_flight.get(member)
        if entry is None or entry.token != token:
            assert found is self.record
        return found

    def mark_known_good(self, member: str) -> RolloutRecord:
        """Mark a version as known good; no member comes or leaves."""
        found = self.record.mark_known_good(member, self.version())
        assert found.in_flight == self.record.in_flight
        return found

    def steer(self, member: str) -> RolloutRecord:
        """Pause or resume the group, hold or approve a version, or request limits."""
        what = self.random.choice(("pause", "hold", "limits", "population"))
        if what == "pause":
            pause = Pause("operator", "") if self.random.random() < 0.3 else None
            return replace(self.record, paused=pause)
        if what == "hold":
            good = tuple(d for d, state in self.record.versions.items() if state.known_good)
            hold = Hold(MaxUnavailable(self.random.randint(0, 3)), "operator", "", good)
            return replace(self.record, hold=hold if self.random.random() < 0.3 else None)
        if what == "population":
            ill = frozenset(self.random.sample(MEMBERS, self.random.choice((0, 0, 1, 2))))
            zones = {zone: self.random.randint(0, 4) for zone in ZONES[1:]}
            counted = Population(self.random.randint(1, 8), zones)
            return replace(self._after_successes(), unavailable=ill, population=counted)
        percent = self.random.random() < 0.3
        requested = MaxUnavailable(self.random.choice((1, 3, 6, 50)), percent, percent)
        alive = self.random.sample(MEMBERS, 4)
        failed = MaxFailed(self.random.randint(0, 2))
        return self.record.with_limits(member, "east", requested, failed, alive=alive)

    def _after_successes(self) -> RolloutRecord:
        """Let many other members succeed on one of the known good versions."""
        good = [digest for digest, state in self.record.versions.items() if state.known_good]
        if not good:
            return self.record
        digest = self.random.choice(good)
        state = self.record.versions[digest]
        grown = replace(state, succeeded=state.succeeded + FEW_SUCCEEDED // 2)
        return replace(self.record, versions={**self.record.versions, digest: grown})

    def step(self) -> None:
        """Do one operation, and check that the rules still hold."""
        member = self.random.choice(MEMBERS)
        rare = [self.readmit, self.adopt, self.fail, self.reclaim, self.mark_known_good]
        ways = [*rare, self.steer, *[self.release] * 4, *[self.admit] * 12]
        way = self.random.choice(ways)
        if way == self.release and self.record.in_flight:
            member = self.random.choice(list(self.record.in_flight))
        found = way(member)
        if isinstance(found, Refusal):
            return
        self.check_failures(found)
        self.record = found
        assert found.in_flight_count == len(found.in_flight)
        tokens = [entry.token for entry in found.in_flight.values()]
        assert len(set(tokens)) == len(tokens)

    def check_failures(self, found: RolloutRecord) -> None:
        """Check that a failure is not dropped while its version can be wanted.

        It ends by the success of a member that it names, by a greater zxid of the same content,
        or by an admission of newer content.
        """
        newest = max((entry.zxid for entry in found.in_flight.values()), default=0)
        newest = max([newest, *(state.zxid for state in found.versions.values())])
        for digest, before in self.record.versions.items():
            after = found.versions.get(digest)
            if after is None:
                assert before.zxid < newest
            elif after.zxid == before.zxid:
                assert len(set(before.failed_by) - set(after.failed_by)) <= 1


@pytest.mark.parametrize(
    "seeds", [range(first, first + 50) for first in range(0, 400, 50)], ids=str
)
def test_a_record_keeps_its_rules(seeds: range) -> None:
    """The rules of admissions, failures and releases hold after each operation."""
    for seed in seeds:
        group = Group(seed)
        for number in range(STEPS):
            try:
                group.step()
            except AssertionError as broken:
                raise AssertionError(f"seed {seed}, step {number}: {group.record}") from broken
