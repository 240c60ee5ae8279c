"""The entry point of zkexecctl: words become a Call, the Call finds its verb, the verb a status.

The only file that prints usage.  The module of a verb is imported when its command line is known
to be right, so that help and mistakes are answered without a ZooKeeper client in memory.
"""

# What is imported when is what this file is about.
# ruff: noqa: PLC0415

TYPE_CHECKING = False  # not the one of `typing`, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from zkexec.cli.parser import ParsedArguments
    from zkexec.operator.console import Console
    from zkexec.operator.words import Verb


def main() -> "NoReturn":
    """Run zkexecctl with this process's arguments and environment; never returns."""
    try:
        import os
        import sys

        from zkexec.operator.console import Console

        console = Console(sys.stdout, sys.stderr, os.environ)
        status = run(sys.argv[1:], console)
        console.drop_unwritten()
    except KeyboardInterrupt:
        _die_of("SIGINT")
    raise SystemExit(status)


def run(words: "Sequence[str]", console: "Console") -> int:
    """Do what the words of a command line say; return the exit status."""
    from zkexec.operator.console import NobodyReadsError, clean
    from zkexec.operator.outcome import CANNOT_WORK, OperatorError

    try:
        return _answer(words, console)
    except OperatorError as error:
        console.err(f"zkexecctl: {clean(str(error))}")
        return error.status
    except NobodyReadsError:
        _die_of("SIGPIPE")
    except Exception as error:  # noqa: BLE001 - a person gets one line, whatever it was
        console.err(f"zkexecctl: {clean(_internal(error))}")
        _trace(error, console)
        return CANNOT_WORK


def _answer(words: "Sequence[str]", console: "Console") -> int:
    """Answer a question, or have the verb do its work."""
    import os

    from zkexec.cli import parser
    from zkexec.operator.verbs import VOCABULARY

    written = parser.read(words, VOCABULARY)
    # What stands behind -- are words like others, only that none of them is an option.
    written.stray_words.extend(written.command or ())
    if _is_answered(written, console):
        return 0
    if not written.stray_words:
        return _ask_for_verb(written, console)
    verb = _find(written.stray_words[0])

    from importlib import import_module

    from zkexec.operator.settle import settle

    call = settle(verb, written, os.environ)
    status: int = import_module(verb.module).run(call, console)
    return status


def _is_answered(written: "ParsedArguments", console: "Console") -> bool:
    """Answer `help`, `--help` and `--version`; False where nothing of that was asked."""
    from zkexec.operator.usage import overview, verb_help
    from zkexec.operator.verbs import BY_VERB

    named = written.stray_words[0] if written.stray_words else ""
    if named == "help":
        about = written.stray_words[1] if len(written.stray_words) > 1 else ""
        console.out((verb_help(_find(about)) if about not in ("", "help") else overview())[:-1])
        return True
    if "help" in written.values:
        console.out((verb_help(BY_VERB[named]) if named in BY_VERB else overview())[:-1])
        return True
    if "version" in written.values:
        from zkexec import __version__

        console.out(f"zkexecctl {__version__}")
        return True
    return False


def _find(name: str) -> "Verb":
    from zkexec.operator.outcome import WRONG_USAGE, OperatorError
    from zkexec.operator.verbs import find

    try:
        return find(name)
    except ValueError as mistake:
        raise OperatorError(str(mistake), WRONG_USAGE) from None


def _ask_for_verb(written: "ParsedArguments", console: "Console") -> int:
    from zkexec.operator.outcome import WRONG_USAGE
    from zkexec.operator.usage import HINT, USAGE

    mistakes = [*written.misspellings("zkexecctl --help"), "expected a verb, got none"]
    console.err(f"zkexecctl: {'; '.join(mistakes)}\n{USAGE}{HINT[:-1]}")
    return WRONG_USAGE


def _internal(error: Exception) -> str:
    return f"internal error: {type(error).__name__}: {error} (ZKEXEC_DEBUG=1 shows where)"


def _trace(error: Exception, console: "Console") -> None:
    import os

    if os.environ.get("ZKEXEC_DEBUG", "") in ("", "0", "false", "no"):
        return
    from traceback import format_exception

    from zkexec.operator.console import clean

    for line in "".join(format_exception(error)).splitlines():
        console.err(clean(line))


def _die_of(name: str) -> "NoReturn":
    """End as a program that lets itself be ended by the signal would, saying nothing."""
    import signal

    number = signal.Signals[name]
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise SystemExit(128 + number)
