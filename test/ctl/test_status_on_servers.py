"""`zkexecctl status` on real servers: what comes from znodes, the list, and a terminal."""

import re
import sys

from support.group_samples import (
    NEW,
    START,
    GroupZnodes,
    entry,
    failed_on,
    of_two_scopes,
    parsed,
    paused,
)
from support.sandbox import Sandbox
from support.screen import Screen
from support.terminal import Terminal
from zkexec.core.rollout.record import AuditEntry, EntryPhase, RolloutRecord

STATUS = (sys.executable, "-m", "zkexec.ctl", "status")
REFUSED = (
    'exit status 1: nginx: [emerg] unknown directive "foo" in '
    "/etc/nginx/conf.d/the-second-site.example.conf:12"
)


def status(sandbox: Sandbox, *words: str) -> tuple[int, str, str]:
    """Run `zkexecctl status` to its end: exit status, stdout, stderr."""
    code, out, err = sandbox.run(*STATUS, *words)
    return code, out.decode(), err.decode()


def test_a_step_goes_through_the_znodes(group: GroupZnodes, sandbox: Sandbox) -> None:
    """What a member and the record contain about a step is what a status shows."""
    group.decide(
        RolloutRecord(
            versions=failed_on("m1", zxid=group.zxid, reason=REFUSED, step="check"),
            in_flight={"m1": entry(EntryPhase.FAILED)},
        )
    )
    group.show("m1", phase="failed", wanted=NEW, reason=REFUSED, step="check")

    _, text, _ = status(sandbox, group.lock)
    _, line, _ = status(sandbox, group.lock, "--json")
    (found,) = parsed(line)["groups"]

    assert re.search(
        rf"failed in its check on m1 \(host-of-m1\) at .*: {re.escape(REFUSED)}\n", text
    )
    # No history has what was there before.
    assert f"zkexecctl push {group.path}=FILE --lock {group.lock} --wait\n" in text
    assert found["members"][0]["step"] == "check"
    assert found["progress"][0]["failure"]["step"] == "check"


def test_a_large_group_is_shown(group: GroupZnodes, sandbox: Sandbox) -> None:
    """Of two hundred members the one that needs attention is shown, with --all and JSON all."""
    for number in range(200):
        group.show(f"m{number}")
    group.show("m150", health="unhealthy")

    _, few, _ = status(sandbox, group.lock)
    rows = [line.split()[0] for line in few.splitlines() if line.startswith("m")]
    assert rows[-1:] == ["m150"]
    assert "... and 199 more; --all shows all members" in few
    code, out, err = status(sandbox, group.lock, "--all")
    _, as_json, _ = status(sandbox, group.lock, "--json")

    assert (code, err) == (0, "")
    assert re.match(rf"{group.lock}: 200 of 200 updated to a{{12}}, 1 unavailable  \[#+\]", out)
    assert sum(line.startswith("m") for line in out.splitlines()) == 200
    (shown,) = parsed(as_json)["groups"]
    assert (shown["up_to_date_count"], len(shown["members"])) == (200, 200)


def test_all_groups_are_listed(group: GroupZnodes, sandbox: Sandbox) -> None:
    """Without a name there is a line for the group, among others."""
    group.show("m1", phase="waiting", wanted=NEW)
    group.queue("m1")

    code, out, _ = status(sandbox)
    _, as_json, _ = status(sandbox, "--json")

    assert code == 0
    assert re.search(rf"^{group.lock} +rolling +1 +- +1 ", out, re.MULTILINE)
    assert group.lock in [group["name"] for group in parsed(as_json)["groups"]]

    group.decide(
        RolloutRecord(versions=of_two_scopes(), in_flight={"m1": entry(EntryPhase.FAILED)})
    )
    _, out, _ = status(sandbox)
    assert re.search(rf"^{group.lock} +failed ", out, re.MULTILINE)


def test_what_cannot_be_understood_is_shown(group: GroupZnodes, sandbox: Sandbox) -> None:
    """Junk in the record or in a member status is part of the output."""
    group.show("m1")
    group.write("m2", b"\x00junk")
    group.client.set(f"{group.base}/state", b'{"format": 99}')

    code, out, err = status(sandbox, group.lock)

    assert (code, err) == (0, "")
    assert out.startswith(f"{group.lock}: {group.base}/state: the record was written by a newer")
    assert re.search(r"^m2 .*unreadable .* the member status is no valid JSON$", out, re.MULTILINE)


def test_a_terminal_gets_colours_and_is_not_overfilled(
    group: GroupZnodes, sandbox: Sandbox
) -> None:
    """On a terminal there are colours, and the table keeps to the width."""
    group.show("m1", phase="failed", reason="because " * 40)
    process = sandbox.start(*STATUS, group.lock, terminal=Terminal(24, 100, "xterm-256color"))
    watched = Screen(process)

    assert process.wait() == 0
    assert "\x1b[1;31mfailed\x1b[0m" in process.stdout.text
    assert any(line.startswith("m1 ") and line.endswith("...") for line in watched.lines)


def test_nothing_hidden_reaches_a_terminal(group: GroupZnodes, sandbox: Sandbox) -> None:
    """Texts of members and operators are shown with control characters escaped."""
    evil = "\x1b[2J\x07\u202eevil"
    group.show("m1", phase=f"running{evil}", reason=evil, health=evil)
    group.decide(
        RolloutRecord(
            paused=paused(), audit=(AuditEntry(f"pause{evil}", evil, evil, "token", "", START),)
        )
    )

    for words in ([group.lock], [], [group.lock, "--json"]):
        _, out, _ = status(sandbox, *words)
        assert not {"\x1b", "\x07", "\u202e"} & set(out)
