"""The command that is executed, as everything that starts one needs it."""

from zkexec.frozen import frozen


@frozen()
class CommandLine:
    """A command: the text as the operator wrote it, and the arguments byte for byte.

    `variables` are names and values that are added to the environment of the command.
    """

    text: str
    argv: tuple[bytes, ...]
    variables: tuple[tuple[bytes, bytes], ...] = ()
