"""Completions for zsh: one function for each command, built on zsh's own `_arguments`."""

from collections.abc import Iterable

from paper_programs import Program
from zkexec.cli.options import Option
from zkexec.ctl.subcommand import CONNECTION, QUESTIONS, Argument, Subcommand

_COMMAND_LINE = """\
#compdef @NAME@
# Completion of @NAME@ for zsh; drawn by tools/draw_papers.py.

@VALUES@
_@NAME@() {
    # The command stands behind --, and completes as it does without @NAME@.
    local at=${words[(i)--]}
    if (( at < CURRENT )); then
        shift $at words
        (( CURRENT -= at ))
        _normal
        return
    fi
    _arguments -s \\
@OPTIONS@
}

_@NAME@ "$@"
"""

_SUBCOMMANDS = """\
#compdef @NAME@
# Completion of @NAME@ for zsh; drawn by tools/draw_papers.py.

@VALUES@
_@NAME@_subcommands() {
    local -a subcommands=(
@NAMES@
        'help:Show what a subcommand is for'
    )
    _describe -t subcommands subcommand subcommands
}

_@NAME@() {
    local context state state_descr line curcontext=$curcontext
    local -A opt_args
    local -a connection=(
@CONNECTION@
    )
    local -a questions=(
@QUESTIONS@
    )
    _arguments -s -S -C $connection $questions \\
        '(-)1: :_@NAME@_subcommands' '(-)*:: :->arguments' && return
    [[ $state == arguments ]] || return 1
    case $words[1] in
        help)
            _arguments '1: :_@NAME@_subcommands'
            ;;
@CASES@
    esac
}

_@NAME@ "$@"
"""

_VALUES = """\
_@NAME@_auth() {
    if compset -P '*@'; then
        _files
    else
        compadd -S '' -- digest:@ sasl:@
    fi
}

_@NAME@_pair() {
    if compset -P '*='; then
        @BEHIND@
    else
        @BEFORE@
    fi
}
"""


_TEMPLATE = """\

_@NAME@_template() {
    if compset -P '*=@'; then
        _files
    elif compset -P '*='; then
        _message ZK_PATH
    else
        _files -S =
    fi
}
"""


def script(program: Program) -> str:
    """The whole file."""
    if program.subcommands:
        behind, before = "_files", "_message ZK_PATH=FILE"
    else:
        behind, before = "_message ZK_PATH", "_files -S ="
    values = _VALUES if program.subcommands else _VALUES + _TEMPLATE
    text = _SUBCOMMANDS if program.subcommands else _COMMAND_LINE
    replaced = {
        "VALUES": values.replace("@BEHIND@", behind).replace("@BEFORE@", before),
        "OPTIONS": " \\\n".join(_specs(program.options)),
        "NAMES": "\n".join(
            f"        {_quoted(f'{subcommand.name}:{subcommand.summary}')}"
            for subcommand in program.subcommands
        ),
        "CONNECTION": "\n".join(_specs(CONNECTION)),
        "QUESTIONS": "\n".join(_specs(QUESTIONS)),
        "CASES": "\n".join(_case(subcommand) for subcommand in program.subcommands),
        "NAME": program.name,
    }
    for mark, value in replaced.items():
        text = text.replace(f"@{mark}@", value)
    return text


def _specs(options: Iterable[Option]) -> list[str]:
    return ["        " + _spec(option) for option in options]


def _spec(option: Option) -> str:
    explained = option.meaning.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    message = option.metavar.replace(":", "\\:")
    # After two colons, the value can be left out.
    value = f"{':' * (1 + bool(option.implied))}{message}:{_action(option)}" if message else ""
    rest = f"[{explained}]{value}"
    long, short = f"--{option.name}", f"-{option.short}"
    if option.is_attached:
        long = long + "=-"
    elif option.metavar:
        # The value may be attached, or stand behind as a word of its own.
        long, short = long + "=", short + "+"
    repeated = "*" if option.repeatable else ""
    if not option.short:
        return _quoted(f"{repeated}{long}{rest}")
    others = "" if option.repeatable else f"(-{option.short} --{option.name})"
    return f"'{others}{repeated}'{{{short},{long}}}{_quoted(rest)}"


_ACTIONS = {
    "SCHEME:@FILE": "_@NAME@_auth",
    "LOCAL_PATH=ZK_PATH": "_@NAME@_pair",
    "LOCAL_PATH=ZK_PATH|@FILE": "_@NAME@_template",
    "COMMAND": "_cmdstring",
    "FILE": "_files",
    "DIR": "_files -/",
}


def _action(option: Option) -> str:
    offered = f"({' '.join(option.choices)})" if option.choices else ""
    return _ACTIONS.get(option.metavar, offered)


def _case(subcommand: Subcommand) -> str:
    connection = "$connection " if subcommand.needs_cluster else ""
    specs = [
        *_specs(subcommand.options),
        *(f"        {_positional(each)}" for each in subcommand.arguments),
    ]
    lines = [
        f"        {subcommand.name})",
        " \\\n        ".join([f"            _arguments -s -S {connection}$questions", *specs]),
        "            ;;",
    ]
    return "\n".join(lines)


def _positional(argument: Argument) -> str:
    message = argument.metavar.replace(":", "\\:")
    # Without anything to offer: a mere message would keep an option from being filled in.
    action = "_@NAME@_pair" if "=" in argument.metavar else "()"
    number = "*" if argument.is_repeatable else ""
    optional = "" if argument.is_needed else ":"
    return _quoted(f"{number}{optional}:{message}:{action}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
