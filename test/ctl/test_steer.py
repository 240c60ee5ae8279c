"""Operations on a group with a record written by hand: what they print, do, refuse and leave."""

import re
import subprocess
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, make_acl, make_digest_acl

from support.group_samples import on
from support.steering_samples import (
    CRASH,
    FAILED,
    FLIGHT,
    FLYING,
    HELD,
    HOLD,
    OPERATIONS,
    PAUSED,
    THEN,
    WHY,
    Group,
    command,
    one_line,
)
from support.tls_server import known
from support.zkexecctl import ZKEXECCTL, Zkexecctl
from support.zookeeper import Server
from zkexec.cli.security import Access, Credential
from zkexec.core.inputs import restart_name
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import (
    AuditEntry,
    EntryPhase,
    InFlightEntry,
    Pause,
    RolloutRecord,
)
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace

SECRET = "open-sesame"  # noqa: S105 - It is none.
US = Access(credentials=(Credential("digest", "us", SECRET),))
OURS = make_digest_acl("us", SECRET, all=True)


@pytest.fixture
def group(client: KazooClient, root: str) -> Group:
    """A group of this test, whose NAME is its path."""
    return Group(client, root)


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """Types commands for the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def us(zookeeper: Server, folder: Path, secret: str = SECRET) -> Zkexecctl:
    """Runs commands as the owner of the znodes, or with a wrong password."""
    file = folder / secret
    file.write_text(f"us:{secret}\n")
    file.chmod(0o600)
    return Zkexecctl(zookeeper.hosts, folder, f"--auth=digest:@{file}")


@pytest.mark.parametrize(
    "case",
    [
        (["pause"], RolloutRecord(), RolloutRecord(), "paused: no member is admitted"),
        (["pause"], FLYING, FLYING, ".*; in flight, and finishing: m1"),
        (["resume"], PAUSED, RolloutRecord(), "resumed; .* by ann@hill since 2020-09-1. .*: lunch"),
        (
            ["resume"],
            replace(FAILED, paused=PAUSED.paused),
            FAILED,
            r"resumed; .*: lunch; but version d1 failed on m1 \(exit status 3\)",
        ),
        (
            ["approve"],
            HELD,
            RolloutRecord(),
            "approved: all members follow; it was held after 2 members by ann@hill since 2020-.*",
        ),
        (
            ["approve", "--hold=50%"],
            RolloutRecord(hold=replace(HOLD, after=MaxUnavailable(1))),
            RolloutRecord(hold=replace(HOLD, after=MaxUnavailable(50, percent=True))),
            "approved: members follow until 50% of the members \\(1 of 2\\) have the new .*",
        ),
        (["retry"], FAILED, FAILED, r".* d1 failed on m1 \(.*; it is tried again by one member"),
        (["restart"], FLYING, FLYING, "rolling restart .... requested; living members: 2"),
        (
            ["forget", "m1"],
            FLYING,
            RolloutRecord(
                last_admitted=7, versions={"d1": VersionState(5, "s", lost_turns=1, lost_until=0)}
            ),
            r"the turn of m1 is reclaimed \(restarting for d1 since 2020-09-1. .*\)",
        ),
        (
            ["forget", "m1"],
            FAILED,
            replace(FAILED, in_flight={}),
            r"the turn of m1 is reclaimed \(failed for d1 .*\); this version counts as failed",
        ),
        (
            ["forget", "--force", "m3"],
            RolloutRecord({"m3": FLIGHT["m1"]}, {"d1": VersionState(5, "", lost_turns=1, at=THEN)}),
            None,
            "the turn of m3 is reclaimed .*; this version counts as failed",
        ),
    ],
    ids=lambda case: "-".join(case[0]),
)
def test_what_an_operation_does(
    group: Group,
    zkexecctl: Zkexecctl,
    case: tuple[list[str], RolloutRecord, RolloutRecord | None, str],
) -> None:
    """Each operation prints what it did, does just that, and records who, when and why."""
    words, before, after, said = case
    earlier = AuditEntry("pause", "eve", "tea", "t0", at=900.0)
    group.write(replace(before, audit=(earlier,)))
    group.live(["m2", "m3"])
    operation, *rest = words
    answer = zkexecctl(operation, group.base, *rest, "--by=bob", WHY)

    assert (answer.status, answer.err) == (0, "")
    assert re.fullmatch(f"{group.base}: {said}", one_line(answer.out))
    audit_entry = group.audit_entry(operation)
    member = rest[-1] if operation == "forget" else ""
    assert (audit_entry.by, audit_entry.reason, audit_entry.member) == (
        "bob",
        "the database moves",
        member,
    )
    found = group.record()
    assert found.audit == (earlier, audit_entry)
    if operation == "pause":
        assert found.paused == Pause("bob", "the database moves", audit_entry.at)
    if after is not None:
        assert timeless(replace(found, audit=(), paused=None)) == timeless(after)


def timeless(record: RolloutRecord) -> RolloutRecord:
    """A record without the times of its failures."""
    versions = {digest: replace(one, at=THEN) for digest, one in record.versions.items()}
    return replace(record, versions=versions)


def test_the_members_hear_of_restarts_and_retries(group: Group, zkexecctl: Zkexecctl) -> None:
    """A restart has a name of its own; a retry writes the last one's name again."""
    group.write(FAILED)
    zkexecctl.does(*command("retry", group.base))
    name, token = group.asked()
    assert (name, token) == ("-", group.audit_entry("retry").token)

    zkexecctl.does(*command("restart", group.base))
    name, token = group.asked()
    assert (name, token) == (token[:8], group.audit_entry("restart").token)

    zkexecctl.does(*command("retry", group.base))
    assert group.asked() == [name, group.audit_entry("retry").token]

    group.client.delete(group.restart)
    zkexecctl.does(*command("restart", group.base))
    assert group.asked()[1] == group.audit_entry("restart").token


def test_a_restart_while_the_one_before_is_under_way(group: Group, zkexecctl: Zkexecctl) -> None:
    """The second error has the first operator and the members left; later it is a new one."""
    group.status("m1", on("c1", 1))
    group.status("m2", on("c1", 1))
    zkexecctl.does("restart", group.base, "--by=ann")
    name, znodes = group.asked()[0], group.znodes()
    group.status("m1", on(f"c1.{name}", 1))
    answer = zkexecctl("restart", group.base, "--by=bob")

    assert (answer.status, answer.out) == (1, "")
    assert re.fullmatch(
        rf"zkexecctl: {group.base}: ann \(.*\) has already requested a restart, m2 still to "
        "restart; nothing was done",
        one_line(answer.err),
    )
    assert group.znodes()[group.state] == znodes[group.state]
    assert group.asked()[0] == name

    group.status("m2", on(f"c1.{name}", 1))
    zkexecctl.does("restart", group.base, "--by=bob")
    assert group.asked()[0] != name


def test_another_operation_makes_room_for_a_restart(group: Group, zkexecctl: Zkexecctl) -> None:
    """If a member never restarts, a pause and its end let the others be restarted."""
    group.status("m1", on("c1", 1))
    zkexecctl.does("restart", group.base)
    assert zkexecctl("restart", group.base).status == 1
    zkexecctl.does("pause", group.base, WHY)
    zkexecctl.does("resume", group.base)
    zkexecctl.does("restart", group.base)


def test_a_retry_while_the_one_before_is_under_way(group: Group, zkexecctl: Zkexecctl) -> None:
    """The second error names the first operator; once the retry has failed, it is a new one."""
    group.write(FAILED)
    zkexecctl.does("retry", group.base, "--by=ann")
    znodes = group.znodes()
    answer = zkexecctl("retry", group.base, "--by=bob")

    assert (answer.status, answer.out) == (1, "")
    assert re.fullmatch(
        rf"zkexecctl: {group.base}: ann \(.*\) has already requested a retry, no member has "
        "tried it yet; nothing was done",
        one_line(answer.err),
    )
    assert group.znodes() == znodes

    tried_at = znodes[group.restart][1]
    failed = {"d1": replace(CRASH["d1"], zxid=tried_at)}
    group.write(replace(group.record(), versions=failed))
    zkexecctl.does("retry", group.base, "--by=bob")


@pytest.mark.parametrize(
    ("wanted", "is_refused"), [("c1", True), ("d1", False), ("d1.abcd", False)]
)
def test_a_retry_of_what_no_member_wants(
    group: Group, zkexecctl: Zkexecctl, wanted: str, *, is_refused: bool
) -> None:
    """If all living members want other contents, a retry is refused with advice."""
    group.write(FAILED)
    group.status("m1", on(wanted, 0, phase="failed"))
    group.status("m2", on("c1", 0))
    answer = zkexecctl("retry", group.base)

    assert answer.status == int(is_refused)
    assert not is_refused or one_line(answer.err) == (
        f"zkexecctl: {group.base}: version d1 failed on m1 (exit status 3), but no living member "
        "wants it; nothing was done; to end the turn of m1: "
        f"zkexecctl forget --force {group.base} m1"
    )
    assert len(group.record().audit) == int(not is_refused)


@pytest.mark.parametrize("phase", ["running", "verifying"])
def test_a_turn_that_its_member_does_not_know_of(
    group: Group, zkexecctl: Zkexecctl, phase: str
) -> None:
    """A member that only runs ends no turn; the error shows what does end it."""
    group.write(FLYING)
    group.status("m1", on("d1", 0, phase=phase))
    answer = zkexecctl("forget", group.base, "m1")

    assert (answer.status, answer.out) == (1, "")
    assert one_line(answer.err).startswith(f"zkexecctl: {group.base}: m1 is alive")
    is_known = "will end its turn itself" in answer.err
    advice = f"to end it: zkexecctl forget --force {group.base} m1\n"
    assert (is_known, answer.err.endswith(advice)) == (
        phase != "running",
        phase == "running",
    )
    zkexecctl.does("forget", "--force", group.base, "m1")
    assert group.record().in_flight == {}


def test_no_member_is_alive(group: Group, zkexecctl: Zkexecctl) -> None:
    """A restart or a retry of a group without members promises nothing of members."""
    group.write(FAILED)
    assert "no member is alive" in zkexecctl.does(*command("restart", group.base)).out
    assert "no member is alive" in zkexecctl.does(*command("retry", group.base)).out


def test_only_the_last_ten_operations_are_kept(group: Group, zkexecctl: Zkexecctl) -> None:
    """A record does not grow with the operations of operators."""
    for number in range(11):
        zkexecctl.does("restart", group.base, f"--reason={number}")

    assert [audit_entry.reason for audit_entry in group.record().audit] == [
        str(n) for n in range(1, 11)
    ]


BY_ANN = r"by ann@hill since 2020-09-1. \S+ \S+: lunch"
APPROVED = (AuditEntry("approve", "eve", "fine", "t1", at=THEN),)
RETRIED = (AuditEntry("retry", "ann@hill", "", "t1", at=THEN),)
EARLIER = (
    AuditEntry("resume", "ann@hill", "back", "t1", at=THEN),
    AuditEntry("forget", "eve", "burnt", "t2", "m1", at=THEN),
)


@pytest.mark.parametrize(
    ("words", "before", "said"),
    [
        (["pause"], PAUSED, f"already paused {BY_ANN}"),
        (["retry"], replace(FAILED, paused=PAUSED.paused), f"paused {BY_ANN}; resume it first"),
        (["restart"], PAUSED, f"paused {BY_ANN}; resume it first"),
        (["resume"], RolloutRecord(), "not paused by an operator"),
        (
            ["resume"],
            replace(FAILED, audit=EARLIER),
            (
                r"not paused by an operator since ann@hill \(2020-.*\) has resumed it; "
                r"version d1 failed on m1 \(exit status 3\): push other content, or retry"
            ),
        ),
        (["approve"], RolloutRecord(), "not held"),
        (["approve"], replace(FLYING, audit=APPROVED), r"not held since eve \(2020-.*\) has .*"),
        (["approve", "--hold=1"], HELD, "held after 2 members by ann@hill since .* --hold=N, .*"),
        (
            ["approve", "--hold=2"],
            HELD,
            "it is 2 already: held after 2 members .* larger --hold=N, .*",
        ),
        (["retry"], FLYING, "no version has failed that could be tried again"),
        (
            ["retry"],
            replace(FLYING, audit=RETRIED),
            (
                r"no version has failed that could be tried again; ann@hill \(2020-.*\) has "
                "requested a retry"
            ),
        ),
        (
            ["retry"],
            replace(FLYING, audit=(*RETRIED, *EARLIER)),
            "no version has failed that could be tried again",
        ),
        (
            ["retry"],
            RolloutRecord(versions={**CRASH, "d2": VersionState(6, "s", known_good=True, at=THEN)}),
            "no version has failed that could be tried again",
        ),
        (["forget", "m2"], FLYING, "m2 has no turn; in flight: m1"),
        (["forget", "m2"], RolloutRecord(), "m2 has no turn; in flight: no member"),
        (["forget", "m1"], replace(PAUSED, audit=EARLIER), r".*; eve \(2020-.*\) has forgotten it"),
        (["forget", "m1"], FLYING, "m1 is alive and will end its turn itself: add --force .*"),
        (
            ["forget", "m1"],
            FAILED,
            (
                "m1 is alive, has failed, and keeps its turn until a newer push or a retry "
                "succeeds on it: add --force .*"
            ),
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_what_makes_no_sense_is_refused(
    group: Group, zkexecctl: Zkexecctl, words: list[str], before: RolloutRecord, said: str
) -> None:
    """In the wrong state an operation prints one line, exits with 1, and changes nothing."""
    group.write(before)
    group.live(["m1"])
    znodes = group.znodes()
    operation, *rest = words
    answer = zkexecctl(operation, group.base, *rest, WHY)

    assert (answer.status, answer.out) == (1, "")
    assert re.fullmatch(f"zkexecctl: {group.base}: {said}", one_line(answer.err))
    assert group.znodes() == znodes


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("junk", "why"),
    [
        (b"{", "the record is no valid JSON"),
        (b"\xff\x1b[2J", "the record is no valid JSON"),
        (b"[]", "expected a JSON object as the record"),
        (b'{"format":3}', r"the record was written by a newer zkexec \(format 3\)"),
        (b'{"format":2,"in_flight":{}}', "expected a JSON object as 'versions' of the record"),
    ],
)
def test_junk_in_the_record(
    group: Group, zkexecctl: Zkexecctl, operation: str, junk: bytes, why: str
) -> None:
    """What is no record is never written over: one line names the znode and what is wrong."""
    group.client.set(group.state, junk)
    znodes = group.znodes()
    answer = zkexecctl(*command(operation, group.base))

    assert (answer.status, answer.out) == (125, "")
    assert re.fullmatch(f"zkexecctl: {group.state}: {why}", one_line(answer.err))
    assert group.znodes() == znodes


def test_a_record_that_no_server_would_take(group: Group, zkexecctl: Zkexecctl) -> None:
    """An operation for which the record has no room is refused before it is sent."""
    group.write(RolloutRecord(versions={"d": VersionState(1, "s" * 999_700, at=THEN)}))
    znodes = group.znodes()
    answer = zkexecctl("pause", group.base, WHY)

    assert (answer.status, answer.out) == (125, "")
    said = one_line(answer.err)
    assert re.fullmatch(f"zkexecctl: {group.state}: would take 1000... bytes, more than .*", said)
    assert group.znodes() == znodes


def test_a_node_that_lasts_is_no_sign_of_life(group: Group, zkexecctl: Zkexecctl) -> None:
    """A member whose node belongs to no session, as after a restore, can be forgotten."""
    group.write(FLYING)
    group.client.create(f"{group.base}/members/m1", b"")

    assert zkexecctl("forget", group.base, "m1", WHY).status == 0
    assert group.record().in_flight == {}


@pytest.mark.parametrize("asked", [b"x" * 990_000, b"\xff\xfe rubbish", b"{}"])
def test_rubbish_in_the_znode_of_restarts(group: Group, zkexecctl: Zkexecctl, asked: bytes) -> None:
    """A retry replaces the rubbish, and requests no restart, however long the rubbish is."""
    group.write(FAILED)
    group.client.set(group.restart, asked)

    assert zkexecctl("retry", group.base, WHY).status == 0
    found = group.client.get(group.restart)[0]
    assert (restart_name(asked), restart_name(found)) == (None, "")
    assert len(found) < 100


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_such_group(
    zkexecctl: Zkexecctl, client: KazooClient, root: str, operation: str
) -> None:
    """A NAME without a group is an error with the missing znode, and nothing is created."""
    answer = zkexecctl(*command(operation, f"{root}/gone"))

    assert (answer.status, answer.out) == (1, "")
    said = f"zkexecctl: there is no group {root}/gone: {root}/gone/state is missing"
    assert one_line(answer.err) == said
    assert not client.get_children(root)


HOSTILE = "\x1b[2J\x9b31m\r\n\u202eevil\x07\ud800"
EVIL = RolloutRecord(
    in_flight={"m\u202e1": InFlightEntry("t", "d\u202e0", 5, EntryPhase.FAILED, THEN)},
    versions={"d\u202e0": VersionState(5, "s", failed_by=("m\u202e1",), reason=HOSTILE, at=THEN)},
    paused=Pause(HOSTILE, HOSTILE, THEN),
    audit=(
        AuditEntry("resume", HOSTILE, HOSTILE, "t", at=THEN),
        AuditEntry("forget", HOSTILE, HOSTILE, "t", "m1", at=THEN),
    ),
)


def test_what_others_wrote_does_not_reach_the_terminal_raw(
    group: Group, zkexecctl: Zkexecctl
) -> None:
    """The texts of a record are shown with control characters escaped."""
    group.write(EVIL)
    said = [zkexecctl("pause", group.base, WHY).err]
    said.append(zkexecctl("restart", group.base).err)
    said.append(zkexecctl("resume", group.base).out)
    said.append(zkexecctl("resume", group.base).err)
    said.append(zkexecctl("retry", group.base).out)
    said.append(zkexecctl("forget", group.base, "m1").err)
    said.append(zkexecctl("pause", group.base, WHY).out)

    assert [text for text in said if not re.search(r"\\x1b\[|\\u202e", one_line(text))] == []
    assert len(said) == 7


ODD = "/ärger $(id) 'x' %s {}"


@pytest.mark.parametrize("chroot", ["", "/a ch-root/of ours"])
@pytest.mark.parametrize("is_path", [True, False])
def test_odd_names_and_chroots(
    zookeeper: Server, client: KazooClient, root: str, chroot: str, is_path: bool
) -> None:
    """NAME can be a path and have odd characters, members too; a chroot is never shown."""
    lock = f"{root}{ODD}" if is_path else f"{root[1:]}{ODD[1:]}"
    below = chroot and root + chroot
    group = Group.named(client, lock, below)
    member = "web 3'\\$(id)ü"
    group.write(RolloutRecord(in_flight={member: FLIGHT["m1"]}))
    words = [f"--cluster={zookeeper.hosts}{below}", "--by=bob", lock]
    done = subprocess.run(
        [*ZKEXECCTL, "forget", *words, member], capture_output=True, check=False, timeout=60.0
    )
    again = subprocess.run(
        [*ZKEXECCTL, "forget", *words, "m1"], capture_output=True, check=False, timeout=60.0
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert one_line(done.stdout.decode()).startswith(f"{lock}: the turn of {member} is reclaimed (")
    assert (again.returncode, again.stdout) == (1, b"")
    assert again.stderr.decode() == (f"zkexecctl: {lock}: m1 has no turn; in flight: no member\n")
    assert group.audit_entry("forget").member == member


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_identity_that_may_only_read(
    zookeeper: Server, root: str, tmp_path: Path, operation: str
) -> None:
    """Without the permission to write, one line names the znode, and nothing is changed."""
    with known(zookeeper.hosts, US) as owner:
        group = Group(owner, f"{root}/g", [OURS, *READ_ACL_UNSAFE])
        group.write(OPERATIONS[operation][0])
        znodes = group.znodes()
        everybody, stranger = Zkexecctl(zookeeper.hosts, tmp_path), us(zookeeper, tmp_path, "wrong")
        for who in (everybody, stranger):
            answer = who(*command(operation, group.base))
            assert (answer.status, answer.out) == (125, "")
            why = "the cluster gives no permission for this"
            assert one_line(answer.err) == f"zkexecctl: {group.state}: {why}"
            assert SECRET not in answer.err
        assert group.znodes() == znodes

        us(zookeeper, tmp_path).does(*command(operation, group.base))
        owner.set_acls(group.state, [OURS])
        znodes = group.znodes()
        answer = everybody(*command(operation, group.base))
        assert (answer.status, one_line(answer.err)) == (125, f"zkexecctl: {group.state}: {why}")
        assert group.znodes() == znodes


def test_a_forbidden_znode_of_restarts(
    zookeeper: Server, client: KazooClient, root: str, zkexecctl: Zkexecctl
) -> None:
    """If the znode of restarts may not be read, only the operations that need it are refused."""
    group = Group(client, root)
    group.write(FAILED)
    client.set_acls(group.restart, [OURS])
    for operation in ("restart", "retry"):
        answer = zkexecctl(*command(operation, group.base))
        assert answer.status == 125
        assert one_line(answer.err).startswith(f"zkexecctl: {group.restart}: the cluster gives no")
    assert group.record() == FAILED

    zkexecctl.does(*command("pause", group.base))
    zkexecctl.does(*command("resume", group.base))
    zkexecctl.does(*command("forget", group.base))
    with known(zookeeper.hosts, US) as owner:
        owner.set_acls(group.restart, OPEN_ACL_UNSAFE)


def test_a_missing_znode_of_restarts(
    zookeeper: Server, root: str, zkexecctl: Zkexecctl, tmp_path: Path
) -> None:
    """It is created with the ACL of the record, or not at all if this cannot be read."""
    theirs = make_acl("world", "anyone", read=True, write=True, create=True, delete=True)
    with known(zookeeper.hosts, US) as owner:
        group = Group(owner, f"{root}/g", [OURS, theirs])
        owner.delete(group.restart)
        znodes = group.znodes()
        answer = zkexecctl(*command("restart", group.base))
        assert (answer.status, answer.out) == (125, "")
        assert one_line(answer.err).startswith(f"zkexecctl: {group.restart}: is missing, and needs")
        assert group.znodes() == znodes

        us(zookeeper, tmp_path).does(*command("restart", group.base))
        assert owner.get_acls(group.restart)[0] == owner.get_acls(group.state)[0] == [OURS, theirs]


def test_a_lost_turn_has_the_acl_of_the_record_if_that_can_be_read(
    zookeeper: Server, root: str, zkexecctl: Zkexecctl, tmp_path: Path
) -> None:
    """An operator who sees no keys can forget a member as well; all may read that lost turn."""
    theirs = make_acl("world", "anyone", read=True, write=True, create=True, delete=True)
    with known(zookeeper.hosts, US) as owner:
        group = Group(owner, f"{root}/g", [OURS, theirs])
        lost = f"{group.base}/versions/d1/lost.{FLIGHT['m1'].token}"
        for who, acl in ((us(zookeeper, tmp_path), [OURS, theirs]), (zkexecctl, READ_ACL_UNSAFE)):
            group.write(FLYING)
            who.does(*command("forget", group.base))

            assert owner.get_acls(lost)[0] == acl
            assert group.record().versions["d1"].lost_turns == 1
            assert group.record().in_flight == {}
