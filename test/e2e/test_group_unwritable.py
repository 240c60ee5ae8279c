"""New files that turn out to be unwritable only after the old command was stopped for them.

The command itself sees to that: asked to end, it leaves a folder where its file was; started once
more, it clears that away again.
"""

from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.processes import is_alive
from support.program import Program
from support.stored_group import StoredGroup
from support.waiting import lines, until

STUBBORN = """
births=$0 file=$1
echo "born $$" >>"$births"
case $(wc -l <"$births") in
1)
    trap 'mv "$file" "$file.kept"; mkdir "$file"; exit 0' TERM
    while :; do sleep 0.1; done ;;
2)
    rmdir "$file"; mv "$file.kept" "$file"
    until [ -e "$births.go" ]; do sleep 0.1; done
    [ -e "$births.fail" ] && exit 4 ;;
esac
exec sleep 1000
"""
"""Its second life lasts until it is told to go on, and ends there if it is told to fail."""

CANNOT_WRITE = "cannot write .*/a: Is a directory"


class Member:
    """One zkexec of a group of its own, and the births of its command."""

    def __init__(self, host: MirroredHost) -> None:
        """Start it on the content "one", and wait for its command."""
        self.births = host.sandbox.folder / "births"
        self.lock = f"{host.root}/group"
        self._host = host
        command = quoted("sh", "-c", STUBBORN, self.births, host.file("a"))
        host.create(a=b"one")
        options = [f"--lock={self.lock}", "--min-healthy=5", f"--exec={command}"]
        self.run: Program = host.start(*host.mirrors("a"), *options)
        self.born(1)

    def say(self, word: str) -> None:
        """Tell the second life of the command to go on, or to fail."""
        Path(f"{self.births}.{word}").touch()

    def born(self, count: int) -> int:
        """Wait for the command's start of this number; return its pid."""
        until(lambda: len(lines(self.births)) >= count, f"{count} births")
        return int(lines(self.births)[count - 1].split()[1])

    def is_idle(self) -> bool:
        """Whether no member is in flight."""
        return not StoredGroup(self._host.client, self.lock).in_flight()


@pytest.fixture
def member(host: MirroredHost) -> Member:
    """A member that could not put the content "two" in place, and has its old command again."""
    one = Member(host)
    host.set(a=b"two")
    one.run.until(CANNOT_WRITE)
    one.born(2)
    return one


def test_an_undone_change_starts_the_command_that_has_ended(
    host: MirroredHost, member: Member
) -> None:
    """Where the old command has ended, an undo starts it at once, and TERM still ends zkexec."""
    member.say("fail")
    member.say("go")
    second = member.born(2)
    until(lambda: not is_alive(second), "the old command has ended")
    member.run.until(r"the old command does not run any more \(exit status 4\)")
    host.set(a=b"one")
    third = member.born(3)

    until(member.is_idle, "the turn is given back")
    assert is_alive(third)
    assert host.content("a") == b"one"
    assert member.run.end() == -15
    assert not is_alive(third)


def test_an_undone_change_leaves_the_old_command_alone(host: MirroredHost, member: Member) -> None:
    """Where the old command runs, an undo is all it takes: it is never stopped for what it runs."""
    host.set(a=b"one")
    until(member.is_idle, "the turn is given back")
    member.say("go")

    # Longer than the pause after which unwritable files would be tried again.
    with pytest.raises(AssertionError, match="not within"):
        member.run.until("restarting", count=2, deadline_s=13)
    assert len(lines(member.births)) == 2
    assert is_alive(member.born(2))
    assert member.run.end() == -15
