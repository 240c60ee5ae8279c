"""Choose what may be shown of Jinja2's own errors.

They quote what the parser has found, which can be anything: a file that is no template at all, or
a password that lacks its quotation marks.  So only Jinja2's own words are shown.
"""

import re

from jinja2.lexer import describe_token_expr, operators

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
            rf"Required block {_QUOTED} not found",
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
        "extended multiple times",
        "cannot assign attribute on non-namespace object",
    }
)
_UNKNOWN = re.compile(r"No (filter|test) named '(.*)'(?: found)?\.", re.DOTALL)
_TOKENS = (
    "begin of comment, end of comment, begin of statement block, end of statement block, "
    "begin of print statement, end of print statement, template data / text, end of template, "
    "name, string, integer, float"
)
_KEYWORDS = (
    "and as autoescape block call context elif else endautoescape endblock endcall endfilter "
    "endfor endif endmacro endraw endset endwith extends false False filter for from if ignore "
    "import in include is macro missing none None not or print raw recursive required scoped set "
    "true True with without"
)
_SHOWN = frozenset(
    {
        *operators,
        *map(describe_token_expr, operators.values()),
        *_KEYWORDS.split(),
        *_TOKENS.split(", "),
        *("{{", "}}", "{%", "%}", "{#", "#}", "!", "$", "&", "?", "@", "`"),
    }
)


def unknown_in(message: str) -> tuple[str, str]:
    """Return "filter" or "test", and the name of the one that does not exist; or two empty texts.

    The name is not always one that the template contains: it can be an argument of `map`.
    """
    unknown = _UNKNOWN.fullmatch(message)
    return (unknown[1], unknown[2]) if unknown else ("", "")


def shown_of(message: str) -> str:
    """Return what may be shown of any other message of Jinja2, "" if nothing."""
    if message not in _FIXED and not _WITH_QUOTES.fullmatch(message):
        return ""
    shown = re.sub(_QUOTED, _hide, message) if message not in _FIXED else message
    return shown[0].lower() + shown[1:].rstrip(".")


def _hide(quoted: re.Match[str]) -> str:
    text = quoted[0][1:-1]
    return f"'{text}'" if text in _SHOWN else "'...'"
