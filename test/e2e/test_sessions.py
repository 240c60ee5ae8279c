"""Every session that a page shows works as it is typed, and prints what the page shows.

`REGENERATE=1` writes into the pages what was printed instead; read the diff before you commit it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sandbox import Sandbox
from support.session_blocks import blocks
from support.session_player import REGENERATE, ROOT, Player, Reader, regenerated
from support.zookeeper import Port, Server

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if blocks(page.read_text(encoding="utf-8"))
]


@pytest.fixture
def reader(sandbox: Sandbox, zookeeper: Server, root: str) -> Reader:
    """A reader with a ZooKeeper whose root is empty."""
    return Reader(sandbox, zookeeper.port, zookeeper.hosts + root)


@pytest.fixture
def reader_without_zookeeper(sandbox: Sandbox) -> Iterator[Reader]:
    """A reader who starts a ZooKeeper by `zkexecctl dev` first."""
    port = Port()
    yield Reader(sandbox, port.number, f"localhost:{port.number}")
    port.release()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_sessions_work_as_shown(page: Path, request: pytest.FixtureRequest) -> None:
    """The blocks of a page, typed one after the other, do what the page shows."""
    text = page.read_text(encoding="utf-8")
    starts_server = "\n$ zkexecctl dev" in text
    reader = request.getfixturevalue("reader_without_zookeeper" if starts_server else "reader")
    player, played = Player(reader), blocks(text)
    try:
        wrong = [difference for block in played for difference in player.play(block)]
    finally:
        player.close()
    if REGENERATE:
        page.write_text(regenerated(text, played), encoding="utf-8")

    differences = "\n\n".join(wrong)
    assert not wrong, f"{page.name}: REGENERATE=1 writes what appears now\n{differences}"
