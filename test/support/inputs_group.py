"""A group whose members follow trees, templates, and variables, each with a recorder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient

from support.link import Link
from support.mirrored_host import quoted
from support.program import Program
from support.sandbox import LIBEXEC, ZKEXEC, Sandbox
from support.service_group import ServiceGroup, service_group
from support.stored_group import StoredGroup
from support.waiting import lines
from support.znode_tree import ZnodeTree, files_below

PACE = (
    "--health=true",
    "--health-interval=0.5",
    "--health-delay=20",
    "--kill-timeout=20",
    "--session-timeout=2",
    # A command counts as healthy when it has recorded what it has read; the file is in its folder.
    # With it, health checks begin at once after a first start, too.
    """--post-healthy=until grep -q '"born", "pid": '$ZKEXEC_PID, record; do sleep 0.05; done""",
)


class InputsGroup:
    """Members whose options a test chooses; each works in a folder of its own.

    `tree`, `values` and `template` are what their options can name.
    """

    def __init__(self, group: ServiceGroup, client: KazooClient, port: int) -> None:
        self.group = group
        self.client = client
        self.tree = ZnodeTree(client, f"{group.root}/tree")
        self.values = ZnodeTree(client, f"{group.root}/values")
        self.template = f"{group.root}/template"
        self.links: dict[str, Link] = {}
        self._port = port
        self._options: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}

    @property
    def tree_option(self) -> str:
        """The option that mirrors the tree into the folder `tree`."""
        return f"--mirror=tree/={self.tree.root}/"

    @property
    def template_options(self) -> tuple[str, str]:
        """The options that render the template into the file `rendered`."""
        return f"--template=rendered={self.template}", f"--values={self.values.root}"

    def variable_option(self, name: str, znode: str) -> str:
        """The option that makes a variable of a znode below the root of the test."""
        return f"--env={name}={self.group.root}/{znode}"

    def folder(self, name: str) -> Path:
        """The folder of a member."""
        return self.group.sandbox.folder / name

    def start(self, name: str, *options: str, **additions: str) -> Program:
        """Start a member; if it has run before, with the same command line and environment."""
        if name not in self._options:
            self.group.folder(name)
            self._options[name] = options, additions
            self.links[name] = Link([self._port])
        given, variables = self._options[name]
        self.group.start(
            name,
            *ZKEXEC,
            f"--cluster={self.links[name].hosts}",
            f"--lock={self.group.lock}",
            f"--member-id={name}",
            f"--state-dir={self.folder(name)}/state",
            *PACE,
            *given,
            f"--exec={quoted(LIBEXEC / 'recorder', 'record', '--variable=V', 'tree', 'rendered')}",
            env=self.group.sandbox.environment(**variables),
        )
        return self.group.members[name]

    def kill(self, name: str) -> None:
        """Kill the zkexec of a member without a warning."""
        self.group.members[name].kill()
        self.group.members[name].wait()

    def end(self, name: str) -> None:
        """End a member as an init system does."""
        assert self.group.members[name].end() == 0, self.group.story()

    def starts(self, name: str) -> list[dict[str, Any]]:
        """What the recorder of a member has read at each start: `tree`, `rendered`, and `V`."""
        found = map(json.loads, lines(self.folder(name) / "record"))
        return [
            {**one["files"], "V": one["variables"]["V"]} for one in found if one["event"] == "born"
        ]

    def until_starts(self, name: str, count: int) -> dict[str, Any]:
        """Wait until the recorder of a member was started this often, and return the last start."""
        self.group.until(lambda: len(self.starts(name)) >= count, f"{count} starts of {name}")
        return self.starts(name)[count - 1]

    def until_newest(self, name: str, **wanted: object) -> None:
        """Wait until the newest start of a member has read this."""
        self.group.until(
            lambda: wanted.items() <= (self.starts(name) or [{}])[-1].items(),
            f"{name} starts with {wanted}",
        )

    def counts(self) -> dict[str, int]:
        """How often the recorder of each member was started."""
        return {name: len(self.starts(name)) for name in self.group.members}

    def until_counts(self, *counts: int) -> None:
        """Wait until all are up to date, and the recorders were started this often, by name."""
        self.group.complete()
        wanted = dict(zip(sorted(self.group.members), counts, strict=True))
        self.group.until(lambda: self.counts() == wanted, f"{wanted} starts in {self.counts()}")

    def files(self, name: str) -> dict[str, str]:
        """The tree of a member on the disk."""
        return files_below(self.folder(name) / "tree")

    def until_known_good(self) -> None:
        """Wait until the state file of each member has that its command was healthy."""
        for name in self.group.members:
            self.group.until(partial(self._was_healthy, name), f"{name} was healthy")

    def _was_healthy(self, name: str) -> bool:
        (state,) = (self.folder(name) / "state").glob("*.state")
        return bool(json.loads(state.read_bytes())["was_healthy"])

    def in_flight(self) -> set[str]:
        """The members in flight."""
        return set(StoredGroup(self.client, self.group.lock).in_flight())

    def members(self) -> dict[str, dict[str, Any]]:
        """The members in `zkexecctl status --json`, by name."""
        status = json.loads(self.group.status("--json").out)
        (group,) = status["groups"]
        return {member["name"]: member for member in group["members"]}

    def failure(self) -> str:
        """Wait until the rollout has failed, and return what `zkexecctl wait` reports."""
        self.group.until(
            lambda: self.group.zkexecctl("wait", self.group.lock, "--timeout=1").status == 1,
            "the rollout fails",
        )
        return self.group.zkexecctl("wait", self.group.lock, "--timeout=1").err

    def set_template(self, text: str) -> None:
        """Write the template."""
        if self.client.exists(self.template):
            self.client.set(self.template, text.encode())
        else:
            self.client.create(self.template, text.encode())

    def contents_of_znodes(self) -> bytes:
        """All paths and contents below the znode of the group."""
        return b"\n".join(_below(self.client, self.group.lock))

    def close(self) -> None:
        """End the links."""
        for link in self.links.values():
            link.close()


def _below(client: KazooClient, path: str) -> list[bytes]:
    content, _ = client.get(path)
    found = [path.encode(), content]
    for name in client.get_children(path):
        found += _below(client, f"{path}/{name}")
    return found


@contextmanager
def inputs_group(
    sandbox: Sandbox, client: KazooClient, root: str, port: int
) -> Iterator[InputsGroup]:
    """A group without members, whose links are ended when the test is over."""
    with service_group(sandbox, client, root) as group:
        one = InputsGroup(group, client, port)
        try:
            yield one
        finally:
            one.close()
