"""The commands of zkexecctl that are printed for an operator to paste.

A command that is pasted has to reach the same cluster.  So it repeats the connection options that
were typed; those of the environment are still there.  The file is short because everything that
prints commands shares it.
"""

import shlex
from collections.abc import Sequence

from zkexec.cli.parser import ParsedArguments
from zkexec.ctl.subcommand import CONNECTION


def connection_words(parsed: ParsedArguments) -> tuple[str, ...]:
    """Return the options of a command line that decide where it connects; none has a secret."""
    return tuple(
        word
        for option in CONNECTION
        if option.name != "connect-timeout"
        for text in parsed.values.get(option.name, [])[0 if option.repeatable else -1 :]
        for word in (f"--{option.name}", text)
    )


def printed_command(connection: Sequence[str], *words: str) -> str:
    """Write a command of zkexecctl; `connection` are the options that it repeats."""
    return shlex.join(["zkexecctl", *words, *connection])
