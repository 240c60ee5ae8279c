"""Turn a COMMAND string into the argument vector that is executed.

A shell is used only if the text contains shell syntax: a shell between zkexec and the command
handles signals itself and drops some environment names, and if zkexec is killed, the kernel does
not kill what the shell started.  Any other text is split exactly as a POSIX shell would split it,
and assignments before the command become variables of its environment.  In doubt a shell is used:
it is slower to stop, but never wrong.
"""

from __future__ import annotations

import os

from zkexec.command_line import CommandLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


_BLANKS = " \t"

# Characters that have a meaning in a shell if they are not quoted.  Braces are among them because
# a /bin/sh that is bash expands `{a,b}`.
_SYNTAX = frozenset(";&|()<>{}*?`")

# First words that only a shell can execute: its keywords, and the builtins that change the shell
# itself.  Builtins that are also programs (test, echo, kill) are not among them.
_SHELL_WORDS_TEXT = (
    "! . : alias bg break case cd command continue do done elif else esac eval exec exit "
    "export fc fg fi for getopts hash if in jobs local read readonly return set shift then "
    "times trap type ulimit umask unalias unset until wait while "
)
_SHELL_WORDS = frozenset(_SHELL_WORDS_TEXT.split())

# With one of these, a quote can be text (in a comment or a here-document) or belong to a nested
# command, so that only the shell knows whether all quotes are closed.
_NESTING = ("#", "`", "$(", "${", "$'", "<<")

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")
"""The characters that mean nothing to a shell."""


class _NeedsShellError(Exception):
    """The text contains something that only a shell understands."""


def parse(text: str) -> CommandLine:
    """Read a COMMAND string; errors are as in `converters.py`."""
    if "\0" in text:
        raise ValueError("contains a NUL character")
    splitter = _Splitter(text)
    is_script = False
    try:
        words = splitter.words()
    except _NeedsShellError:
        is_script = True
        if not any(mark in text for mark in _NESTING):
            _require_closed_quotes(text)
        # With a leading blank, a shell does not take the text for one of its own options.
        script = " " + text if text.startswith(("-", "+")) else text
        words = ["/bin/sh", "-c", script]
        splitter.variables.clear()
    if not words or not words[0]:
        raise ValueError("contains no command")
    variables = [(os.fsencode(name), os.fsencode(value)) for name, value in splitter.variables]
    argv = tuple(os.fsencode(word) for word in words)
    return CommandLine(text.strip(_BLANKS + "\n"), argv, tuple(variables), is_script)


def from_words(words: Sequence[str]) -> CommandLine:
    """Use these arguments as they are; errors are as in `converters.py`."""
    if not words or not words[0]:
        raise ValueError("is not the name of a command")
    text = " ".join(quoted(word) for word in words)
    return CommandLine(text, tuple(os.fsencode(word) for word in words))


def quoted(word: str) -> str:
    """Quote a word for a shell if it needs that, as `shlex.quote` does, which is slow to import."""
    if word and _PLAIN.issuperset(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _require_closed_quotes(text: str) -> None:
    quote, escaped = "", False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    if quote:
        raise _unclosed(quote)


def _assigned(name: str) -> str:
    """Return the variable that this and a `=` assign, "" if this is no assignment."""
    if name.isidentifier() and name.isascii():
        return name
    # Some shells have `A+=b`, and letters of other languages in names.
    if name.removesuffix("+").isidentifier():
        raise _NeedsShellError
    return ""


def _unclosed(quote: str) -> ValueError:
    return ValueError(f"has a {quote} quote that is not closed")


class _Splitter:
    """Splits one text from left to right, and raises an error at the first shell syntax."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.variables: list[tuple[str, str]] = []

    def words(self) -> list[str]:
        """Return the words without quotes; raise an error at shell syntax or an open quote.

        Afterwards the assignments before the words are in `variables`.
        """
        words: list[str] = []
        while self._reach_word(first=not words and not self.variables):
            word, assigned = self._word(first=not words)
            if assigned:
                self.variables.append((assigned, word[len(assigned) + 1 :]))
            else:
                words.append(word)
        if words and words[0] in _SHELL_WORDS:
            raise _NeedsShellError
        # Assignments alone change the shell, and the shell reports an empty name.
        if self.variables and not (words and words[0]):
            raise _NeedsShellError
        return words

    def _peek(self, ahead: int = 0) -> str:
        return self._text[self._at + ahead : self._at + ahead + 1]

    def _take(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _reach_word(self, first: bool) -> bool:
        while next_one := self._peek():
            if next_one in _BLANKS or (next_one == "\n" and first):
                self._at += 1
            elif next_one == "\\" and self._peek(1) == "\n":
                self._at += 2
            elif next_one == "\n":
                if self._text[self._at :].strip(_BLANKS + "\n"):
                    raise _NeedsShellError
                return False
            else:
                return True
        return False

    def _word(self, first: bool) -> tuple[str, str]:
        """Read one word, and the name of the variable that it assigns, "" if it assigns none."""
        if self._peek() in "#~":
            raise _NeedsShellError
        word = ""
        name = ""  # the unquoted beginning, which can be the name of a variable
        assigned = ""
        while (next_one := self._peek()) and next_one not in _BLANKS + "\n":
            if next_one in "'\"\\":
                word += self._quoted()
                # A continued line changes nothing; any other quote ends what can be a name.
                name += "" if self._text[self._at - 2 : self._at] == "\\\n" else "\0"
                continue
            self._reject_syntax(alone=not word)
            word += self._take()
            name += next_one
            if next_one == "=" and first and not assigned:
                assigned = _assigned(name[:-1])
            elif next_one == "~" and assigned:
                raise _NeedsShellError  # the shell may replace it by a home directory
        return word, assigned

    def _reject_syntax(self, alone: bool) -> None:
        next_one, following = self._peek(), self._peek(1)
        if next_one in _SYNTAX:
            raise _NeedsShellError
        # A lone dollar sign is text, and a lone bracket is the program of that name.
        if next_one == "$" and following and following not in _BLANKS:
            raise _NeedsShellError
        if next_one == "[" and not (alone and following in _BLANKS):
            raise _NeedsShellError

    def _quoted(self) -> str:
        quote = self._take()
        if quote == "'":
            end = self._text.find("'", self._at)
            if end < 0:
                raise _unclosed(quote)
            start, self._at = self._at, end + 1
            return self._text[start:end]
        if quote == '"':
            return self._double_quoted()
        if not self._peek():
            return "\\"
        escaped = self._take()
        return "" if escaped == "\n" else escaped

    def _double_quoted(self) -> str:
        text = ""
        while self._peek():
            character = self._take()
            following = self._peek()
            if character == '"':
                return text
            if character == "`" or (character == "$" and following not in ' \t"'):
                raise _NeedsShellError
            if character == "\\" and following and following in '$`"\\\n':
                self._at += 1
                character = "" if following == "\n" else following
            text += character
        raise _unclosed('"')
