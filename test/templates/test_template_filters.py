"""The filters for JSON, YAML and base64: what they give, and that their errors repeat nothing."""

import pytest

from templates.samples import SECRET, reason, rendered


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ (zk('/v/json')|from_json).a[1] }}", "é"),
        ("{{ zk('/v/json')|from_json|to_json }}", '{"a": [1, "é"], "z": 1}'),
        ("{{ {'b': none, 'a': true}|to_json(indent=1) }}", '{\n "a": true,\n "b": null\n}'),
        ("{{ zk('/v/yaml')|from_yaml }}", "{'z': 1, 'a': ['x', '2001-01-01']}"),
        ("{{ zk('/v/yaml')|from_yaml|to_yaml }}", "a:\n- x\n- '2001-01-01'\nz: 1"),
        ("{{ 'é'|to_yaml }}|{{ 5|to_yaml }}|{{ none|to_yaml }}", "é|5|null"),
        ("{{ {'a': 'x y ' * 60}|to_yaml|length }}", "245"),
        ("{% set l = [1] %}{{ [l, l]|to_yaml }}", "- - 1\n- - 1"),
        ("{{ ('<'|e)|to_yaml }}|{{ {1: 2, 'a': 3}|to_yaml }}", "'&lt;'|1: 2\na: 3"),
        ("{{ 'aMOp'|b64decode }}{{ ' aMO\np '|b64decode }}", "héhé"),
        ("{{ 'hé'|b64encode }}", "aMOp"),
        ("{{ 'a: &x [1]\nb: *x'|from_yaml }}", "{'a': [1], 'b': [1]}"),
        ("{{ [3,1]|sort|tojson }}{{ {'b': 1, 'a': 2}|tojson }}", '[1, 3]{"a": 2, "b": 1}'),
    ],
)
def test_filters_convert(text: str, expected: str) -> None:
    """JSON and YAML are written with sorted keys; base64 is that of UTF-8."""
    assert rendered(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ zk('/v/password')|from_json }}", "from_json: no valid JSON in line 1 of it"),
        ("{{ ('9' * 5000)|from_json }}", "from_json: a number is too long"),
        ("{{ 5|from_json }}", "from_json: the value is no text"),
        ("{{ nope|from_json }}", "'nope' is undefined"),
        ("{{ zk|to_json }}", "to_json: JSON has no form for the value"),
        ("{{ [nope]|to_json }}", "'nope' is undefined"),
        ("{{ {1: 2, 'a': 3}|to_json }}", "to_json: JSON has no form for the value"),
        ("{{ zk('/v/nan')|from_json|to_json }}", "to_json: JSON has no form for the value"),
        ("{{ zk|to_yaml }}", "to_yaml: YAML has no form for the value"),
        ("{{ '&a [*a]'|from_yaml }}", "from_yaml: a value contains itself"),
        ("{{ nope|b64encode }}", "'nope' is undefined"),
        ("{{ zk('/v/password')|b64decode }}", "b64decode: no base64 of a UTF-8 text"),
        ("{{ '/w=='|b64decode }}", "b64decode: no base64 of a UTF-8 text"),
        ("{{ {}|b64encode }}", "b64encode: the value is no text"),
    ],
)
def test_their_errors_repeat_nothing(text: str, expected: str) -> None:
    """An error names the filter, and at most the line of the text that it could not read."""
    found = reason(text)

    assert found == expected
    assert SECRET not in found


@pytest.mark.parametrize(
    "text",
    [
        f"a: [{SECRET}",
        f"{SECRET}: {SECRET}: {SECRET}",
        f"!!python/object/apply:os.system [{SECRET}]",
        f"!!set {{{SECRET}}}",
        "!!timestamp 2001-01-01",
        "!!binary aMOp",
        f"{{[{SECRET}]: 1}}",
        f"*{SECRET}",
        f"%{SECRET}",
        "a\x01b",
        "a: 1\n---\nb: 2",
    ],
)
def test_yaml_is_read_as_plain_values(text: str) -> None:
    """What is no YAML, or more than null, booleans, numbers, texts, lists and mappings, fails."""
    found = reason(f"{{{{ {text!r}|from_yaml }}}}")

    assert found.startswith("from_yaml: no valid YAML")
    assert SECRET not in found
