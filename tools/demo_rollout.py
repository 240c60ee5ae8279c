"""The second half of the demo: a group of five restarts, one after the other.

The rules of this file are those of demo.py.
"""

from demo_group import Group
from demo_stage import Stage

OLD, BAD, GOOD = "1h", "soon", "2h"


def group_takes_turns(stage: Stage) -> None:
    """Show a rollout that fails at the first member, and goes on with the next content."""
    group = Group(stage)
    members_run(stage, group)
    bad_content_stops_at_the_first(stage, group)
    good_content_reaches_all(stage, group)
    stage.screen.prose("TERM to all of them: each stops its command, and leaves the group.")
    group.end()


def members_run(stage: Stage, group: Group) -> None:
    """Members of a group start without waiting for each other."""
    screen = stage.screen
    screen.heading("6. Rolling restarts")
    screen.prose(f"""
        Five members of a group: their commands sleep as long as the znode {group.znode} says,
        `{OLD}` for now.  This is how the first one is started, and so are the others.
        """)
    group.start(
        OLD,
        f"zkexec --lock {group.lock} --member-id member-N \\\n"
        f"      --mirror nap-N={group.znode} --exec 'sleep $(cat nap-N)'",
    )
    screen.prose("Where they stand, as anybody can read it in ZooKeeper:")
    group.watch_until(group.all_run(OLD))


def bad_content_stops_at_the_first(stage: Stage, group: Group) -> None:
    """What fails on one member is not tried by a second one."""
    screen = stage.screen
    screen.heading("7. A bad configuration stops at the first member")
    screen.prose(f"Somebody sets {group.znode} to `{BAD}`, for which no command can sleep.")
    group.push(BAD)
    group.watch_until(group.one_failed)
    group.show_failure()
    screen.prose("The others wait, and their commands run on.")


def good_content_reaches_all(stage: Stage, group: Group) -> None:
    """New content ends the pause: first where it failed, then everywhere, one by one."""
    screen = stage.screen
    screen.heading("8. A good one goes on until all run it")
    screen.prose(f"""
        Now {group.znode} says `{GOOD}`.  A turn ends when the new command has lived for a second,
        or, with --health, when it is healthy.
        """)
    group.push(GOOD)
    group.watch_until(group.all_run(GOOD))
