"""What goes between zkexec and the process that renders: requests there, reports back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates.samples import FACTS, VALUES
from zkexec.core.rendering_result import (
    NotRendered,
    Rendered,
    RenderFailed,
    RenderResult,
    ValueMissing,
)
from zkexec.frozen import replace
from zkexec.templates.render_request import (
    RenderLimits,
    RenderRequest,
    TemplateText,
    WrongFormatError,
    decode_request,
    encode_request,
)
from zkexec.templates.result_codec import (
    decode_begun,
    decode_result,
    encode_begun,
    encode_result,
)

FACTS_WITH_BYTES = replace(FACTS, environment={"A": "\udcff\n", "B": ""})
TEMPLATES = [TemplateText("/a", "/t/a", b"\xff{{ 1 }}"), TemplateText("/b", "@b", b"")]
REQUEST = RenderRequest(TEMPLATES, VALUES, FACTS_WITH_BYTES, RenderLimits(timeout_s=2.5))


def test_a_request_arrives_as_it_was_sent() -> None:
    """Templates, values, facts and limits are the same on the other side, bytes of any kind."""
    arrived = decode_request(b"".join(encode_request(REQUEST)))

    assert arrived == REQUEST
    assert arrived.values == VALUES
    assert arrived.facts.environment == FACTS_WITH_BYTES.environment


def test_as_much_as_inputs_can_be_arrives() -> None:
    """5,000 znodes with 64 MiB in all are sent and read."""
    values = {"/v": {str(number): b"x" * 13_000 for number in range(5_000)}}
    request = RenderRequest(TEMPLATES, values, FACTS, RenderLimits())

    assert decode_request(b"".join(encode_request(request))).values == values


def test_a_request_of_another_version_is_refused() -> None:
    """A process that was started from newer files does not guess what the request contains."""
    content = b"".join(encode_request(REQUEST))

    for other in (b"x" + content[1:], content[:10], b""):
        with pytest.raises(WrongFormatError):
            decode_request(other)


def test_values_are_in_no_repr() -> None:
    """What can be a secret is in no repr of a request, so it is in no traceback."""
    request = RenderRequest(
        [TemplateText("/a", "/t/a", b"hunter2")], {"/v": {"a": b"hunter2"}}, FACTS, RenderLimits()
    )
    facts = replace(FACTS, environment={"A": "hunter2"})

    assert "hunter2" not in f"{request!r} {request.templates[0]!r} {facts!r}"


def sent(result: RenderResult, targets: list[str]) -> RenderResult | None:
    """A result as it arrives."""
    return decode_result(b"".join(encode_result(result)), targets, 100)


@pytest.mark.parametrize(
    "result",
    [
        Rendered({"/a": b"1", "/b": b""}),
        RenderFailed("/t: line 3: é"),
        ValueMissing("/v/x"),
        NotRendered("why"),
    ],
)
def test_a_result_arrives_as_it_was_sent(result: RenderResult) -> None:
    """Each kind of result is the same on the other side."""
    assert sent(result, ["/a", "/b"]) == result


def test_files_that_were_not_requested_are_no_result() -> None:
    """A report with more or fewer files, with more than it may contain, or cut, is refused."""
    result = Rendered({"/a": b"x" * 60, "/b": b"y" * 40})
    report = b"".join(encode_result(result))

    assert sent(result, ["/a", "/b"]) == result
    assert sent(result, ["/a"]) is None
    assert sent(result, ["/a", "/b", "/c"]) is None
    assert decode_result(report, ["/a", "/b"], 99) is None
    assert all(decode_result(report[:end], ["/a", "/b"], 100) is None for end in range(len(report)))


def test_a_reason_is_made_printable() -> None:
    """Whatever the process reports as a reason is one printable line of at most 300 characters."""
    result = decode_result(b"F\x1b[31m\xff\n" + b"x" * 9999, [], 0)

    assert isinstance(result, RenderFailed)
    assert result.reason.isprintable()
    assert len(result.reason) == 300


@given(st.binary(max_size=60))
def test_any_report_is_read(report: bytes) -> None:
    """No report, whatever it is, raises an error."""
    decode_begun(report, 2)
    result = decode_result(report, ["/a", "/b"], 30)

    assert result is None or isinstance(result, RenderResult)


def test_a_mark_names_one_of_the_templates() -> None:
    """The mark of a template that is being rendered is read only if it names one."""
    assert decode_begun(encode_begun(1), 2) == 1
    assert decode_begun(encode_begun(2), 2) is None
    assert decode_begun(encode_begun(1) + b"x", 2) is None
    assert decode_begun(b"", 2) is None
