"""The stories: each tells one situation, and everything that is done in it.

`REGENERATE=1 pytest test/scenarios` writes the outcomes anew; read the difference afterwards.
"""

import difflib
import os
from pathlib import Path

import pytest

from scenarios.script import play

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


def test_there_are_stories() -> None:
    """The stories are found, and each says in words what it shows."""
    assert STORIES
    assert [story.name for story in STORIES if not story.read_text().startswith("# ")] == []


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_story_goes_as_it_is_told(story: Path) -> None:
    """The core does in each situation what the story tells, action by action."""
    told = story.read_text(encoding="utf-8")
    played, _ = play(told)
    if os.environ.get("REGENERATE"):
        story.write_text(played, encoding="utf-8")
        return
    difference = difflib.unified_diff(
        told.splitlines(), played.splitlines(), f"{story.name} as told", "as played", lineterm=""
    )
    assert played == told, "\n" + "\n".join(difference)
