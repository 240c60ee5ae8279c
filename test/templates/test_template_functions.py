"""What templates read: znodes, other templates, and the facts of the host."""

import pytest

from templates.samples import FACTS, outcome, reason, rendered
from zkexec.core.rendering_result import Rendered, RenderFailed, ValueMissing
from zkexec.frozen import replace
from zkexec.templates.render_request import RenderLimits, RenderRequest, TemplateText
from zkexec.templates.rendering import render


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ zk('/v/a') }}", "A"),
        ("{{ zk('/v/a/') }}", "A"),
        ("{{ zk('/v') }}{{ zk('/v/') }}", "rootroot"),
        ("[{{ zk('/v/raw') }}]", "[ x \n\n]"),
        ("[{{ zk('/v/empty') }}]", "[]"),
        ("[{{ zk('/v/empty', 'd') }}]", "[]"),
        ("{{ zk('/v/none', 'd') }}{{ zk('/v/none', default=none) is none }}", "dTrue"),
        ("{{ exists('/v/a') }}{{ exists('/v/empty') }}{{ exists('/v/none') }}", "TrueTrueFalse"),
        ("{{ ls('/v/b') }}{{ ls('/v/a') }}{{ ls('/v/none') }}", "['c', 'd'][][]"),
        ("{{ tree('/v/b') }}", "{'c': 'C', 'd/e': 'E'}"),
        ("{{ tree('/v/none') }}{{ tree('/v/a') }}", "{}{}"),
        ("{{ tree('/texts', '/v/b')['c'] }}", "C"),
    ],
)
def test_functions_read_znodes(text: str, expected: str) -> None:
    """Contents are text with nothing stripped; names and trees are sorted; a slash may follow."""
    assert rendered(text) == expected


def test_a_later_tree_wins() -> None:
    """Trees are merged in the order given, and sorted afterwards."""
    values = {"/v": {"x/b": b"1", "x/c": b"1", "y/a": b"2", "y/b": b"2", "y/c": b""}}

    assert rendered("{{ tree('/v/x', '/v/y') }}", values=values) == "{'a': '2', 'b': '2', 'c': '1'}"
    assert rendered("{{ tree('/v/y', '/v/x').b }}", values=values) == "1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ zk('/v/none') }}", "missing: /v/none"),
        ("{{ zk('/v/none/') }}", "missing: /v/none"),
        ("{{ zk('/v/' ~ 'x') }}", "missing: a computed path below /v (/t/app.conf: line 1)"),
        ("{% include '/v/none' %}", "missing: /v/none"),
        ("{% include ['/v/none', '/v/other'] %}", "missing: /v/none"),
        ("{{ zk('/other/a') }}", "/other/a is not below a tree of --values"),
        ("{{ zk('/v2') }}", "/v2 is not below a tree of --values"),
        ("{{ exists('/') }}", "/ is not below a tree of --values"),
        ("{{ ls('/other') }}", "/other is not below a tree of --values"),
        ("{{ tree('/v/b', '/other') }}", "/other is not below a tree of --values"),
        ("{% include '/other/x' %}", "/other/x is not below a tree of --values"),
        ("{% include '/t/app.conf' %}", "/t/app.conf is not below a tree of --values"),
        ("{% include '/o/x' ignore missing %}", "/o/x is not below a tree of --values"),
        ("{% import '/other/x' as x %}", "/other/x is not below a tree of --values"),
        ("{% extends '/other/x' %}", "/other/x is not below a tree of --values"),
        ("{{ zk('v/a') }}", "v/a: a template needs a znode path that starts with /"),
        ("{{ zk(5) }}", "a path of a znode must be a text"),
        ("{{ zk('/v/binary') }}", "/v/binary is no UTF-8 text"),
        ("{{ tree('/v') }}", "/v/binary is no UTF-8 text"),
    ],
)
def test_paths_are_below_values(text: str, expected: str) -> None:
    """A missing znode is reported as such; any other wrong path is an error of the template."""
    assert reason(text) == expected


@pytest.mark.parametrize("path", ["/v/../t", "/v/./a", "/v//a", "/v/a//", "/v/\x01"])
def test_odd_paths_are_refused(path: str) -> None:
    """A path that no znode can have is an error, and no znode that could come into being."""
    assert "a template needs a znode path" in reason(f"{{{{ zk('{path}') }}}}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% include '/texts/inc' %}", "included A\n"),
        ("{% include '/v/none' ignore missing %}ok", "ok"),
        ("{% include ['/v/none', '/texts/inc'] %}", "included A\n"),
        ("{% extends '/texts/base' %}{% block x %}{{ super() }}+{% endblock %}", "[base+]"),
        ("{% import '/texts/macros' as m %}{{ m.f(1) }}", "<1>"),
        ("{% from '/texts/macros/' import f %}{{ f(2) }}", "<2>"),
    ],
)
def test_templates_use_others(text: str, expected: str) -> None:
    """`include`, `import` and `extends` take znodes below --values."""
    assert rendered(text) == expected


def test_facts_of_the_host() -> None:
    """The facts are there by their names; the environment is sorted, and one of it is an item."""
    text = "{{ hostname }} {{ member }} {{ lock }} {{ cpus }} {{ memory_bytes }} {{ env }}"

    assert rendered(text) == "h1 m1 web 4 1073741824 {'A': '1', 'B': '2', 'HOME': '/root'}"
    assert rendered("{{ env.A }}{{ env['B'] }}{{ env.get('C', 3) }}{{ 'C' in env }}") == "123False"
    assert reason("{{ env.C }}") == "this value lacks 'C', as attribute and as key"


def test_a_variable_that_is_no_text_fails_only_if_it_is_rendered() -> None:
    """Bytes of the environment that are no UTF-8 hurt no template that does not print them."""
    facts = replace(FACTS, environment={"A": "1", "B": "\udcff"})

    assert outcome("{{ env.A }}", facts=facts) == Rendered({"/etc/app.conf": b"1"})
    failed = outcome("{{ env.B }}", facts=facts)
    assert failed == RenderFailed("/t/app.conf: renders what UTF-8 has no form for")


def test_whitespace_is_that_of_the_template() -> None:
    """The newline behind a block is removed, the last one of the file stays, nothing is escaped."""
    text = "{% if true %}\n  a & <b>\n{% endif %}\n{{ '<' }}\n"

    assert rendered(text) == "  a & <b>\n<\n"


def test_templates_are_rendered_in_order() -> None:
    """Each target gets its text; of several errors the first is the result."""
    good = TemplateText("/a", "@a", b"{{ 1 }}")
    other = TemplateText("/b", "@b", b"{{ 2 }}\n")
    missing = TemplateText("/c", "@c", b"{{ zk('/v/x') }}")
    bad = TemplateText("/d", "@d", b"\n\n{{ 1 + }}")
    begun: list[int] = []

    def result(*templates: TemplateText) -> object:
        request = RenderRequest(templates, {"/v": {}}, FACTS, RenderLimits())
        return render(request, begun.append)

    assert result(good, other) == Rendered({"/a": b"1", "/b": b"2\n"})
    assert result(good, missing, bad) == ValueMissing("/v/x")
    assert begun == [0, 1, 0, 1]
    failed = result(bad, missing)
    assert failed == RenderFailed("@d: line 3: syntax error: unexpected 'end of print statement'")


def test_all_targets_share_the_limit_of_output() -> None:
    """What all templates render together is limited."""
    limits = RenderLimits(output_bytes=2 * 2**20)
    piece = b"{{ 'x' * 700000 }}"

    def result(count: int) -> object:
        templates = [TemplateText(f"/{number}", f"@{number}", piece) for number in range(count)]
        return render(RenderRequest(templates, {}, FACTS, limits), lambda _: None)

    assert isinstance(result(2), Rendered)
    assert result(4) == RenderFailed("@2: renders more than 2 MiB")
