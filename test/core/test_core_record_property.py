"""Check what the record never does, by random sequences of all its operations."""

from random import Random

import pytest

from core.records import SCOPE, version
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, Pause, Refusal, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion
from zkexec.frozen import replace

MEMBERS = ("m1", "m2", "m3", "m4")
CONTENTS = ("a", "b", "c")
STEPS = 150
SEEDS = [range(first, first + 50) for first in range(0, 400, 50)]


class Group:
    """A record, and random operations on it, one after the other."""

    def __init__(self, seed: int) -> None:
        """Begin with an empty record."""
        self.random = Random(seed)
        self.record = RolloutRecord()
        self.revisions = dict.fromkeys(CONTENTS, 1)
        self._words = 0

    def version(self) -> ConfigVersion:
        """Return some content, at its newest zxid or an older one, sometimes written again."""
        content = self.random.choice(CONTENTS)
        if self.random.random() < 0.1:
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

    def admit(self, member: str) -> RolloutRecord | Refusal:
        """Admit the head; no failed version, and not too many members, are admitted."""
        wanted, population = self.version(), self.random.randint(1, 6)
        entry = InFlightEntry(self.new_token(), wanted.digest, wanted.zxid)
        before = self.record
        found = before.admit(member, entry, SCOPE, population, self.random.randrange(99))
        if isinstance(found, RolloutRecord):
            allowed = before.allowed(population) if before.is_known_good(wanted) else 1
            assert len(found.in_flight) <= max(allowed, 1)
            assert before.failure_of(wanted) is None
            assert before.paused is None
            assert set(found.in_flight) - set(before.in_flight) <= {member}
        return found

    def readmit(self, member: str) -> RolloutRecord | Refusal:
        """Readmit a member in flight; no failed version and no other member comes in."""
        wanted = self.version()
        entry = InFlightEntry(self.token_of(member), wanted.digest, wanted.zxid)
        found = self.record.readmit(member, entry, SCOPE)
        if isinstance(found, RolloutRecord):
            assert self.record.failure_of(wanted) is None
            assert set(found.in_flight) == set(self.record.in_flight)
            alone = [e for e in found.in_flight.values() if e.digest == wanted.digest]
            assert self.record.is_known_good(wanted) or len(alone) == 1
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
        made_out = self.version() if self.random.random() < 0.6 else None
        found = self.record.release(member, made_out)
        assert set(self.record.in_flight) - set(found.in_flight) <= {member}
        assert found.release(member, made_out) is found
        if made_out is not None:
            assert found.versions[made_out.digest].known_good
            assert member not in found.versions[made_out.digest].failed_by
        return found

    def fail(self, member: str) -> RolloutRecord:
        """Fail a version; no member leaves, the version is blocked, and it is recorded once."""
        wanted, token = self.version(), self.token_of(member)
        found = self.record.fail(member, token, wanted, "exit status 1")
        assert set(found.in_flight) == set(self.record.in_flight)
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
        """Pause or resume the group, or request a max unavailable."""
        if self.random.random() < 0.5:
            pause = Pause("operator", "") if self.random.random() < 0.3 else None
            return replace(self.record, paused=pause)
        limit = MaxUnavailable(self.random.randint(1, 4))
        return self.record.with_max_unavailable(member, limit, 4, self.random.random() < 0.5)

    def step(self) -> None:
        """Do one operation, and check that the rules still hold."""
        member = self.random.choice(MEMBERS)
        ways = [self.admit, self.readmit, self.adopt, self.release, self.fail, self.reclaim]
        found = self.random.choice([*ways, self.mark_known_good, self.steer])(member)
        if isinstance(found, Refusal):
            return
        self.check_failures(found)
        self.record = found
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
