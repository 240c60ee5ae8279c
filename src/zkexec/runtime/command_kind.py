"""Which zkexec count as the same one: apart from `member_id`, which only a group needs."""

import os

from zkexec.cli.settings import Settings
from zkexec.digest import sha256


def command_kind(settings: Settings) -> str:
    """Identify those zkexec that start the same command for the same purpose."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
    mirrors, *others = settings.policy.inputs.identity
    command = settings.command
    group = (settings.lock, settings.member_id)
    cluster = (sorted(settings.servers), settings.chroot)
    ours = (command.argv, command.variables, mirrors, group, cluster, folder, *others)
    return sha256(repr(ours).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def member_kind(settings: Settings, member_id: str) -> str:
    """Identify a member among all groups of all clusters."""
    ours = (member_id, settings.lock, sorted(settings.servers), settings.chroot)
    return sha256(repr(ours).encode("utf-8", "surrogateescape")).hexdigest()[:32]
