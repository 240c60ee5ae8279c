"""Start zkexec: note what was inherited, read the command line, and run the loop.

Nothing is imported before the inherited state is noted, and nothing heavy before the command line
is known to be right: `--help` and a usage error need no ZooKeeper client in memory.
"""

# The order of imports is what this file is about.
# ruff: noqa: PLC0415

TYPE_CHECKING = False  # not that of `typing`, whose import would take most of the time until then
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from zkexec.cli.parser import ParsedArguments
    from zkexec.cli.settings import Settings
    from zkexec.process.inheritance import Inheritance

_USAGE_STATUS = 2
_CANNOT_WORK = 125


def main() -> "NoReturn":
    """Run zkexec with this process's arguments and environment; never returns."""
    try:
        from zkexec.process.inheritance import inherit

        inheritance = inherit()
    except KeyboardInterrupt:
        from zkexec.lean import signal

        _end_by(signal.SIGINT)
    try:
        _run(inheritance)
    except Exception as error:  # noqa: BLE001 -- no command runs yet; later the loop handles errors
        _print(2, f"zkexec: internal error ({type(error).__name__}: {error}); please report this\n")
        raise SystemExit(_CANNOT_WORK) from None


def _run(inheritance: "Inheritance") -> "NoReturn":
    import gc
    import os
    import sys

    # Imports make a lot that is never garbage.  To search it again and again takes a tenth of the
    # time until the command starts.
    gc.disable()

    from zkexec.cli import parser

    written = parser.read(sys.argv[1:])
    _answer_questions(written)
    settings = _resolve(written, os.environ)

    import zkexec.runtime.cluster_session  # noqa: F401 -- the loop needs it soon

    if settings.stage_only:
        from zkexec.runtime.stage_only import stage_only

        stage_only(settings, inheritance)
    from zkexec.runtime.loop import run

    gc.freeze()
    gc.enable()
    run(settings, inheritance)


def _end_by(number: int) -> "NoReturn":
    """End by this signal, as a program does that does not handle it."""
    from zkexec.lean import signal

    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise SystemExit(128 + number)


def _answer_questions(written: "ParsedArguments") -> None:
    """If `--help` or `--version` is given, print the answer and end."""
    if "help" in written.values:
        from zkexec.cli.help_text import help_text

        _answer(help_text())
    if "version" in written.values:
        from zkexec import __version__
        from zkexec.process.compiled_starter import START

        starter = "compiled starter" if START else "no compiled starter"
        _answer(f"zkexec {__version__} ({starter})\n")


def _answer(text: str) -> "NoReturn":
    """Print to stdout, and end: with 125 if it cannot be written, by SIGPIPE if no reader is left.

    If stdout is closed, the caller does not want the text, and this is no error.
    """
    import os

    from zkexec.lean import signal

    try:
        _write(1, text)
    except BrokenPipeError:
        _end_by(signal.SIGPIPE)
    except OSError as error:
        _print(2, f"zkexec: cannot write to stdout: {os.strerror(error.errno or 0)}\n")
        raise SystemExit(_CANNOT_WORK) from None
    raise SystemExit(0)


def _resolve(written: "ParsedArguments", environment: "Mapping[str, str]") -> "Settings":
    from zkexec.cli.settings import UsageError, resolve_settings

    try:
        return resolve_settings(written, environment)
    except UsageError as mistake:
        from zkexec.cli.help_text import HINT, USAGE

        usage = USAGE + HINT if mistake.lacks_command else ""
        _print(2, f"zkexec: {mistake}\n{usage}")
        raise SystemExit(_USAGE_STATUS) from None


def _print(descriptor: int, text: str) -> None:
    """Write if that is possible; the exit status shows the error, too."""
    try:
        _write(descriptor, text)
    except OSError:
        return


def _write(descriptor: int, text: str) -> None:
    """Write without the streams of Python, which can be missing."""
    import os

    rest = text.encode("utf-8", "backslashreplace")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
