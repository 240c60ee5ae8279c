"""Describe an error in the syntax of a template.

Jinja2 quotes what it has found, which can be anything: a file that is no template at all, or a
password that lacks its quotation marks.  So only its own words are shown.
"""

import re

from jinja2.lexer import describe_token_expr, operators
from jinja2.parser import _statement_keywords

_QUOTED = r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_LIST = rf"{_QUOTED}(?: or {_QUOTED})*"
_INNERMOST = rf"(?: The innermost block that needs to be closed is {_QUOTED}\.)?"
_LOOKED_FOR = (
    rf"(?: You probably made a nesting mistake\. Jinja is expecting this tag,"
    rf" but currently looking for {_LIST}\."
    rf"| Jinja was looking for the following tags: {_LIST}\.)?"
)
_WITH_QUOTES = re.compile(
    "|".join(
        (
            rf"unexpected {_QUOTED}",
            rf"unexpected {_QUOTED}, expected {_QUOTED}",
            rf"unexpected end of template, expected {_QUOTED}\.",
            rf"unexpected char {_QUOTED} at \d+",
            rf"expected token {_QUOTED}, got {_QUOTED}",
            rf"Expected an expression, got {_QUOTED}",
            rf"Encountered unknown tag {_QUOTED}\.{_LOOKED_FOR}{_INNERMOST}",
            rf"Unexpected end of template\.{_LOOKED_FOR}{_INNERMOST}",
            rf"block {_QUOTED} defined twice",
        )
    )
)
_FIXED = frozenset(
    {
        "tag name expected",
        "expected name or number",
        "expected subscript expression",
        "expected call",
        "invalid syntax for function call expression",
        "non-default argument follows default argument",
        "names starting with an underline can not be imported",
        "Invalid character in identifier",
        "You cannot chain multiple tests with is",
        "Required blocks can only contain comments or whitespace",
        "cannot use extend from a non top-level scope",
        "Can't assign to special loop variable in for-loop target",
    }
)
_UNKNOWN = re.compile(r"No (filter|test) named '([A-Za-z_][A-Za-z0-9_.]{0,99})'\.?")
"""What the parser has read as the name of a filter or a test is an identifier of the template."""

_TOKENS = (
    "begin of comment, end of comment, begin of statement block, end of statement block, "
    "begin of print statement, end of print statement, template data / text, end of template, "
    "name, string, integer, float"
)
_KEYWORDS = (
    "and as call context else elif endblock endcall endfilter endfor endif endmacro endset "
    "endtrans endwith endautoescape false False filter for if ignore import in is missing none "
    "None not or raw endraw recursive required scoped set true True with without"
)
_SHOWN = frozenset(
    {
        *operators,
        *map(describe_token_expr, operators.values()),
        *_statement_keywords,
        *_KEYWORDS.split(),
        *_TOKENS.split(", "),
        *("{{", "}}", "{%", "%}", "{#", "#}", "!", "$", "&", "?", "@", "`"),
    }
)


def describe_syntax(message: str) -> str:
    """Return what a message of Jinja2's parser may show."""
    unknown = _UNKNOWN.fullmatch(message)
    if unknown:
        return f"there is no {unknown[1]} '{unknown[2]}'"
    if message in _FIXED:
        shown = message
    elif _WITH_QUOTES.fullmatch(message):
        shown = re.sub(_QUOTED, _hide, message).rstrip(".")
    else:
        return "syntax error"
    return f"syntax error: {shown[0].lower()}{shown[1:]}"


def _hide(quoted: re.Match[str]) -> str:
    text = quoted[0][1:-1]
    return f"'{text}'" if text in _SHOWN else "'...'"
