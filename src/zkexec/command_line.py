"""The command that is executed, as everything that starts one needs it."""

from __future__ import annotations

from zkexec.frozen import frozen, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen()
class CommandLine:
    """A command: the text as the operator wrote it, and the arguments byte for byte.

    `variables` are names and values that are added to the environment of the command.  `is_script`
    is true if zkexec runs the text through a shell: it is the last of the arguments then.
    """

    text: str
    argv: tuple[bytes, ...]
    variables: tuple[tuple[bytes, bytes], ...] = ()
    is_script: bool = False

    def with_parameters(self, words: Iterable[bytes]) -> CommandLine:
        """Return the command with these words as "$1", "$2" and so on of its script.

        A command without a shell gets them as its last arguments.
        """
        # In a script, the word after the text is $0, by which the shell begins its messages.
        name = (self.argv[0],) if self.is_script else ()
        return replace(self, argv=(*self.argv, *name, *words))
