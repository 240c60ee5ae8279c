"""The renderer of the model world: templates of few words, equal bytes for equal inputs and facts.

A text is a list of words: `zk:/v/a` is the content of a znode that has to exist, `maybe:/v/a` one
that need not, `list:/v` the names below it, `host` the name of the host, and `broken` an error.  A
value whose last word is `unrenderable` is an error, too.  The result is a word that differs as soon
as anything differs that the text uses, and the worst word of the values that it uses.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from simulation.flaws import WORDS
from simulation.group.contents import SEVERITY
from zkexec.core.rendering_result import Rendered, RenderFailed, RenderResult, ValueMissing

UNRENDERABLE = b"unrenderable"
MOODS = {mood.value: rank for mood, rank in SEVERITY.items()}
FLAWS = {word: rank for rank, word in enumerate(WORDS)}
Values = Mapping[str, Mapping[str, bytes]]


class _Missing(Exception):
    """A znode that a template needs does not exist."""


class _Error(Exception):
    """A template has an error."""


def render(templates: Sequence[tuple[str, str, bytes]], values: Values, host: str) -> RenderResult:
    """Render all templates, each a target, a name and a text; the first mistake counts."""
    files = {}
    for target, name, text in templates:
        try:
            files[target] = _rendered(text, values, host)
        except _Missing as gone:
            return ValueMissing(str(gone))
        except _Error as error:
            return RenderFailed(f"{name}: line 1: {error}")
    return Rendered(files)


def _rendered(text: bytes, values: Values, host: str) -> bytes:
    used = [_piece(word, values, host) for word in text.decode().split()]
    digits = sha256(b"\0".join(used)).hexdigest()[:8]
    words = [piece.split(b" ")[-1].decode() for piece in used if piece]
    return f"{digits} {_worst(words)}".encode()


def _worst(words: Sequence[str]) -> str:
    ranks = {**FLAWS, **MOODS}
    return min((word for word in words if word in ranks), key=ranks.__getitem__, default="good")


def _piece(word: str, values: Values, host: str) -> bytes:
    kind, _, path = word.partition(":")
    if kind == "broken":
        raise _Error("unexpected end of template")
    if kind == "host":
        return host.encode()
    if not path:
        return word.encode()
    if kind == "list":
        return " ".join(_names_below(path, values)).encode() + b" |"
    content = _content_of(path, values)
    if content is None:
        if kind == "zk":
            raise _Missing(path)
        return b"-"
    if content.endswith(UNRENDERABLE):
        raise _Error("ValueError")
    return content


def _content_of(path: str, values: Values) -> bytes | None:
    for root, below in values.items():
        name = "" if path == root else path[len(root) + 1 :]
        if (path == root or path.startswith(f"{root}/")) and name in below:
            return below[name]
    return None


def _names_below(path: str, values: Values) -> list[str]:
    names = set()
    for root, below in values.items():
        for known in below:
            full = f"{root}/{known}" if known else root
            if full.startswith(f"{path}/"):
                names.add(full[len(path) + 1 :].partition("/")[0])
    return sorted(names)
