"""Socket activation, as systemd does it: the command finds the sockets that zkexec was given."""

import socket
import sys
from contextlib import closing

from support.sandbox import ZKEXEC, Mirror, Sandbox
from support.waiting import until_line

# What sd_listen_fds does, and one answer to each client.
SERVICE = """
import os, socket, sys
assert os.environ["LISTEN_PID"] == str(os.getpid()), os.environ["LISTEN_PID"]
listening = socket.socket(fileno=3)
print("born", file=open(sys.argv[1], "a"), flush=True)
while True:
    connection, _ = listening.accept()
    connection.sendall(b"%d" % os.getpid())
    connection.close()
"""
# The shell's `exec` keeps the pid that it exports, and the socket gets the number 3.
MANAGER = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&"$SOCKET"'


def ask(port: int) -> int:
    """Connect, and read the pid that the service answers with."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        return int(connection.makefile().read())


def test_the_command_serves_on_an_activated_socket(sandbox: Sandbox, mirror: Mirror) -> None:
    """The service finds its socket at the first start and after each restart."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        given = listening.fileno()
        command = (sys.executable, "-c", SERVICE, sandbox.report)
        process = sandbox.start(
            *("bash", "-c", MANAGER, "bash", *ZKEXEC, "-s", mirror.option, "--", *command),
            env=sandbox.environment(SOCKET=str(given)),
            pass_fds=(given,),
        )
        pids = []
        for count in (1, 2, 3):
            until_line(sandbox.report, "born", count)
            pids.append(ask(port))
            mirror.change()
    process.end()
    assert len(set(pids)) == 3
    assert process.pid not in pids
