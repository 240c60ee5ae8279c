"""`zkexecctl exporter`: serve metrics of the groups.

The file is short because a subcommand has a file of its own.
"""

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.exit_status import WRONG_USAGE, SubcommandError
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.web.exporter_site import ExporterSite
from zkexec.ctl.web.serving import run_server


def run(invocation: Invocation, console: Console) -> int:
    """Serve until a signal ends this process."""
    options = invocation.serving
    if options is None:
        raise SubcommandError("exporter: there is nothing to serve", WRONG_USAGE)
    return run_server(invocation, options, console, lambda _: {}, ExporterSite)
