"""Completions for fish: one file for each command, a line for each thing that can be said."""

from collections.abc import Iterable, Iterator

from paper_programs import Program, spellings
from zkexec.cli.options import Option
from zkexec.operator.words import CONNECTION, QUESTIONS, Verb

_HEAD = """\
# Completion of @NAME@ for fish; drawn by tools/draw_papers.py.

"""

_BEHIND_DASHES = """\
function __zkexec_has_command
    set -l words (commandline -opc)
    contains -- -- $words
end

# What stands behind -- is completed as it is without zkexec.
function __zkexec_command
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l at (contains -i -- -- $words)
    set -e words[1..$at]
    complete -C (string join -- ' ' (string escape -- $words) "$current")
end

complete -c zkexec -f
complete -c zkexec -n __zkexec_has_command -a '(__zkexec_command)'
"""

_VERB = """\
# Writes the verb that stands before the cursor; false where there is none yet.
function __zkexecctl_verb
    set -l words (commandline -opc)
    set -l skips no
    for word in $words[2..-1]
        if test $skips = yes
            set skips no
            continue
        end
        switch $word
            case @VALUED@
                set skips yes
            case '-*'
            case '*'
                echo -- $word
                return 0
        end
    end
    return 1
end

function __zkexecctl_lacks_verb
    not __zkexecctl_verb >/dev/null
end

function __zkexecctl_is
    contains -- (__zkexecctl_verb) $argv
end

complete -c zkexecctl -f
"""

_AUTH = """\
function __@NAME@_auth
    set -l token (string replace -r '^--auth=' '' -- (commandline -ct))
    set -l parts (string split -m 1 @ -- $token)
    if test (count $parts) -eq 2
        for file in $parts[2]*
            echo -- $parts[1]@$file
        end
    else
        printf '%s\\n' digest:@ sasl:@
    end
end

"""


def script(program: Program) -> str:
    """The whole file."""
    if program.verbs:
        valued = " ".join(name for option in program.valued for name in spellings(option))
        lines = [_HEAD, _AUTH, _VERB.replace("@VALUED@", valued), *_verbs(program.verbs)]
    else:
        condition = "not __zkexec_has_command"
        lines = [_HEAD, _AUTH, _BEHIND_DASHES, *_options(program.options, condition)]
    return "".join(lines).replace("@NAME@", program.name)


def _verbs(verbs: tuple[Verb, ...]) -> Iterator[str]:
    start = "complete -c @NAME@ -n "
    for verb in verbs:
        yield f"{start}__zkexecctl_lacks_verb -a {verb.name} -d {_quoted(verb.summary)}\n"
    yield f"{start}__zkexecctl_lacks_verb -a help -d 'Show what a verb is for'\n"
    for verb in verbs:
        yield f"{start}'__zkexecctl_is help' -a {verb.name} -d {_quoted(verb.summary)}\n"
    everywhere = "not __zkexecctl_is " + " ".join(
        verb.name for verb in verbs if not verb.needs_cluster
    )
    yield from _options(CONNECTION, everywhere)
    yield from _options(QUESTIONS, "true")
    for verb in verbs:
        yield from _options(verb.options, f"__zkexecctl_is {verb.name}")
        if any(argument.metavar == "ZK_PATH=FILE" for argument in verb.arguments):
            yield f"{start}'__zkexecctl_is {verb.name}' -F\n"


def _options(options: Iterable[Option], condition: str) -> Iterator[str]:
    for option in options:
        short = f" -s {option.short}" if option.short else ""
        yield (
            f"complete -c @NAME@ -n {_quoted(condition)}{short} -l {option.name}"
            f"{_value(option)} -d {_quoted(option.meaning)}\n"
        )


def _value(option: Option) -> str:
    offered = f" -a {_quoted(' '.join(option.choices))}" if option.choices else ""
    if option.is_flag:
        return ""
    if option.metavar == "COMMAND":
        return " -r -F -a '(__fish_complete_command)'"
    if option.metavar == "SCHEME:@FILE":
        return " -x -a '(__@NAME@_auth)'"
    if option.metavar in ("FILE", "LOCAL_PATH=ZK_PATH"):
        return f" -r -F{offered}"
    return f" -x{offered}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
