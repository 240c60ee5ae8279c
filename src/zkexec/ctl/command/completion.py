"""`zkexecctl completion`: print the script by which a shell completes zkexec and zkexecctl.

The file is short because a subcommand has a file of its own.
"""

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.exit_status import DONE
from zkexec.ctl.terminal.console import Console
from zkexec.resources import read_resource

_SCRIPTS = {
    "bash": ("bash-completion/completions/zkexec", "bash-completion/completions/zkexecctl"),
    "zsh": ("zsh/site-functions/_zkexec", "zsh/site-functions/_zkexecctl"),
    "fish": ("fish/vendor_completions.d/zkexec.fish", "fish/vendor_completions.d/zkexecctl.fish"),
}


def run(invocation: Invocation, console: Console) -> int:
    """Print the scripts of both commands, one after the other."""
    for path in _SCRIPTS[invocation.shell]:
        console.write(read_resource(path).encode())
    return DONE
