"""The errors of templates: they name template, line and error, and show no content."""

import pytest

from templates.samples import FACTS, NAME, SECRET, VALUES, outcome, reason
from zkexec.core.rendering_result import Rendered, RenderFailed, ValueMissing
from zkexec.templates.render_request import RenderLimits, RenderRequest, TemplateText
from zkexec.templates.rendering import render
from zkexec.templates.template_environment import TemplateEnvironment
from zkexec.templates.template_errors import SourceTexts
from zkexec.templates.template_functions import TemplateValues

PASSWORD = "zk('/v/password')"  # noqa: S105 -- it is an expression

END_IN_BLOCK = (
    "unexpected end of template. Jinja was looking for the following tags: 'endblock'. "
    "The innermost block that needs to be closed is 'block'"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\n{{ nope }}", "line 3: 'nope' is undefined"),
        ("{% if a is defined %}{% endif %}\n{{ a.b }}", "line 2: 'a' is undefined"),
        ("{{ env.nope.deeper }}", "this value lacks 'nope', as attribute and as key"),
        ("{{ [1][5] }}", "there is no element with this number"),
        ("{{ 1 / 0 }}", "it divides by zero"),
        ("{{ 1 + '' }}", "TypeError"),
        ("{{ ('a' if false).b }}", "an undefined value is used"),
        (
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "it calls or includes itself too deeply",
        ),
        ("{{ x|nofilter }}", "syntax error: there is no filter 'nofilter'"),
        ("{% if true %}{{ 1|nofilter }}{% endif %}", "there is no filter 'nofilter'"),
        ("{{ x is notest }}", "syntax error: there is no test 'notest'"),
        ("{{ caller() }}", "'caller' is undefined"),
        ("{% for i in [1] %}{{ loop.nextitem }}{% endfor %}", "there is no next item"),
        ("{% set a.b = 1 %}", "cannot assign attribute on non-namespace object"),
        ("{{ '\ud800' }}", "is no UTF-8 text"),
        ("{{ [1]|map('nofilter')|list }}", "there is no filter 'nofilter'"),
        ("{{ [1]|map('no' ~ 'filter')|list }}", "there is no such filter"),
        ("{{ '\\ud800' }}", "renders what UTF-8 has no form for"),
    ],
)  # fmt: skip
def test_an_error_is_named(text: str, expected: str) -> None:
    """The reason is the line, and what is wrong in our own words."""
    assert reason(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ a b }}", "expected token 'end of print statement', got '...'"),
        ("{{ a %}", "unexpected '}'"),
        ("{{ (a] }}", "unexpected ']', expected ')'"),
        ("{% if %}", "expected an expression, got 'end of statement block'"),
        ("{% block a %}", END_IN_BLOCK),
        ("{% else %}", "encountered unknown tag 'else'"),
        ("{% secret %}", "encountered unknown tag '...'"),
        ("{% for a b %}", "expected token 'in', got '...'"),
        ("{{ 'a", "unexpected char '...' at 3"),
        ("{% block a %}{% endblock %}{% block a %}{% endblock %}", "block '...' defined twice"),
        ("{{ '\\xZZ' }}", ""),
        ("{% set 5 = 1 %}", None),
    ],
)  # fmt: skip
def test_an_error_of_syntax_shows_only_words_of_the_language(
    text: str, expected: str | None
) -> None:
    """What the parser quotes is shown if it is punctuation or a keyword, and hidden otherwise."""
    found = reason(text)

    assert found.startswith("syntax error")
    assert expected is None or found == f"syntax error: {expected}".removesuffix(": ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% include '/texts/bad' %}", "/texts/bad: line 2: 'nope' is undefined"),
        ("{% set p = '/texts' %}{% include p ~ '/bad' %}",
         "a computed path below /texts: line 2: 'nope' is undefined"),
        ("{% include '/texts/again' %}",
         "/texts/again: line 1: it calls or includes itself too deeply"),
        ("\n{% import '/texts/macros' as m %}{{ m.g }}",
         f"{NAME}: line 2: this value lacks 'g', as attribute and as key"),
    ],
)  # fmt: skip
def test_the_innermost_template_is_named(text: str, expected: str) -> None:
    """An error in an included template is shown with that one's name and line."""
    assert outcome(text) == RenderFailed(expected)


LEAKS = (
    f"env[{PASSWORD}]",
    f"{{}}[{PASSWORD}]",
    f"''[{PASSWORD}]",
    f"[][{PASSWORD}]",
    f"zk({PASSWORD})",
    f"zk('/' ~ {PASSWORD})",
    f"zk('/v/' ~ {PASSWORD})",
    f"zk('/v/' ~ {PASSWORD} ~ '/')",
    f"exists('/other/' ~ {PASSWORD})",
    f"tree({PASSWORD})",
    f"ls('/v', {PASSWORD})",
    f"zk(**{{{PASSWORD}: 1}})",
    f"zk('/v/a', {PASSWORD}, 1)",
    f"range({PASSWORD})",
    f"dict({PASSWORD})",
    f"{PASSWORD}.nope",
    f"{PASSWORD}()",
    f"{PASSWORD} + 1",
    f"-{PASSWORD}",
    f"1 < {PASSWORD}",
    f"{PASSWORD} % {PASSWORD}",
    f"'%d' % {PASSWORD}",
    f"'{{' ~ {PASSWORD} ~ '}}'.format()",
    f"('{{' ~ {PASSWORD} ~ '}}').format()",
    f"('{{0.' ~ {PASSWORD} ~ '}}').format('')",
    f"{PASSWORD}.encode({PASSWORD})",
    f"'a'.encode('utf-8').decode({PASSWORD})",
    f"{PASSWORD}|map({PASSWORD})|list",
    f"[1]|map({PASSWORD})|list",
    f"[1]|select({PASSWORD})|list",
    f"[{{}}]|map(attribute={PASSWORD})|list|string",
    f"[{{}}]|groupby({PASSWORD})",
    f"{{}}|dictsort(by={PASSWORD})",
    f"''|attr({PASSWORD})|string",
    f"{PASSWORD}|from_json",
    f"{PASSWORD}|b64decode",
    f"('[' ~ {PASSWORD})|from_yaml",
    f"{{'a': {PASSWORD}, 'b': zk}}|to_json",
    f"{{'a': {PASSWORD}, 'b': zk}}|to_yaml",
    f"'x'.join([{PASSWORD}, 1])",
    f"'x'.rjust({PASSWORD})",
    f"1.5|round(method={PASSWORD})",
    f"10|filesizeformat(binary=[].x[{PASSWORD}])",
)


@pytest.mark.parametrize("expression", LEAKS)
def test_no_error_shows_a_content(expression: str) -> None:
    """Whatever a template does with a secret, the reason of its failure does not contain it."""
    assert outcome(f"{{{{ {PASSWORD} }}}}") == Rendered({"/etc/app.conf": SECRET.encode()})
    result = outcome(f"\n{{{{ {expression} }}}}")

    assert isinstance(result, RenderFailed | ValueMissing)
    assert SECRET not in str(result)
    assert "line 2" in str(result)


@pytest.mark.parametrize("statement", ["include", "import", "extends"])
def test_no_error_shows_a_computed_path(statement: str) -> None:
    """A path that is made of a secret is not shown, missing or not."""
    end = " as x" if statement == "import" else ""
    for start in ("''", "'/v/'", "'/other/'"):
        result = outcome(f"{{% {statement} {start} ~ {PASSWORD}{end} %}}")
        assert isinstance(result, RenderFailed | ValueMissing)
        assert SECRET not in str(result)

    values = {"/v": {"password": SECRET.encode(), SECRET: b"{{ nope }}"}}
    result = outcome(f"{{% {statement} '/v/' ~ {PASSWORD}{end} %}}", values)
    assert result == RenderFailed("a computed path below /v: line 1: 'nope' is undefined")


def names(kind: str) -> list[str]:
    """The names of all filters, or of all tests."""
    environment = TemplateEnvironment(TemplateValues({}), FACTS, SourceTexts([], RenderLimits()))
    named = sorted(environment.filters if kind == "filters" else environment.tests)
    return [name for name in named if name.isidentifier()]


@pytest.mark.parametrize("name", names("filters"))
def test_no_filter_shows_a_content(name: str) -> None:
    """No filter that fails on a secret, or with one as its argument, shows it."""
    for expression in (
        f"{PASSWORD}|{name}",
        f"{PASSWORD}|{name}({PASSWORD})",
        f"1|{name}({PASSWORD})",
        f"[{PASSWORD}]|{name}({PASSWORD}, {PASSWORD})",
        f"{{{PASSWORD}: 1}}|{name}",
        f"{{{PASSWORD}: zk}}|{name}(1, {PASSWORD})",
    ):
        result = outcome(f"{{{{ {expression} }}}}")
        assert isinstance(result, Rendered) or SECRET not in str(result)


@pytest.mark.parametrize("name", names("tests"))
def test_no_test_shows_a_content(name: str) -> None:
    """No test that fails on a secret, or with one as its argument, shows it."""
    for expression in (f"{PASSWORD} is {name}", f"1 is {name}({PASSWORD})"):
        result = outcome(f"{{{{ {expression} }}}}")
        assert isinstance(result, Rendered) or SECRET not in str(result)


@pytest.mark.parametrize(
    "text",
    [
        f"password = {SECRET} }}}} {{{{ x y }}}}",
        f"{{{{ {SECRET} y }}}}",
        f"{{{{ x {SECRET} }}}}",
        f"{{{{ '{SECRET} }}}}",
        f"{{% {SECRET} %}}",
        f"{{% if a {SECRET} %}}",
        f"{{% if x %}}{{% {SECRET} %}}",
        f"{{% block {SECRET} %}}{{% endblock %}}{{% block {SECRET} %}}{{% endblock %}}",
        f"{{% set {SECRET}.a.b = 1 %}}",
        f'{{{{ "it\'s \\x{SECRET}" }}}}',
        f"{{{{ 'it\\'s' \"{SECRET}\" x }}}}",
    ],
)
def test_no_error_of_syntax_quotes_the_template(text: str) -> None:
    """A template that is none, or has a secret in a wrong place, is not quoted."""
    assert SECRET in text
    assert SECRET not in reason(text)


def test_names_of_the_template_are_shown() -> None:
    """A name is shown if the template itself contains it; one that comes from content is not."""
    values = {"/v": {"name": b"nope", "other": b"nope2"}}

    shown = outcome("{{ env[zk('/v/name')] }}{{ nope }}", values)
    hidden = outcome("{{ env[zk('/v/other')] }}{{ nope }}", values)

    assert shown == RenderFailed(
        f"{NAME}: line 1: this value lacks 'nope', as attribute and as key"
    )
    assert hidden == RenderFailed(
        f"{NAME}: line 1: this value lacks a computed name, as attribute and as key"
    )


def test_a_reason_is_one_short_line() -> None:
    """Whatever the name of the template is, a reason is printable and at most 300 characters."""
    template = TemplateText("/a", "@\x1b[31m\n" + "x" * 500, b"{{ nope }}")
    result = render(RenderRequest([template], VALUES, FACTS, RenderLimits()), lambda _: None)

    assert isinstance(result, RenderFailed)
    assert result.reason.isprintable()
    assert len(result.reason) == 300
