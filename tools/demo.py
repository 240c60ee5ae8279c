"""The tutorial as a play of a few seconds: `make demo`.

    tools/demo.py

zkexec runs a small command here as a user would run it; nothing is staged but the typing.  With
ZKEXEC_CLUSTER set, the play uses that cluster, else a throwaway ZooKeeper.

The rules of this file: a scene is a function, and reads like what is seen; the play goes on when
something has happened, never because some time has passed.
"""

import os
import signal
import sys

from demo_belongings import Belongings, Interrupted
from demo_rollout import group_takes_turns
from demo_screen import NobodyWatchesError, Screen
from demo_stage import DemoError, Stage
from e2e.wrapped import Stream, Wrapped


def play(screen: Screen, belongings: Belongings) -> None:
    """Show everything, scene after scene."""
    screen.prose("zkexec runs a command whose configuration lives in ZooKeeper.")
    cluster = os.environ.get("ZKEXEC_CLUSTER", "")
    if not cluster:
        screen.prose("Starting a throwaway ZooKeeper ...")
    stage = Stage(screen, belongings, cluster)

    zkexec = configuration_comes_from_zookeeper(stage)
    change_restarts_the_command(stage, zkexec)
    zkexec_ends_as_its_command(stage, zkexec)
    zkexec = health_is_checked(stage)
    failure_raises_an_alert(stage, zkexec)
    zkexec_is_stopped(stage, zkexec)
    group_takes_turns(stage)


def configuration_comes_from_zookeeper(stage: Stage) -> Wrapped:
    """The file is there before the command starts."""
    screen = stage.screen
    screen.heading("1. The configuration comes from ZooKeeper")
    screen.prose(f"""
        The znode {stage.znode} holds `hello`; zkexec mirrors it to the file `prefix`.  The
        command, prefixed-cat, is like cat, but puts the content of that file before each line.
        """)
    stage.create_znode(stage.znode, "hello")
    screen.shell(f"export ZKEXEC_CLUSTER={stage.cluster}")
    zkexec = stage.start(f'zkexec --mirror prefix={stage.znode} --exec "prefixed-cat prefix"')
    stage.show_until(zkexec, Stream.LOG, "forked")
    type_world(stage, zkexec, answer="hello world")
    return zkexec


def change_restarts_the_command(stage: Stage, zkexec: Wrapped) -> None:
    """A new content is a new file and a new process."""
    screen = stage.screen
    screen.heading("2. A change restarts the command")
    screen.prose(f"Now somebody sets {stage.znode} to `goodbye`.")
    stage.set_znode(stage.znode, "goodbye")
    # The old command must not get the line that is typed next.
    stage.show_until(zkexec, Stream.LOG, "forked")
    type_world(stage, zkexec, answer="goodbye world")


def zkexec_ends_as_its_command(stage: Stage, zkexec: Wrapped) -> None:
    """The end of the input ends the command, and its status is the status of zkexec."""
    stage.screen.prose("Ctrl-D ends the command, and zkexec ends with the command's status.")
    zkexec.close_stdin()
    show_status(stage, zkexec)


def health_is_checked(stage: Stage) -> Wrapped:
    """A health check is any command that exits with 0 if all is well."""
    screen = stage.screen
    screen.heading("3. Health checks")
    screen.prose(f"""
        Once more, with a health check: slowcheck succeeds if a port is open.  Port
        {stage.service_port} is, for now.
        """)
    stage.open_service()
    zkexec = stage.start(
        f'zkexec --mirror prefix={stage.znode} --exec "prefixed-cat prefix" \\\n'
        f'      --health "slowcheck {stage.service_port} 0" \\\n'
        "      --health-delay 0.5 --health-interval 0.5 \\\n"
        "      --alert 'echo \"ALERT: $ZKEXEC_EVENT\"' --alert-interval 60"
    )
    stage.show_until(zkexec, Stream.LOG, "successful health check")
    return zkexec


def failure_raises_an_alert(stage: Stage, zkexec: Wrapped) -> None:
    """A failed check runs the alert command, and leaves the command alone."""
    screen = stage.screen
    screen.heading("4. Alerts")
    screen.prose(f"Port {stage.service_port} is closed now.")
    stage.close_service()
    stage.show_until(zkexec, Stream.OUTPUT, "ALERT: health-failed")
    screen.prose("The command is left alone: an alert is for somebody who knows what to do.")


def zkexec_is_stopped(stage: Stage, zkexec: Wrapped) -> None:
    """TERM goes to the command; zkexec dies of it as the command does."""
    screen = stage.screen
    screen.heading("5. The end of a command")
    screen.prose("TERM is passed on.  The command dies of it, and so does zkexec: 128 + 15.")
    screen.shell(f"kill {zkexec.pid}")
    zkexec.send(signal.SIGTERM)
    show_status(stage, zkexec)


def type_world(stage: Stage, zkexec: Wrapped, answer: str) -> None:
    """Type a line, and wait for the answer of the command."""
    stage.screen.typed("world")
    zkexec.type("world")
    stage.show_until(zkexec, Stream.OUTPUT, answer)


def show_status(stage: Stage, zkexec: Wrapped) -> None:
    """Wait for the end, and show its status as a shell does."""
    status = stage.show_end(zkexec)
    stage.screen.shell("echo $?")
    stage.screen.answer(str(status))


def say_what_is_next(screen: Screen) -> None:
    """Tell what to try after the play."""
    screen.prose("""
        That was all, and nothing of it is left.  Next, follow the tutorial in README.md with a
        ZooKeeper of your own; stop that ZooKeeper while a command runs, and see that the
        command does not notice.  `zkexec --help` lists all options.
        """)


def main() -> int:
    """Return the exit status: 0, or 1 with a line on stderr."""
    screen = Screen()
    belongings = Belongings()
    try:
        belongings.use(lambda: play(screen, belongings))
        say_what_is_next(screen)
    except Interrupted as interruption:
        sys.stderr.write("\ndemo: interrupted; nothing is left behind\n")
        signal.signal(interruption.number, signal.SIG_DFL)
        signal.raise_signal(interruption.number)
    except NobodyWatchesError:
        # Nobody watches any more.  Python must not complain about that at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except DemoError as error:
        sys.stderr.write(f"\ndemo: {error}\n")
        return 1
    except Exception as error:  # noqa: BLE001 -- whatever it is, a new user gets no traceback
        sys.stderr.write(f"\ndemo: failed: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
