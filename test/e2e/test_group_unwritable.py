"""New files that turn out to be unwritable only after the old command was stopped for them.

The command itself sees to that: asked to end, it leaves a folder where its file was; started once
more, it clears that away again.
"""

import json
from pathlib import Path

import pytest

from e2e.scene import Running, Scene, shell
from e2e.stage import is_alive, lines, until

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

    def __init__(self, scene: Scene) -> None:
        """Start it on the content "one", and wait for its command."""
        self.births = scene.stage.folder / "births"
        self.lock = f"{scene.root}/group"
        self._scene = scene
        command = shell("sh", "-c", STUBBORN, self.births, scene.file("a"))
        scene.create(a=b"one")
        options = [f"--lock={self.lock}", "--min-healthy=5", f"--exec={command}"]
        self.run: Running = scene.start(*scene.mirrors("a"), *options)
        self.born(1)

    def say(self, word: str) -> None:
        """Tell the second life of the command to go on, or to fail."""
        Path(f"{self.births}.{word}").touch()

    def born(self, count: int) -> int:
        """Wait for the command's start of this number; return its pid."""
        until(lambda: len(lines(self.births)) >= count, f"{count} births")
        return int(lines(self.births)[count - 1].split()[1])

    def is_idle(self) -> bool:
        """Whether the record has nobody in flight."""
        content, _ = self._scene.client.get(f"{self.lock}/state")
        return not json.loads(content)["in_flight"]


@pytest.fixture
def member(scene: Scene) -> Member:
    """A member that could not put the content "two" in place, and has its old command again."""
    one = Member(scene)
    scene.set(a=b"two")
    one.run.line(CANNOT_WRITE)
    one.born(2)
    return one


def test_an_undone_change_starts_the_command_that_has_ended(scene: Scene, member: Member) -> None:
    """Where the old command has ended, an undo starts it at once, and TERM still ends zkexec."""
    member.say("fail")
    member.say("go")
    second = member.born(2)
    until(lambda: not is_alive(second), "the old command has ended")
    member.run.line(r"the old command does not run any more \(exit status 4\)")
    scene.set(a=b"one")
    third = member.born(3)

    until(member.is_idle, "the turn is given back")
    assert is_alive(third)
    assert scene.content("a") == b"one"
    assert member.run.end() == -15
    assert not is_alive(third)


def test_an_undone_change_leaves_the_old_command_alone(scene: Scene, member: Member) -> None:
    """Where the old command runs, an undo is all it takes: it is never stopped for what it runs."""
    scene.set(a=b"one")
    until(member.is_idle, "the turn is given back")
    member.say("go")

    # Longer than the pause after which unwritable files would be tried again.
    with pytest.raises(AssertionError, match="in vain"):
        member.run.line("restarting", count=2, patience_s=13)
    assert len(lines(member.births)) == 2
    assert is_alive(member.born(2))
    assert member.run.end() == -15
