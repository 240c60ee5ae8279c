"""What the process that renders gets: the templates, what they may read, and the limits.

It is passed in memory that only the two processes have, as one line of JSON and the contents
behind it, in the order in which the line names them.
"""

from __future__ import annotations

import json

from zkexec import __version__
from zkexec.frozen import fields, frozen
from zkexec.templates.host_facts import HostFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FORMAT = f"zkexec {__version__} templates\n".encode()
"""Another version of zkexec can be on the disk than the one that runs."""
_LENGTH_BYTES = 8
_MIB = 1024 * 1024


class WrongFormatError(Exception):
    """The bytes were written by another version of zkexec."""


@frozen(hidden=("text",))
class TemplateText:
    """One template: where its result goes, how errors name it, and what it is."""

    target: str
    name: str
    text: bytes


@frozen(kw_only=True)
class RenderLimits:
    """What one rendering may use."""

    timeout_s: float = 10.0
    memory_bytes: int = 512 * _MIB
    output_bytes: int = 16 * _MIB

    @property
    def time_exceeded(self) -> str:
        """The error of a template that takes longer."""
        return f"took longer than {self.timeout_s:g} s"

    @property
    def memory_exceeded(self) -> str:
        """The error of a template that needs more memory."""
        return f"needs more than {self.memory_bytes // _MIB} MiB of memory"

    @property
    def output_exceeded(self) -> str:
        """The error of templates that render more in all."""
        return f"renders more than {self.output_bytes // _MIB} MiB"


@frozen(hidden=("templates", "values", "facts"))
class RenderRequest:
    """All that a rendering depends on.

    `values` are the contents of all znodes that templates may read: by the root of their tree, and
    by their path below it, which is "" for the root itself.
    """

    templates: Sequence[TemplateText]
    values: Mapping[str, Mapping[str, bytes]]
    facts: HostFacts
    limits: RenderLimits


def encode_request(request: RenderRequest) -> Iterator[bytes]:
    """Give the bytes of a request, in pieces."""
    templates = [(one.target, one.name, len(one.text)) for one in request.templates]
    # Sorted here, so that no result depends on the order in which znodes were read.
    values = {
        root: sorted((path, len(content)) for path, content in below.items())
        for root, below in sorted(request.values.items())
    }
    line = {
        "templates": templates,
        "values": values,
        "facts": fields(request.facts),
        "limits": fields(request.limits),
    }
    header = json.dumps(line).encode()
    yield _FORMAT + len(header).to_bytes(_LENGTH_BYTES, "big") + header
    for template in request.templates:
        yield template.text
    for root, sizes in values.items():
        for path, _ in sizes:
            yield request.values[root][path]


def decode_request(content: bytes) -> RenderRequest:
    """Read what `encode_request` gave.  Raises WrongFormatError."""
    start = len(_FORMAT) + _LENGTH_BYTES
    if content[: len(_FORMAT)] != _FORMAT:
        raise WrongFormatError
    end = start + int.from_bytes(content[len(_FORMAT) : start], "big")
    line = json.loads(content[start:end])

    def take(size: int) -> bytes:
        nonlocal end
        end += size
        return content[end - size : end]

    templates = [TemplateText(target, name, take(size)) for target, name, size in line["templates"]]
    values = {
        root: {path: take(size) for path, size in sizes} for root, sizes in line["values"].items()
    }
    facts = HostFacts(**line["facts"])
    return RenderRequest(templates, values, facts, RenderLimits(**line["limits"]))
