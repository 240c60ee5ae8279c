"""Completions for fish: one file for each command, a line for each thing that can be said."""

from collections.abc import Iterable, Iterator

from paper_programs import Program, spellings
from zkexec.cli.options import Option
from zkexec.ctl.subcommand import CONNECTION, LOCK, QUESTIONS, Subcommand

_HEAD = """\
# Completion of @NAME@ for fish; drawn by tools/draw_papers.py.

"""

_FILES = """\
# Writes the files whose names begin with the second word, each behind the first word.
function __@NAME@_files_behind
    for file in $argv[2]*
        test -d $file
        and set file $file/
        echo -- $argv[1]$file
    end
end

"""

_TEMPLATE = """\
function __@NAME@_template
    set -l token (string replace -r '^--template=' '' -- (commandline -ct))
    set -l parts (string split -m 1 =@ -- $token)
    if test (count $parts) -eq 2
        __@NAME@_files_behind $parts[1]=@ $parts[2]
    end
end

"""

_AT = """\
function __@NAME@_at
    set -l token (string replace -r '^--token=' '' -- (commandline -ct))
    set -l parts (string split -m 1 @ -- $token)
    if test (count $parts) -eq 2
        __@NAME@_files_behind @ $parts[2]
    else
        echo @
    end
end

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

_SUBCOMMAND = """\
# Writes the subcommand that stands before the cursor; false where there is none yet.
function __zkexecctl_subcommand
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

function __zkexecctl_lacks_subcommand
    not __zkexecctl_subcommand >/dev/null
end

function __zkexecctl_is
    contains -- (__zkexecctl_subcommand) $argv
end

# Writes names that the cluster has, as @NAME@ reports them; none if it does not answer soon.
function __zkexecctl_names
    set -l words (commandline -opc)
    command -q $words[1]
    and command $words[1] complete-words $words[2..-1] (commandline -ct) 2>/dev/null
end

complete -c zkexecctl -f
"""

_AUTH = """\
function __@NAME@_auth
    set -l token (string replace -r '^--auth=' '' -- (commandline -ct))
    set -l parts (string split -m 1 @ -- $token)
    if test (count $parts) -eq 2
        __@NAME@_files_behind $parts[1]@ $parts[2]
    else
        printf '%s\\n' digest:@ sasl:@
    end
end

"""


def script(program: Program) -> str:
    """The whole file."""
    if program.subcommands:
        valued = " ".join(name for option in program.valued for name in spellings(option))
        lines = [
            _HEAD,
            _FILES,
            _AUTH,
            _AT,
            _SUBCOMMAND.replace("@VALUED@", valued),
            *_subcommands(program.subcommands),
        ]
    else:
        condition = "not __zkexec_has_command"
        lines = [
            _HEAD,
            _FILES,
            _AUTH,
            _TEMPLATE,
            _BEHIND_DASHES,
            *_options(program.options, condition),
        ]
    return "".join(lines).replace("@NAME@", program.name)


def _subcommands(subcommands: tuple[Subcommand, ...]) -> Iterator[str]:
    start = "complete -c @NAME@ -n "
    named = [f"-a {each.name} -d {_quoted(each.summary)}" for each in subcommands]
    for name in named:
        yield f"{start}__zkexecctl_lacks_subcommand {name}\n"
    yield f"{start}__zkexecctl_lacks_subcommand -a help -d 'Show what a subcommand is for'\n"
    for name in named:
        yield f"{start}'__zkexecctl_is help' {name}\n"
    everywhere = "not __zkexecctl_is " + " ".join(
        subcommand.name for subcommand in subcommands if not subcommand.needs_cluster
    )
    yield from _options(CONNECTION, everywhere)
    yield from _options(QUESTIONS, "true")
    for subcommand in subcommands:
        yield from _options(subcommand.options, f"__zkexecctl_is {subcommand.name}")
        if any("=" in argument.metavar for argument in subcommand.arguments):
            yield f"{start}'__zkexecctl_is {subcommand.name}' -F\n"
        if subcommand.arguments:
            yield f"{start}'__zkexecctl_is {subcommand.name}' -a '(__zkexecctl_names)'\n"


def _options(options: Iterable[Option], condition: str) -> Iterator[str]:
    for option in options:
        short = f" -s {option.short}" if option.short else ""
        yield (
            f"complete -c @NAME@ -n {_quoted(condition)}{short} -l {option.name}"
            f"{_value(option)} -d {_quoted(option.meaning)}\n"
        )


_FUNCTIONS = {"SCHEME:@FILE": "auth", "@FILE": "at"}
"""The functions that complete values of these forms."""


def _value(option: Option) -> str:
    offered = f" -a {_quoted(' '.join(option.choices))}" if option.choices else ""
    if not option.takes_word:
        return ""
    if option.metavar == "COMMAND":
        return " -r -F -a '(__fish_complete_command)'"
    if option is LOCK or option.metavar in _FUNCTIONS:
        return f" -x -a '(__@NAME@_{_FUNCTIONS.get(option.metavar, 'names')})'"
    if option.metavar == "LOCAL_PATH=ZK_PATH|@FILE":
        return " -r -F -a '(__@NAME@_template)'"
    if option.metavar in ("FILE", "DIR", "LOCAL_PATH=ZK_PATH"):
        return f" -r -F{offered}"
    return f" -x{offered}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
