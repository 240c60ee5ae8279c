"""Completions for zsh: one function for each command, built on zsh's own `_arguments`."""

from collections.abc import Iterable

from paper_programs import Program
from zkexec.cli.options import Option
from zkexec.ctl.subcommand import CONNECTION, LOCK, QUESTIONS, Argument, Subcommand

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

# It is the body of a function if the shell has loaded it, and was read as a script otherwise.
if [[ ${funcstack[1]} == _@NAME@ ]]; then
    _@NAME@ "$@"
else
    compdef _@NAME@ @NAME@
fi
"""

_SUBCOMMANDS = """\
#compdef @NAME@
# Completion of @NAME@ for zsh; drawn by tools/draw_papers.py.

@VALUES@
# Offers names that the cluster has, as @NAME@ reports them; none if it does not answer soon.
_@NAME@_names() {
    local -a names=(
        ${(f)"$(command ${(Q)whole[1]} complete-words "${(@Q)whole[2,-1]}" 2>/dev/null)"}
    )
    local -a open=(${(M)names:#*[/=]}) closed=(${names:#*[/=]})
    compadd -S '' -a open
    compadd -a closed
}

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
    local -a whole=("${(@)words[1,CURRENT]}")
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

# It is the body of a function if the shell has loaded it, and was read as a script otherwise.
if [[ ${funcstack[1]} == _@NAME@ ]]; then
    _@NAME@ "$@"
else
    compdef _@NAME@ @NAME@
fi
"""

_AT = """\
_@NAME@_at() {
    if compset -P '@'; then
        _files
    else
        compadd -S '' -- @
    fi
}

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
        behind, before = "_files", "_@NAME@_names"
    else:
        behind, before = "_message ZK_PATH", "_files -S ="
    values = _AT + _VALUES if program.subcommands else _VALUES + _TEMPLATE
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


_NUMBERS = ("N", "M")
"""Arguments that are revisions, which are not completed."""

_ACTIONS = {
    "@FILE": "_@NAME@_at",
    "SCHEME:@FILE": "_@NAME@_auth",
    "LOCAL_PATH=ZK_PATH": "_@NAME@_pair",
    "LOCAL_PATH=ZK_PATH|@FILE": "_@NAME@_template",
    "COMMAND": "_cmdstring",
    "FILE": "_files",
    "DIR": "_files -/",
}


def _action(option: Option) -> str:
    if option is LOCK:
        return "_@NAME@_names"
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
    is_known = argument.metavar not in _NUMBERS
    action = "_@NAME@_pair" if "=" in argument.metavar else "_@NAME@_names" if is_known else "()"
    number = "*" if argument.is_repeatable else ""
    optional = "" if argument.is_needed else ":"
    return _quoted(f"{number}{optional}:{message}:{action}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
