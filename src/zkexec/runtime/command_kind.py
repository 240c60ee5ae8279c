"""Which zkexec count as the same one: apart from `member_id`, which only a group needs."""

import os

from zkexec.cli.settings import Settings
from zkexec.digest import sha256
from zkexec.process.runtime_folder import service_folders


def command_kind(settings: Settings) -> str:
    """Identify those zkexec that start the same command for the same purpose."""
    cluster = (sorted(settings.servers), settings.chroot)
    return _kind_on(settings, cluster, _working_folder())


def state_kind(settings: Settings, member_id: str) -> str:
    """Identify those zkexec that have the same state file; `member_id` is "" without a group.

    The servers are no part of it, because an ensemble gets and loses some.
    """
    cluster = (settings.chroot,)
    if not member_id:
        return _kind_on(settings, cluster, _working_folder())
    if settings.member_id:
        return _digest((member_id, settings.lock, *cluster))
    # An automatic ID is made of the servers, too: only its host and its number are used.
    host, _, number = member_id.rsplit("-", 2)
    return _digest((host, number, service_folders(), _kind_on(settings, cluster, "")))


def _kind_on(settings: Settings, cluster: tuple[object, ...], folder: str) -> str:
    mirrors, *others = settings.policy.inputs.identity
    command = settings.command
    group = (settings.lock, settings.member_id)
    return _digest((command.argv, command.variables, mirrors, group, cluster, folder, *others))


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _digest(ours: tuple[object, ...]) -> str:
    return sha256(repr(ours).encode("utf-8", "surrogateescape")).hexdigest()[:32]
