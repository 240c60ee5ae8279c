"""`zkexecctl dev`: run a throwaway ZooKeeper in the foreground.

The file is short because a subcommand has a file of its own.
"""

import os

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.ctl.terminal.console import Console
from zkexec.devserver.foreground import serve_until_signal
from zkexec.devserver.installation import DevServerError


def run(invocation: Invocation, console: Console) -> int:
    """Run servers until a signal ends this process."""
    ports = range(invocation.port, invocation.port + invocation.ensemble)
    try:
        return serve_until_signal(ports, os.environ, console.out)
    except DevServerError as error:
        raise SubcommandError(str(error), CANNOT_WORK) from None
