"""Render small templates in the process of the test, with a tree of values that has a secret."""

from zkexec.core.rendering_result import Rendered, RenderFailed, RenderResult, ValueMissing
from zkexec.templates.host_facts import HostFacts
from zkexec.templates.render_request import RenderLimits, RenderRequest, TemplateText
from zkexec.templates.rendering import render

SECRET = "hunter2"  # noqa: S105 -- it is one for the tests
NAME = "/t/app.conf"
FACTS = HostFacts("h1", "m1", "web", 4, 2**30, {"HOME": "/root", "B": "2", "A": "1"})
TREE = {
    "": b"root",
    "a": b"A",
    "empty": b"",
    "b/c": b"C",
    "b/d/e": b"E",
    "b": b"",
    "b/d": b"",
    "password": SECRET.encode(),
    "raw": b" x \n\n",
    "binary": b"\xff",
    "json": b'{"z": 1, "a": [1, "\xc3\xa9"]}',
    "nan": b"NaN",
    "yaml": b"z: 1\na:\n- x\n- 2001-01-01\n",
}
TEXTS = {
    "inc": b"included {{ zk('/v/a') }}\n",
    "bad": b"x\n{{ nope }}",
    "base": b"[{% block x %}base{% endblock %}]",
    "macros": b"{% macro f(x) %}<{{ x }}>{% endmacro %}",
    "again": b"{% include '/texts/again' %}",
}
VALUES = {"/v": TREE, "/texts": TEXTS}


def outcome(
    text: str,
    values: dict[str, dict[str, bytes]] = VALUES,
    facts: HostFacts = FACTS,
    limits: RenderLimits = RenderLimits(),  # noqa: B008 -- a value, which nothing changes
) -> RenderResult:
    """How the rendering of one template ends."""
    template = TemplateText("/etc/app.conf", NAME, text.encode("utf-8", "surrogatepass"))
    return render(RenderRequest([template], values, facts, limits), lambda _: None)


def rendered(text: str, values: dict[str, dict[str, bytes]] = VALUES) -> str:
    """What a template renders."""
    result = outcome(text, values)
    assert isinstance(result, Rendered), result
    [content] = result.files.values()
    return content.decode()


def reason(text: str) -> str:
    """Why a template fails, without its name; the path if a znode is missing."""
    result = outcome(text)
    if isinstance(result, ValueMissing):
        return f"missing: {result.path}"
    assert isinstance(result, RenderFailed), result
    return result.reason.removeprefix(f"{NAME}: ").removeprefix("line 1: ")
