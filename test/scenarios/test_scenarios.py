"""Play the stories: each is one situation, and everything that the core does in it.

`REGENERATE=1 pytest test/scenarios` writes the outcomes again; read the diff afterwards.
"""

import difflib
import os
from pathlib import Path

import pytest

from scenarios.script import play

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


def test_there_are_stories() -> None:
    """The stories are found, and each begins with a line that describes it."""
    assert STORIES
    assert [story.name for story in STORIES if not story.read_text().startswith("# ")] == []


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_story_has_its_outcome(story: Path) -> None:
    """The core does in each situation what the story shows, action by action."""
    expected = story.read_text(encoding="utf-8")
    played, _ = play(expected)
    if os.environ.get("REGENERATE"):
        story.write_text(played, encoding="utf-8")
        return
    diff = difflib.unified_diff(
        expected.splitlines(),
        played.splitlines(),
        f"{story.name} as written",
        "as played",
        lineterm="",
    )
    assert played == expected, "\n" + "\n".join(diff)
