"""Describe an error inside zkexec, and log it.

zkexec survives such an error (see `loop.py`), so the log is the only place that shows it.
"""

from zkexec.cli.settings import LogFormat, Settings
from zkexec.core.actions import Note
from zkexec.lean import suppress
from zkexec.runtime.log import Log

_LONGEST_MESSAGE = 200


def describe_error(error: Exception) -> str:
    """Name an error by its class, its message, and the line of zkexec in which it happened.

    The message of a ValueError is left out: it often repeats the content that was read.
    """
    message = "" if isinstance(error, ValueError) else str(error)[:_LONGEST_MESSAGE]
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "zkexec" in code.co_filename:
            place = f" at {code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{message and f': {message}'}{place}"


def report_error(
    log: Log,
    error: Exception,
    settings: Settings,
    retry_s: float | None = None,
    is_stopping: bool = False,
) -> None:
    """Log an error inside zkexec in one line; `retry_s` is None if there is no command to keep.

    `is_stopping`: there is one, which is being stopped.
    The traceback is in the JSON log, or with `--verbose` in lines of its own.
    """
    with suppress(Exception):  # The error can be the log's.
        reason, is_json = describe_error(error), settings.log_format is LogFormat.JSON
        lines: list[str] = []
        if log.verbose or is_json:
            import traceback  # noqa: PLC0415 -- heavy, and only an error needs it

            lines = "".join(traceback.format_tb(error.__traceback__)).splitlines()
        fields: dict[str, object] = {"reason": reason}
        if is_json:
            fields["traceback"] = "\n".join(lines)
        if retry_s is None:
            topic = "zkexec-failed-stopping" if is_stopping else "zkexec-failed-alone"
            log.write(Note(topic, fields))
        else:
            log.write(Note("zkexec-failed", {**fields, "retry_s": retry_s}))
        for line in [] if is_json else lines:
            log.write(Note("traceback", {"line": line}))
