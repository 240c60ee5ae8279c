"""The entry point of zkexecctl: read the command line, run the subcommand, return its status.

The module of a subcommand is imported only if its command line is right, so that help and
mistakes are answered without a ZooKeeper client in memory.
"""

# This file decides what is imported when.
# ruff: noqa: PLC0415

TYPE_CHECKING = False  # not the one of `typing`, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from zkexec.cli.parser import ParsedArguments
    from zkexec.ctl.subcommand import Subcommand
    from zkexec.ctl.terminal.console import Console

_COMPLETE_WORDS = "complete-words"
"""What the completion scripts run; it is no subcommand for people."""


def main() -> "NoReturn":
    """Run zkexecctl with this process's arguments and environment; never returns."""
    try:
        import os
        import sys

        from zkexec.ctl.terminal.console import Console

        console = Console(sys.stdout, sys.stderr, os.environ)
        status = run(sys.argv[1:], console, os.environ)
        console.drop_unwritten()
    except KeyboardInterrupt:
        _end_by_signal("SIGINT")
    raise SystemExit(status)


def run(words: "Sequence[str]", console: "Console", environment: "Mapping[str, str]") -> int:
    """Run the subcommand of a command line; return the exit status."""
    from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
    from zkexec.ctl.terminal.console import OutputClosedError

    try:
        return _answer(words, console, environment)
    except SubcommandError as error:
        console.report(str(error))
        return error.status
    except OutputClosedError:
        _end_by_signal("SIGPIPE")
    except Exception as error:  # noqa: BLE001 - a person gets one line, whatever it was
        console.report(_internal(error))
        _show_traceback(error, console)
        return CANNOT_WORK


def _answer(words: "Sequence[str]", console: "Console", environment: "Mapping[str, str]") -> int:
    """Answer a question such as `--help`, or run the subcommand."""
    from zkexec.cli import parser
    from zkexec.ctl.subcommands import OPTION_NAMES

    if words and words[0] == _COMPLETE_WORDS:
        from zkexec.ctl.command import word_completion

        return word_completion.run(words[1:], environment, console)
    parsed = parser.read(words, OPTION_NAMES)
    # Behind -- there are no options, only words as before it.
    parsed.stray_words.extend(parsed.command or ())
    if _is_question(parsed, console):
        return 0
    if not parsed.stray_words:
        return _show_usage(parsed, console)
    subcommand = _find(parsed.stray_words[0])

    from importlib import import_module

    from zkexec.cli.settings import unknown_variables
    from zkexec.ctl.arguments import read_invocation

    invocation = read_invocation(subcommand, parsed, environment)
    for warning in unknown_variables(environment):
        console.report(f"warning: {warning}")
    status: int = import_module(subcommand.module).run(invocation, console)
    return status


def _is_question(parsed: "ParsedArguments", console: "Console") -> bool:
    """Answer `help`, `--help` and `--version`; return False if it is none of them."""
    from zkexec.ctl.subcommand_help import overview, subcommand_help
    from zkexec.ctl.subcommands import SUBCOMMAND_BY_NAME

    named = parsed.stray_words[0] if parsed.stray_words else ""
    if named == "help":
        about = parsed.stray_words[1] if len(parsed.stray_words) > 1 else ""
        text = overview() if about in ("", "help") else subcommand_help(_find(about))
    elif "help" in parsed.values:
        known = SUBCOMMAND_BY_NAME.get(named)
        text = subcommand_help(known) if known else overview()
    elif "version" in parsed.values:
        from zkexec import __version__

        text = f"zkexecctl {__version__}\n"
    else:
        return False
    console.out(text[:-1])
    return True


def _find(name: str) -> "Subcommand":
    from zkexec.ctl.exit_status import WRONG_USAGE, SubcommandError
    from zkexec.ctl.subcommands import find

    try:
        return find(name)
    except ValueError as mistake:
        raise SubcommandError(str(mistake), WRONG_USAGE) from None


def _show_usage(parsed: "ParsedArguments", console: "Console") -> int:
    from zkexec.ctl.exit_status import WRONG_USAGE

    lacking = "no subcommand is given: write zkexecctl SUBCOMMAND (zkexecctl --help lists all)"
    console.report("; ".join([*parsed.misspellings("zkexecctl --help"), lacking]))
    return WRONG_USAGE


def _internal(error: Exception) -> str:
    return f"internal error: {type(error).__name__}: {error} (ZKEXEC_DEBUG=1 shows where)"


def _show_traceback(error: Exception, console: "Console") -> None:
    import os

    if os.environ.get("ZKEXEC_DEBUG", "") in ("", "0", "false", "no"):
        return
    from traceback import format_exception

    from zkexec.text import printable

    for line in "".join(format_exception(error)).splitlines():
        console.err(printable(line))


def _end_by_signal(name: str) -> "NoReturn":
    """End without a message, as a program that does not catch the signal ends."""
    import signal

    number = signal.Signals[name]
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise SystemExit(128 + number)
