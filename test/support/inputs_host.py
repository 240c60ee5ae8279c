"""One host with all kinds of inputs: a tree and its folder, templates, values, and variables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kazoo.client import KazooClient

from support.mirrored_host import Birth, MirroredHost
from support.program import Program, Word
from support.sandbox import ZKEXEC, Sandbox
from support.waiting import until
from support.znode_tree import ZnodeTree, files_below


class InputsHost(MirroredHost):
    """A host whose folder `tree` mirrors the znodes below `ROOT/tree`; values are in `ROOT/values`.

    The state file and the record of all starts are in the sandbox, so a test can start zkexec
    again with the same command line.
    """

    def __init__(self, sandbox: Sandbox, client: KazooClient, root: str, hosts: str) -> None:
        super().__init__(sandbox, client, root, hosts)
        self.tree = ZnodeTree(client, f"{root}/tree")
        self.values = ZnodeTree(client, f"{root}/values")
        self.state = sandbox.folder / "state"
        self.alerts = sandbox.folder / "alerts"
        self._runs: list[Program] = []

    @property
    def target(self) -> Path:
        """The folder of the tree."""
        return self.folder / "tree"

    @property
    def tree_option(self) -> str:
        """The option that mirrors the tree."""
        return f"--mirror={self.target}/={self.tree.root}/"

    @property
    def alert_option(self) -> str:
        """The option of an alert that writes its event, step and reason into `alerts`."""
        script = 'echo "$ZKEXEC_EVENT|$ZKEXEC_STEP|$ZKEXEC_REASON"'
        return f"--alert={script} >>{self.alerts}"

    def template_options(self, name: str = "rendered") -> list[str]:
        """The options that render the znode `ROOT/template` into a file of this name."""
        template = f"--template={self.file(name)}={self.path('template')}"
        return [template, f"--values={self.values.root}"]

    def run(
        self,
        *options: str,
        reads: Sequence[str] = ("tree",),
        recorder: tuple[str, ...] = (),
        program: Sequence[Word] = ZKEXEC,
        additions: Mapping[str, str] | None = None,
    ) -> Program:
        """Start zkexec on a recorder that reads these files; `additions` to its environment."""
        command = self.recorder(*reads, options=recorder)
        words = (f"--state-dir={self.state}", *options, f"--exec={command}")
        environment = self.sandbox.environment(**(additions or {}))
        self._runs.append(self.start(*words, program=program, env=environment))
        return self._runs[-1]

    def born(self, count: int = 1) -> Birth:
        """Wait until the recorder has started `count` times, and return the last start."""
        try:
            return super().born(count)
        except TimeoutError as error:
            stories = "\n".join(run.story() for run in self._runs)
            raise AssertionError(f"{error}\n{stories}") from None

    def follow(self, *options: str) -> Program:
        """Start zkexec on the tree, with a recorder that reads it."""
        return self.run(self.tree_option, *options)

    def until_newest(self, files: Mapping[str, str]) -> None:
        """Wait until the newest start of the recorder has read these files of the tree."""

        def newest() -> object:
            return [birth.files.get("tree") for birth in self.births()[-1:]]

        until(lambda: newest() == [files], lambda: f"{files} in {newest()}")

    def files(self) -> dict[str, str]:
        """What is below the folder of the tree."""
        return files_below(self.target)
