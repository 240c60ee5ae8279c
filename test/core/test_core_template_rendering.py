"""When templates are rendered, and when the last result counts again."""

import pytest

from core.readings import tree_of, written_before
from zkexec.core.actions import RenderTemplates
from zkexec.core.events import RenderFinished, ZnodesRead
from zkexec.core.input_options import InputOptions, Template
from zkexec.core.production import Reading
from zkexec.core.rendering_result import (
    NotRendered,
    Rendered,
    RenderFailed,
    RenderResult,
    ValueMissing,
)
from zkexec.core.snapshot import Znode
from zkexec.core.template_rendering import TemplateRendering

INPUTS = InputOptions(
    templates=(Template("/x", "/text"), Template("/y", file="y.j2", text=b"local")), values=("/v",)
)
RENDERED = Rendered({"/x": b"1", "/y": b"2"})


def read(number: int, value: bytes = b"1", *, text: bytes = b"text", zxid: int = 1) -> ZnodesRead:
    """Return a read of the text of one template, and of a tree with one value."""
    znodes = {"/text": Znode("/text", text, 1)}
    return ZnodesRead(number, znodes, trees={"/v": tree_of("/v", {"a": value}, zxid=zxid)})


def reading_in(event: ZnodesRead) -> Reading:
    """Return what was read."""
    return Reading(event.znodes, event.trees)


class _Renderer:
    """A rendering, and what becomes of reads."""

    def __init__(self) -> None:
        self.rendering = TemplateRendering(INPUTS)

    def start(self, event: ZnodesRead) -> RenderTemplates:
        return self.rendering.start(event, reading_in(event))

    def render(self, event: ZnodesRead, result: RenderResult) -> None:
        """Render a read from its beginning to its end."""
        begun = self.start(event)
        assert self.rendering.is_running
        assert self.rendering.finished(RenderFinished(begun.number, result)) is event
        assert not self.rendering.is_running

    def result_of(self, event: ZnodesRead) -> RenderResult | None:
        return self.rendering.result_of(reading_in(event))


def test_what_is_rendered() -> None:
    """A rendering gets the texts of all templates and what they can read, and shows nothing."""
    action = _Renderer().start(read(1, b"secret value", text=b"secret text"))
    assert action == RenderTemplates(
        1,
        [("/x", "/text", b"secret text"), ("/y", "y.j2", b"local")],
        {"/v": {"": b"", "a": b"secret value"}},
    )
    assert "secret" not in repr(action)


def test_equal_inputs_are_rendered_once() -> None:
    """The result counts for each later read of the same texts and values, whatever its zxid."""
    renderer = _Renderer()
    assert renderer.result_of(read(1)) is None
    renderer.render(read(1), RENDERED)
    assert renderer.result_of(read(2, zxid=9)) is RENDERED
    assert renderer.result_of(read(2, b"2")) is None
    assert renderer.result_of(read(2, text=b"other")) is None
    assert renderer.result_of(read(3)) is RENDERED


def test_only_the_last_result_is_kept() -> None:
    """Older inputs that come back are rendered again."""
    renderer = _Renderer()
    renderer.render(read(1), RENDERED)
    renderer.render(read(2, b"2"), RENDERED)
    assert renderer.result_of(read(3)) is None
    assert renderer.result_of(read(3, b"2")) is RENDERED


@pytest.mark.parametrize(("zxid", "is_again"), [(1, False), (2, False), (3, True)])
def test_what_failed_is_rendered_again_once_it_is_written_again(zxid: int, is_again: bool) -> None:
    """An error can be that of a busy host: the same inputs with a greater zxid are another try."""
    renderer, failed = _Renderer(), RenderFailed("/text: line 1: took longer than 10 s")
    renderer.render(read(1, zxid=2), failed)
    assert renderer.result_of(read(2, zxid=zxid)) is (None if is_again else failed)


def test_a_removal_writes_nothing_again() -> None:
    """What failed is not rendered again because something was removed, or is ephemeral."""
    renderer, failed = _Renderer(), RenderFailed("/text: line 1: error")
    renderer.render(read(1, zxid=2), failed)
    tree = written_before(tree_of("/v", {"a": b"1"}, zxid=9), 2)
    removed = ZnodesRead(2, read(1).znodes, trees={"/v": tree})
    assert renderer.result_of(removed) is failed


def test_a_missing_value_is_not_rendered_again() -> None:
    """It does not exist as long as the tree is the same, whatever was written elsewhere."""
    renderer, missing = _Renderer(), ValueMissing("/v/none")
    renderer.render(read(1, zxid=2), missing)
    assert renderer.result_of(read(2, zxid=3)) is missing


def test_trouble_of_this_host_is_no_result() -> None:
    """The same inputs are rendered again, and the result before counts no more."""
    renderer = _Renderer()
    renderer.render(read(1), RENDERED)
    renderer.render(read(2, b"2"), NotRendered("no process"))
    assert renderer.result_of(read(3, b"2")) is None
    assert renderer.result_of(read(3)) is None


def test_a_result_of_another_rendering_is_none() -> None:
    """A result that no rendering waits for, or with another number, changes nothing."""
    renderer = _Renderer()
    assert renderer.rendering.finished(RenderFinished(0, RENDERED)) is None
    begun = renderer.start(read(1))
    assert renderer.rendering.finished(RenderFinished(begun.number + 1, RENDERED)) is None
    assert renderer.rendering.is_running
    assert renderer.rendering.finished(RenderFinished(begun.number, RENDERED)) is not None
    assert renderer.rendering.finished(RenderFinished(begun.number, RENDERED)) is None


def test_values_and_texts_are_not_mixed_up() -> None:
    """What moves from one path, tree or text to another is something else."""
    inputs = InputOptions(
        templates=(Template("/x", "/one"), Template("/y", "/two")), values=("/v", "/w")
    )

    def read_of(texts: tuple[bytes, bytes], *contents: dict[str, bytes]) -> Reading:
        names = ("/one", "/two")
        znodes = {name: Znode(name, text, 1) for name, text in zip(names, texts, strict=True)}
        roots = ("/v", "/w")
        return Reading(
            znodes, {root: tree_of(root, each) for root, each in zip(roots, contents, strict=True)}
        )

    one = read_of((b"1", b"2"), {"a": b"1"}, {"b": b"2"})
    rendering = TemplateRendering(inputs)
    rendering.start(ZnodesRead(1, {}), one)
    rendering.finished(RenderFinished(1, RENDERED))
    assert rendering.result_of(one) is RENDERED
    for other in (
        read_of((b"2", b"1"), {"a": b"1"}, {"b": b"2"}),
        read_of((b"1", b"2"), {"b": b"2"}, {"a": b"1"}),
        read_of((b"1", b"2"), {"a": b"2"}, {"b": b"1"}),
        read_of((b"1", b"2"), {"a": b"1"}, {"b": b"2", "c": b""}),
    ):
        assert rendering.result_of(other) is None
