"""`zkexecctl web`: serve a page of the groups.

The file is short because a subcommand has a file of its own.
"""

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.exit_status import WRONG_USAGE, SubcommandError
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.web.page_fragments import fragments_of
from zkexec.ctl.web.page_site import PageSite
from zkexec.ctl.web.page_templates import PageTemplates
from zkexec.ctl.web.serving import run_server


def run(invocation: Invocation, console: Console) -> int:
    """Serve until a signal ends this process."""
    options, connection = invocation.serving, invocation.connection
    if options is None:
        raise SubcommandError("web: there is nothing to serve", WRONG_USAGE)
    templates = PageTemplates(connection.hosts_text, has_actions=options.has_actions)
    return run_server(
        invocation,
        options,
        console,
        lambda view: fragments_of(view, templates),
        lambda guard, board: PageSite(guard, board, templates, connection),
    )
