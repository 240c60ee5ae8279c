"""Render all templates of a request, one after the other, in the order given."""

from __future__ import annotations

# Jinja2 and Python import these when they first use them; no file can be opened any more then.
import encodings.unicode_escape  # noqa: F401
import html  # noqa: F401
import pprint  # noqa: F401
import textwrap  # noqa: F401
import unicodedata  # noqa: F401
from typing import TYPE_CHECKING

from zkexec.core.rendering_result import Rendered, RenderResult
from zkexec.templates.template_environment import TemplateEnvironment
from zkexec.templates.template_errors import SourceTexts, TemplateError
from zkexec.templates.template_functions import TemplateValues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zkexec.templates.render_request import RenderRequest, TemplateText


def render(request: RenderRequest, note_begun: Callable[[int], None]) -> RenderResult:
    """Render; the first error is the result.  `note_begun` gets the index of each template."""
    limits = request.limits
    sources = SourceTexts([template.name for template in request.templates], limits)
    environment = TemplateEnvironment(TemplateValues(request.values), request.facts, sources)
    left_bytes = limits.output_bytes
    files: dict[str, bytes] = {}
    for index, template in enumerate(request.templates):
        note_begun(index)
        try:
            text = _decode(template)
            sources.add(template.name, text)
            rendered = environment.template(template.name, text).generate()
            content = _encode(rendered, left_bytes, limits.output_exceeded)
        except Exception as error:  # noqa: BLE001 -- a template can raise any
            return sources.describe(error, template.name, environment)
        left_bytes -= len(content)
        files[template.target] = content
    return Rendered(files)


def _decode(template: TemplateText) -> str:
    try:
        return template.text.decode()
    except UnicodeDecodeError:
        raise TemplateError("is no UTF-8 text") from None


def _encode(rendered: Iterator[str], most_bytes: int, exceeded: str) -> bytes:
    content = bytearray()
    for piece in rendered:
        try:
            content += piece.encode()
        except UnicodeEncodeError:
            raise TemplateError("renders what UTF-8 has no form for") from None
        if len(content) > most_bytes:
            raise TemplateError(exceeded)
    return bytes(content)
