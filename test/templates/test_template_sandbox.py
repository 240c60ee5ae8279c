"""What templates cannot do: change anything, find out the time, or render by chance."""

import random

import pytest

from templates.samples import FACTS, outcome, reason, rendered
from zkexec.core.rendering_result import Rendered
from zkexec.frozen import replace
from zkexec.templates.render_request import RenderLimits
from zkexec.templates.template_environment import TemplateEnvironment
from zkexec.templates.template_errors import SourceTexts
from zkexec.templates.template_functions import TemplateValues

HIDDEN = (
    "''.__class__",
    "zk.__call__.__globals__",
    "zk._function",
    "zk['_function']",
    "''['__class__']",
    "'{0.__class__}'.format('')",
    "'{0._function}'.format(zk)",
    "'{a.__class__}'.format_map({'a': 1})",
    "zk|attr('_function')",
    "''|attr('__class__')",
    "[zk]|map(attribute='_function')|list",
    "cycler('a')._items",
    "cycler.__init__",
    "self._TemplateReference__context",
    "namespace.__init__.__globals__",
    "range.__self__",
    "ls.__func__",
    "('a'|map('upper'))._items",
    "joiner.__class__",
    "dict.mro()",
    "[].append(1)",
    "env.clear()",
    "env.update(a=1)",
    "env.pop('A')",
    "tree('/v/b').setdefault('x', 1)",
    "ls('/v').sort()",
)


@pytest.mark.parametrize("expression", HIDDEN)
def test_the_inside_is_not_reachable(expression: str) -> None:
    """Nothing of Python's inside can be reached, and no value can be changed."""
    found = reason(f"{{{{ {expression} }}}}")

    assert "may not be used in templates" in found or "this value lacks" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ [1, 2]|random }}", "syntax error: there is no filter 'random'"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{{ now() }}", "'now' is undefined"),
        ("{{ ('2001-01-01'|from_yaml).today() }}", None),
        ("{% do 1 %}", None),
        ("{{ range(100001) }}", "a range has more than 100,000 numbers"),
        ("{{ open('/etc/passwd') }}", "'open' is undefined"),
        ("{{ [nope] }}", "'nope' is undefined"),
        (
            "{{ [{}]|map(attribute='nope')|list }}",
            "this value lacks 'nope', as attribute and as key",
        ),
    ],
)
def test_what_is_not_there(text: str, expected: str | None) -> None:
    """There is no chance, no time, no file, and an undefined name is always an error."""
    found = reason(text)

    assert expected in (None, found)


FUNCTIONS = ("zk", "exists", "range", "cycler", "dict", "'a'.upper", "{}.items", "'{}'.format")
GENERATORS = (
    "[1]|map('string')",
    "[1]|select",
    "[1]|reject",
    "[{'a': 1}]|selectattr('a')",
    "[1]|batch(1)",
    "[1]|slice(1)",
    "[1]|reverse",
    "[1]|unique",
    "{}|items",
)


@pytest.mark.parametrize("expression", FUNCTIONS)
def test_a_function_is_not_printed(expression: str) -> None:
    """A function that is printed instead of called is an error; inside a text it is constant."""
    found = reason(f"{{{{ {expression} }}}}")
    assert found == "prints a function instead of its result: add ()"

    text = "{% set f = EXPRESSION %}{{ f ~ '' }}{{ [f] }}{{ '%s' % f }}{{ f|string }}{{ f|pprint }}"
    assert " at 0x" not in rendered(text.replace("EXPRESSION", expression))


@pytest.mark.parametrize("expression", GENERATORS)
def test_a_generator_is_not_printed(expression: str) -> None:
    """Items that are not made yet are an error if they are printed; inside a text, constant."""
    found = reason(f"{{{{ {expression} }}}}")
    assert found == "prints items that are not made yet: add |list or |join(' ')"

    assert rendered(f"{{{{ ({expression}) ~ '' }}}}") == "<items>"
    assert rendered(f"{{{{ ({expression})|list is sequence }}}}") == "True"


@pytest.mark.parametrize(
    "text",
    [
        "{{ cycler('a') ~ joiner() ~ namespace(a=1) ~ namespace }}",
        "{% macro m() %}{% endmacro %}{{ m ~ '' }}",
        "{% for i in [1] %}{{ loop ~ '' }}{{ loop.cycle ~ '' }}{% endfor %}",
        "{{ self ~ '' }}{% block x %}{{ self.x ~ '' }}{% endblock %}",
        "{% extends '/texts/base' %}{% block x %}{{ super ~ '' }}{{ [super.super] }}{% endblock %}",
        "{% import '/texts/macros' as m %}{{ [m] }}{{ [m.f] }}",
        "{{ [env.items(), env.keys(), range(3), ''.encode(), 'a'|e] }}",
    ],
)
def test_no_text_contains_an_address(text: str) -> None:
    """Whatever becomes part of a text has the same text in each process."""
    result = outcome(text)

    assert " at 0x" not in str(result)
    if isinstance(result, Rendered):
        assert b" at 0x" not in result.files["/etc/app.conf"]


def environment() -> TemplateEnvironment:
    """All that a template can use."""
    return TemplateEnvironment(TemplateValues({}), FACTS, SourceTexts([], RenderLimits()))


@pytest.mark.parametrize("name", sorted(environment().filters))
def test_no_filter_gives_an_address(name: str) -> None:
    """No filter makes a text with an address, of functions either."""
    for value in ("zk", "[zk, 1]", "{'a': zk}", "'a'"):
        result = outcome(f"{{{{ ({value}|{name}) ~ '' }}}}")
        if isinstance(result, Rendered):
            assert b" at 0x" not in result.files["/etc/app.conf"]


def test_any_order_renders_equal_bytes() -> None:
    """A thousand orders of the same values and variables render the same."""
    dice = random.Random(1)
    tree = [(f"{dice.choice('abcdef')}/{number}", b"%d" % number) for number in range(20)]
    tree += [(name, b"") for name in "abcdef"]
    variables = [(f"V{number}", str(number)) for number in range(10)]
    roots = ["/v", "/w"]
    text = (
        "{{ env }}{{ tree('/v', '/w') }}{{ ls('/v') }}{% for k, v in tree('/w').items() %}"
        "{{ k }}={{ v }} {% endfor %}{{ env|to_json }}{{ tree('/v')|to_yaml }}"
        "{{ tree('/v').values()|unique|join(' ') }}{% for n in ls('/w') %}{{ n }}{% endfor %}"
    )
    found = set()
    for _ in range(1000):
        for each in (tree, variables, roots):
            dice.shuffle(each)
        facts = replace(FACTS, environment=dict(variables))
        result = outcome(text, {root: dict(tree) for root in roots}, facts)
        assert isinstance(result, Rendered)
        found.add(result.files["/etc/app.conf"])

    assert len(found) == 1
