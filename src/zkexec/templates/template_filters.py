"""The filters that are not Jinja2's own: JSON, YAML and base64.

Their errors never repeat content.  What they write has a fixed order, so equal values are equal
texts.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from jinja2.runtime import Undefined

from zkexec.templates.template_errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDEST = 2**31 - 1
"""No line is folded: the lines of a configuration often must not be."""
_TEXT_TAG = "tag:yaml.org,2002:str"
_TAGS = ("null", "bool", "int", "float", "seq", "map", "str")
_READER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _YamlReader(_READER):  # type: ignore[misc]  # which of the two it is depends on the host
    """A reader of null, booleans, numbers, texts, lists and mappings.

    A date stays a text: the methods of Python's dates give the present time.  A set has no order.
    """


def _make_plain() -> None:
    tags = {f"tag:yaml.org,2002:{name}" for name in _TAGS}
    _YamlReader.yaml_constructors = {
        tag: construct
        for tag, construct in _READER.yaml_constructors.items()
        if tag in tags or tag is None
    }
    _YamlReader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in _READER.yaml_implicit_resolvers.items()
    }


_make_plain()


class _YamlWriter(yaml.SafeDumper):
    """A writer without anchors: they depend on which values are one object."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        """Write each value where it is used."""
        return True


def _represent_text(writer: yaml.SafeDumper, text: str) -> yaml.Node:
    return writer.represent_str(str(text))


# An escaped text is one of a class of its own.
_YamlWriter.add_multi_representer(str, _represent_text)


def filters() -> dict[str, Callable[..., object]]:
    """Return the filters by their names."""
    return {
        "from_json": _from_json,
        "to_json": _to_json,
        "from_yaml": _from_yaml,
        "to_yaml": _to_yaml,
        "b64decode": _b64decode,
        "b64encode": _b64encode,
    }


def _from_json(text: str) -> object:
    try:
        return json.loads(_checked(text, "from_json"))
    except json.JSONDecodeError as error:
        raise TemplateError(f"from_json: no valid JSON in line {error.lineno} of it") from None
    except ValueError:
        raise TemplateError("from_json: a number is too long") from None


def _to_json(value: object, indent: int | None = None) -> str:
    try:
        return json.dumps(
            value,
            sort_keys=True,
            ensure_ascii=False,
            allow_nan=False,
            indent=indent,
            default=_refuse_json,
        )
    except (TypeError, ValueError):
        raise TemplateError("to_json: JSON has no form for the value") from None


def _refuse_json(value: object) -> NoReturn:
    _report_undefined(value)
    raise TypeError


def _from_yaml(text: str) -> object:
    try:
        value = yaml.load(_checked(text, "from_yaml"), _YamlReader)  # noqa: S506 -- it is a safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1} of it" if mark else ""
        raise TemplateError(f"from_yaml: no valid YAML, or more than plain values,{line}") from None
    except (yaml.YAMLError, ValueError):
        raise TemplateError("from_yaml: no valid YAML") from None
    if _contains_itself(value, set(), set()):
        raise TemplateError("from_yaml: a value contains itself")
    return value


def _contains_itself(value: object, around: set[int], done: set[int]) -> bool:
    """Search for a value that is inside of itself, which has no text of a fixed form."""
    if not isinstance(value, dict | list) or id(value) in done:
        return False
    if id(value) in around:
        return True
    around.add(id(value))
    parts = value.values() if isinstance(value, dict) else value
    found = any(_contains_itself(part, around, done) for part in parts)
    around.remove(id(value))
    done.add(id(value))
    return found


def _to_yaml(value: object) -> str:
    try:
        text = yaml.dump(
            value,
            Dumper=_YamlWriter,
            sort_keys=True,
            allow_unicode=True,
            default_flow_style=False,
            width=_WIDEST,
        )
    except (TypeError, yaml.YAMLError):
        raise TemplateError("to_yaml: YAML has no form for the value") from None
    return text.removesuffix("\n...\n").removesuffix("\n")


def _b64decode(text: str) -> str:
    encoded = "".join(_checked(text, "b64decode").split())
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        raise TemplateError("b64decode: no base64 of a UTF-8 text") from None


def _b64encode(text: str) -> str:
    return base64.b64encode(_checked(text, "b64encode").encode()).decode()


def _report_undefined(value: object) -> None:
    """Raise the error of an undefined value, which names it."""
    if isinstance(value, Undefined):
        str(value)


def _checked(text: object, name: str) -> str:
    if not isinstance(text, str):
        _report_undefined(text)
        raise TemplateError(f"{name}: the value is no text")
    return text
