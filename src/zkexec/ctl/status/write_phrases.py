"""What zkexecctl writes about pushes and versions: the revision, the author and the message.

The digest of a version is its second name: it is written beside a revision, or alone if no revision
is proven.
"""

from zkexec.core.rollout.version import contents_of, short
from zkexec.ctl.status.input_writes import InputWrite
from zkexec.ctl.status.progress import Progress, RestartRequest
from zkexec.ctl.status.time_phrases import long_age, moment
from zkexec.text import cut

_LONGEST_MESSAGE = 60
OTHER_TOOL = "another tool"


def write_text(write: InputWrite, now: float) -> str:
    """Write what was pushed, by whom and why: `/web/app.conf@3 (alice, "more cache")`."""
    if write.set_by_other_tool or not write.revision:
        tool = f" by {OTHER_TOOL}" if write.set_by_other_tool else ""
        at = f" at {moment(write.at, now)}" if write.at else ""
        return f"{write.label or write.path}, written{tool}{at}"
    more = f" and {', '.join(write.also)}" if write.also else ""
    author = f" ({_author(write.by, write.message)})" if write.by or write.message else ""
    return f"{write.label}{more}{author}"


def request_text(request: RestartRequest) -> str:
    """Write who has requested a rolling restart or a retry, and why."""
    return _author(f"by {request.by or 'an operator'}", request.reason)


def _author(by: str, text: str) -> str:
    quoted = f'"{cut(text, _LONGEST_MESSAGE)}"' if text else ""
    return ", ".join(part for part in (by, quoted) if part)


def version_name(label: str, digest: str) -> str:
    """Write the name of a version: the revision with the digest, or the digest alone."""
    return f"{label} ({short(digest)})" if label else short(digest)


def goal(progress: Progress, now: float) -> str:
    """Write what members are updated to, or restarted on."""
    if progress.missing or not (progress.digest or progress.write):
        return "up to date"
    request = progress.request
    if request is None:
        return f"updated to {_wanted(progress, now)}"
    if request.operation == "restart":
        write = progress.write
        name = (write.label if write else "") or short(contents_of(progress.digest))
        return f"restarted{name and f' on {name}'} ({request_text(request)})"
    return f"updated to {_wanted(progress, now)}, tried again {request_text(request)}"


def _wanted(progress: Progress, now: float) -> str:
    """Name the wanted version: by its revision, else by its digest, else by its time."""
    if _is_pushed(progress) and progress.write is not None:
        return write_text(progress.write, now)
    if progress.digest:
        return short(progress.digest)
    at = progress.written_at
    return f"the version of {moment(at, now)}" if at else "the newest version"


def _is_pushed(progress: Progress) -> bool:
    write = progress.write
    return write is not None and bool(write.revision) and not write.set_by_other_tool


def push_line(progress: Progress, now: float) -> str:
    """Write what the first line leaves out of the newest write; "" if nothing is known of it."""
    write = progress.write
    if write is None or progress.missing:
        return ""
    ago = f", {long_age(write.at, now)}" if write.at else ""
    if write.set_by_other_tool:
        return f"{write_text(write, now)}{ago}"
    if not write.revision:
        return ""
    digest = f"version {short(progress.digest)}" if progress.digest else "not read by any member"
    text = f"{digest}, pushed at {moment(write.at, now)}{ago}" if write.at else digest
    request = progress.request
    if request is None or not request.at:
        return text
    what = "restart" if request.operation == "restart" else "retry"
    return f"{text}; {what} requested at {moment(request.at, now)}"
