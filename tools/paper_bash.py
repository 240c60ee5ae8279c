"""Completions for bash: one file for each command, which needs nothing but bash itself.

The rules of this file: bash cuts words at `=`, `:` and `@`, so they are put together again
before anything is decided, and what bash has already passed is cut from the answers.
"""

from collections.abc import Iterable

from paper_programs import Program, spellings
from zkexec.cli.options import Option
from zkexec.ctl.subcommand import CONNECTION, LOCK, QUESTIONS, Subcommand

_FRAME = """\
# Completion of @NAME@ for bash; drawn by tools/draw_papers.py.

# Sets `words`, up to the cursor, and `cur`, the last of them.
_@NAME@_words() {
    local rest=$COMP_LINE index word trimmed
    words=()
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        if [[ $index -gt 0 && $trimmed == "$rest" ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        rest=${trimmed#"$word"}
    done
    cur=${words[${#words[@]}-1]}
}

# Offers those of the words that begin as $cur does.
_@NAME@_offer() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *@ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

# Offers files, behind what stands before the last of these letters.
_@NAME@_files() {
    local name=${cur##*[$1]}
    mapfile -t COMPREPLY < <(compgen -f -P "${cur%"$name"}" -- "$name")
    compopt -o filenames -o default 2>/dev/null
}

# Offers files behind the first @.  To bash they are no files, as their names begin with an @.
_@NAME@_files_behind_at() {
    local ahead=${cur%%@*}@ index file
    mapfile -t COMPREPLY < <(compgen -f -- "${cur#"$ahead"}")
    for index in "${!COMPREPLY[@]}"; do
        printf -v file %q "${COMPREPLY[index]}"
        if [[ -d ${COMPREPLY[index]} ]]; then
            file+=/
        fi
        COMPREPLY[index]=$ahead$file
    done
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

_@NAME@_commands() {
    mapfile -t COMPREPLY < <(compgen -c -- "$cur"; compgen -f -- "$cur")
    compopt -o filenames -o default 2>/dev/null
}

# Offers values of the option $1; false where it is none that takes a value.
_@NAME@_value() {
    case $1 in
@VALUES@
        *) return 1 ;;
    esac
    return 0
}

@BODY@
_@NAME@() {
    local words cur cut ahead= previous index
    COMPREPLY=()
    _@NAME@_words
    cut=${cur%"${cur##*["$COMP_WORDBREAKS"]}"}
    # Bash cuts in front of an @, where a host's name might begin.
    cut=${cut%@}
    previous=${words[${#words[@]}-2]}
    if _@NAME@_behind_dashes; then
        :
    elif [[ $cur == --*=* ]]; then
        previous=${cur%%=*} ahead=${cur%%=*}= cur=${cur#*=}
        _@NAME@_value "$previous"
    else
        _@NAME@_value "$previous" || _@NAME@_word
    fi
    for index in "${!COMPREPLY[@]}"; do
        COMPREPLY[index]=$ahead${COMPREPLY[index]}
        COMPREPLY[index]=${COMPREPLY[index]#"$cut"}
    done
}

complete -F _@NAME@ @NAME@
"""

_COMMAND_LINE = """\
# What stands behind -- is a command, whose options are none of ours.
_@NAME@_behind_dashes() {
    local index
    for ((index = 1; index < ${#words[@]} - 1; index++)); do
        if [[ ${words[index]} == -- ]]; then
            if ((index == ${#words[@]} - 2)); then
                _@NAME@_commands
            else
                _@NAME@_files =
            fi
            return 0
        fi
    done
    return 1
}

_@NAME@_word() {
    _@NAME@_offer "@OPTIONS@ --"
}
"""

_NAMES = """\
# Offers names that the cluster has, as @NAME@ reports them; none if it does not answer soon.
_@NAME@_names() {
    mapfile -t COMPREPLY < <(command "${words[0]}" complete-words "${words[@]:1}" 2>/dev/null)
    if [[ ${COMPREPLY[*]} == *[/=]* ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

"""

_SUBCOMMANDS = (
    _NAMES
    + """\
_@NAME@_behind_dashes() {
    return 1
}

_@NAME@_word() {
    local index subcommand=
    for ((index = 1; index < ${#words[@]} - 1; index++)); do
        case ${words[index]} in
            @VALUED@) ((index++)) ;;
            -*) ;;
            *)
                subcommand=${words[index]}
                break
                ;;
        esac
    done
    case $subcommand:$cur in
        :-*) _@NAME@_offer "@OPTIONS@" ;;
        :*) _@NAME@_offer "@NAMES@ help" ;;
        help:*) _@NAME@_offer "@NAMES@" ;;
@CASES@
        @KNOWN@) _@NAME@_names ;;
    esac
}
"""
)


def script(program: Program) -> str:
    """The whole file."""
    body = _SUBCOMMANDS if program.subcommands else _COMMAND_LINE
    replaced = {
        "BODY": body,
        "VALUES": "\n".join(_value_case(program.name, option) for option in program.valued),
        "VALUED": "|".join(name for option in program.valued for name in spellings(option)),
        "OPTIONS": _names(program.options),
        "NAMES": " ".join(subcommand.name for subcommand in program.subcommands),
        "CASES": "\n".join(
            line for subcommand in program.subcommands for line in _subcommand_cases(subcommand)
        ),
        "KNOWN": "|".join(f"{one.name}:*" for one in program.subcommands if one.arguments),
        "NAME": program.name,
    }
    text = _FRAME
    for mark, value in replaced.items():
        text = text.replace(f"@{mark}@", value)
    return text


def _names(options: Iterable[Option]) -> str:
    return " ".join(f"--{option.name}" for option in options)


def _value_case(name: str, option: Option) -> str:
    return f"        {'|'.join(spellings(option))}) {_value_action(name, option)} ;;"


def _value_action(name: str, option: Option) -> str:
    choices = " ".join(option.choices)
    if option.metavar in ("SCHEME:@FILE", "@FILE"):
        begins = f'_{name}_offer "{choices or "@"}"'
        return f"if [[ $cur == *@* ]]; then _{name}_files_behind_at; else {begins}; fi"
    if option.metavar in ("FILE", "DIR"):
        return f"_{name}_files ="
    if option.metavar == "LOCAL_PATH=ZK_PATH|@FILE":
        text_of_file = f"if [[ $cur == *=@* ]]; then _{name}_files_behind_at"
        return f"{text_of_file}; elif [[ $cur != *=* ]]; then _{name}_files =; fi"
    if option.metavar == "LOCAL_PATH=ZK_PATH":
        return f"[[ $cur == *=* ]] || _{name}_files ="
    if option is LOCK or option.metavar == "COMMAND":
        return f"_{name}_{'names' if option is LOCK else 'commands'}"
    return f'_{name}_offer "{choices}"' if choices else ":"


def _subcommand_cases(subcommand: Subcommand) -> list[str]:
    common = CONNECTION if subcommand.needs_cluster else ()
    options = _names((*subcommand.options, *common, *QUESTIONS))
    lines = [f'        {subcommand.name}:-*) _@NAME@_offer "{options}" ;;']
    if any("=" in argument.metavar for argument in subcommand.arguments):
        lines.append(f"        {subcommand.name}:*=*) _@NAME@_files = ;;")
    return lines
