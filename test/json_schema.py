"""As much of JSON Schema as the schemas of this repository use; an unknown keyword is an error."""

from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN = {
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "const",
    "enum",
    "required",
    "properties",
    "additionalProperties",
    "items",
}


def offences(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Where the value is not what the schema demands."""
    return list(_offences(value, schema, schema, "$"))


def _offences(
    value: Any, rule: Mapping[str, Any], whole: Mapping[str, Any], where: str
) -> Iterator[str]:
    if strange := set(rule) - _KNOWN:
        raise ValueError(f"keywords that are not known here: {strange}")
    if "$ref" in rule:
        name = rule["$ref"].removeprefix("#/$defs/")
        yield from _offences(value, whole["$defs"][name], whole, where)
    kinds = rule.get("type", list(_TYPES))
    if not _is_any(value, [kinds] if isinstance(kinds, str) else kinds):
        yield f"{where}: expected {kinds}, got {value!r}"
        return
    if "const" in rule and value != rule["const"]:
        yield f"{where}: expected {rule['const']!r}, got {value!r}"
    if "enum" in rule and value not in rule["enum"]:
        yield f"{where}: expected one of {rule['enum']}, got {value!r}"
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from _offences(item, rule.get("items", {}), whole, f"{where}[{position}]")
    if isinstance(value, dict):
        yield from _offences_of_object(value, rule, whole, where)


def _offences_of_object(
    value: dict[str, Any], rule: Mapping[str, Any], whole: Mapping[str, Any], where: str
) -> Iterator[str]:
    properties = rule.get("properties", {})
    for name in rule.get("required", ()):
        if name not in value:
            yield f"{where}: lacks {name!r}"
    for name, item in value.items():
        if name in properties:
            yield from _offences(item, properties[name], whole, f"{where}.{name}")
        elif rule.get("additionalProperties", True) is False:
            yield f"{where}: has {name!r}, which is not foreseen"


def _is_any(value: Any, kinds: list[str]) -> bool:
    # Python takes true for a number, JSON does not.
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _TYPES[kind]) for kind in kinds)
