"""Variables from znodes with one zkexec: which there are, who sees them, what is refused."""

import stat
from pathlib import Path

import pytest

from support.inputs_host import InputsHost
from support.processes import pids, proc
from support.program import Program
from support.proxy import Proxy
from support.waiting import lines, until, until_line, until_lines

CANNOT_WORK = 125
LONGEST_BYTES = 131_071
"""Of a variable with its name and `=`."""


def variables(inputs: InputsHost, *options: str, watch: str = "V", **additions: str) -> Program:
    """Start zkexec on a recorder that records the variables of these names."""
    recorder = tuple(f"--variable={name}" for name in watch.split())
    return inputs.run(*options, reads=(), recorder=recorder, additions=additions)


def one(inputs: InputsHost, name: str = "V", znode: str = "v") -> str:
    """The option that makes a variable of a znode."""
    return f"--env={name}={inputs.path(znode)}"


def test_a_variable_that_changes(inputs: InputsHost) -> None:
    """The command has the content without the line ends at its end; a change restarts it."""
    inputs.create(v=b"one two\r\n\n")
    run = variables(inputs, one(inputs))
    assert inputs.born().variables == {"V": "one two"}

    inputs.set(v=b" line\nline ")
    assert inputs.born(2).variables == {"V": " line\nline "}
    run.until("new values for V$")

    assert run.end() == 0
    assert len(inputs.births()) == 2


def test_only_the_line_ends_change(inputs: InputsHost) -> None:
    """If the value is the same, nothing differs on this host: it is logged, and nothing is done."""
    inputs.create(v=b"one")
    run = variables(inputs, one(inputs))
    first = inputs.born()

    inputs.set(v=b"one\n")
    run.until("the inputs changed, but nothing on this host differs")
    inputs.only(first)
    inputs.set(v=b"two\n")

    assert inputs.born(2).variables == {"V": "two"}
    assert run.end() == 0


def test_variables_of_a_tree(inputs: InputsHost) -> None:
    """Each znode with content below the tree is a variable, in upper case, and plain characters."""
    inputs.tree.write({"": "root", "db/max-conns": "7", "none": "", "Äb.c": "8"})
    run = variables(
        inputs,
        f"--env-tree={inputs.tree.root}=app_",
        watch="APP_DB_MAX_CONNS APP__B_C APP_NONE NEW",
    )
    found = {"APP_DB_MAX_CONNS": "7", "APP__B_C": "8", "APP_NONE": None, "NEW": None}
    assert inputs.born().variables == found

    inputs.tree.write({"db/max-conns": None, "none": "9"})

    assert inputs.born(2).variables == {**found, "APP_DB_MAX_CONNS": None, "APP_NONE": "9"}
    assert run.end() == 0


def test_precedence(inputs: InputsHost) -> None:
    """`--env` wins over trees, later options over earlier ones, and all over what is inherited."""
    inputs.tree.write({"a": "tree", "b": "tree", "c": "tree"})
    inputs.values.write({"b": "later tree", "c": "later tree"})
    inputs.create(v=b"single", w=b"later single")
    run = variables(
        inputs,
        *(one(inputs, "C", "v"), one(inputs, "E", "v"), one(inputs, "E", "w")),
        f"--env-tree={inputs.tree.root}",
        f"--env-tree={inputs.values.root}/",
        watch="A B C D E",
        **dict.fromkeys("ABCDE", "inherited"),
    )

    wanted = {"A": "tree", "B": "later tree", "C": "single", "D": "inherited", "E": "later single"}
    assert inputs.born().variables == wanted
    assert run.end() == 0


def test_pristine(inputs: InputsHost) -> None:
    """With --pristine the command inherits nothing, also after a restart."""
    inputs.create(v=b"one")
    seen = inputs.sandbox.folder / "seen"
    command = f"--exec=/usr/bin/env >>{seen}; echo end >>{seen}; while :; do /bin/sleep 0.05; done"
    run = inputs.start(f"--state-dir={inputs.state}", "--pristine", one(inputs), command)
    until_line(seen, "end")
    inputs.set(v=b"two")
    until_line(seen, "end", 2)

    # The shell adds these of its own.
    own = ("PWD=", "OLDPWD=", "SHLVL=", "_=")
    assert [line for line in lines(seen) if not line.startswith(own)] == [
        *("V=one", "end"),
        *("V=two", "end"),
    ]
    run.terminate()
    run.wait()


def test_bytes_that_are_no_text(inputs: InputsHost) -> None:
    """A value is bytes: what is no UTF-8 arrives as it is."""
    inputs.create(v=b"\xff\xfe=\x01\x7f")
    seen = inputs.sandbox.folder / "seen"
    command = f'--exec=printf %s "$V" >{seen}; echo >>{seen}; sleep 1000'
    run = inputs.start(f"--state-dir={inputs.state}", one(inputs), command)

    until(lambda: seen.exists() and seen.read_bytes().endswith(b"\n"), "the command has the value")
    assert seen.read_bytes() == b"\xff\xfe=\x01\x7f\n"
    run.terminate()
    run.wait()


def noting(inputs: InputsHost, kind: str) -> str:
    """A COMMAND that adds a kind of command, and the variable V that it has, to a file."""
    return f'echo "{kind} ${{V-none}}" >>{inputs.sandbox.folder}/seen'


def seen_by(inputs: InputsHost) -> dict[str, list[str]]:
    """What each kind of command had as V, one after the other."""
    found: dict[str, list[str]] = {}
    for note in lines(inputs.sandbox.folder / "seen"):
        kind, _, text = note.partition(" ")
        if found.setdefault(kind, [])[-1:] != [text]:
            found[kind].append(text)
    return found


def test_who_sees_variables(inputs: InputsHost) -> None:
    """Hooks, health checks and reloads see the command's, a check the new ones, an alert none."""
    inputs.create(v=b"one", a=b"one")
    seen, ill = inputs.sandbox.folder / "seen", inputs.sandbox.folder / "ill"
    others = ("check", "pre-stop", "post-healthy", "reload", "alert")
    run = variables(
        inputs,
        one(inputs),
        *inputs.mirrors("a"),
        f"--on-change={inputs.file('a')}=reload",
        f"--health={noting(inputs, 'health')}; ! test -e {ill}",
        *("--health-delay=0.1", "--health-interval=0.1"),
        *(f"--{kind}={noting(inputs, kind)}" for kind in others),
        V="inherited",
    )
    inputs.born()
    until_line(seen, "post-healthy one")
    inputs.set(a=b"two")
    until_line(seen, "reload one")
    inputs.set(v=b"two")
    assert inputs.born(2).variables == {"V": "two"}
    until_line(seen, "post-healthy two")
    ill.touch()
    until_line(seen, "alert inherited")
    assert run.end() == 0

    both = ["one", "two"]
    assert seen_by(inputs) == {
        **dict.fromkeys(("health", "check", "pre-stop", "post-healthy"), both),
        "reload": ["one"],
        "alert": ["inherited"],
    }


def test_a_check_refuses_a_variable(inputs: InputsHost) -> None:
    """A check examines new variables, too; the command stays, and newer ones are used."""
    inputs.create(v=b"one")
    run = variables(inputs, one(inputs), inputs.alert_option, '--check=test "$V" != bad')
    first = inputs.born()

    inputs.set(v=b"bad")
    until_line(inputs.alerts, "restart-failed|check|the check failed: exit status 1")
    inputs.only(first)
    inputs.set(v=b"two")

    assert inputs.born(2).variables == {"V": "two"}
    assert run.end() == 0


def test_the_longest_value(inputs: InputsHost) -> None:
    """131,071 bytes with name and `=` are a variable; one more is refused, and names the znode."""
    longest = b"x" * (LONGEST_BYTES - len("V="))
    inputs.create(v=longest + b"\n\n")
    run = variables(inputs, one(inputs))
    first = inputs.born()
    assert first.variables == {"V": longest.decode()}

    inputs.set(v=longest + b"y")
    run.until(f"{inputs.path('v')} is longer than a variable can be.*; the files and the command")
    assert len(inputs.births()) == 1
    inputs.set(v=b"y" + longest[1:])

    assert inputs.born(2).variables == {"V": "y" + longest[1:].decode()}
    assert run.end() == 0


def test_as_many_variables_as_a_command_can_get(inputs: InputsHost) -> None:
    """Eight variables of almost 128 KiB are used; what a command could not get is refused."""
    inputs.tree.fill({f"v{number}": "x" * 130_000 for number in range(8)})
    run = variables(inputs, f"--env-tree={inputs.tree.root}", watch="V7")
    first = inputs.born()

    inputs.tree.write({"v8": "x" * 130_000})
    run.until("makes more variables than a command can get")
    inputs.only(first)
    assert run.end() == 0


@pytest.mark.parametrize(
    ("contents", "znode", "why"),
    [
        ({"a": "1\x002"}, "a", "contains a NUL"),
        ({"a-b": "1", "a_b": "2"}, "a_b", "gives the same variable as another"),
        ({"1st": "x"}, "1st", "gives a variable whose name begins with a digit"),
        ({"path": "/bin"}, "path", "gives a variable that no tree may set"),
        ({"ld/preload": "x.so"}, "ld/preload", "gives a variable that no tree may set"),
        ({"zkexec-lock": "x"}, "zkexec-lock", "gives a variable that no tree may set"),
        ({"bash_env": "x"}, "bash_env", "gives a variable that no tree may set"),
    ],
)
def test_what_a_tree_may_not_contain(
    inputs: InputsHost, contents: dict[str, str], znode: str, why: str
) -> None:
    """At the start it ends zkexec with 125, later it is a warning, until it is gone."""
    option = f"--env-tree={inputs.tree.root}"
    inputs.tree.write({"good": "1", **contents})
    refused = variables(inputs, "--silent", option)
    assert refused.wait() == CANNOT_WORK
    (line,) = refused.stderr.lines
    assert f"{inputs.tree.path(znode)} {why}" in line
    inputs.tree.write(dict.fromkeys(contents))
    run = variables(inputs, option, watch="GOOD")
    first = inputs.born()

    inputs.tree.write({**contents, "good": "2"})
    run.until(f"{inputs.tree.path(znode)} {why}.*; the files and the command stay")
    inputs.only(first)
    inputs.tree.write(dict.fromkeys(contents))

    assert inputs.born(2).variables == {"GOOD": "2"}
    assert run.end() == 0


def test_a_single_variable_may_have_any_name(inputs: InputsHost) -> None:
    """With --env an operator names the variable, so the names that no tree may set are possible."""
    inputs.create(v=b"/nowhere")
    run = variables(inputs, one(inputs, "BASH_ENV"), watch="BASH_ENV")

    assert inputs.born().variables == {"BASH_ENV": "/nowhere"}
    assert run.end() == 0


def test_an_empty_variable(inputs: InputsHost) -> None:
    """An empty znode is no value, unless --allow-empty accepts it; line ends alone are a value."""
    inputs.create(v=b"")
    refused = variables(inputs, "--silent", one(inputs))
    assert refused.wait() == CANNOT_WORK
    assert f"{inputs.path('v')} is empty" in refused.stderr.text

    run = variables(inputs, one(inputs), "--allow-empty")
    assert inputs.born().variables == {"V": ""}
    inputs.set(v=b"\n")
    run.until("nothing on this host differs")
    assert run.end() == 0


def test_variables_and_files_change_together(inputs: InputsHost) -> None:
    """A variable and a file that are written in one transaction are applied by one restart."""
    inputs.create(v=b"one", a=b"one")
    run = inputs.run(
        one(inputs),
        *inputs.mirrors("a"),
        f"--on-change={inputs.file('a')}=none",
        reads=("a",),
        recorder=("--variable=V",),
    )
    first = inputs.born()
    assert (first.variables, first.files) == ({"V": "one"}, {"a": "one"})

    inputs.set(v=b"two", a=b"two")
    second = inputs.born(2)

    assert (second.variables, second.files) == ({"V": "two"}, {"a": "two"})
    assert run.end() == 0
    assert len(inputs.births()) == 2


def test_start_cached_uses_the_last_variables(inputs: InputsHost, proxy: Proxy) -> None:
    """While the cluster is away the command starts on the variables of the state file."""
    inputs.hosts = proxy.hosts
    inputs.create(v=b"one")
    options = (one(inputs), "--start=cached", "--connect-timeout=1")
    first = variables(inputs, *options)
    inputs.born()
    assert first.end() == 0
    (state,) = inputs.state.iterdir()
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    proxy.refuse()

    run = variables(inputs, *options)
    assert inputs.born(2).variables == {"V": "one"}
    inputs.set(v=b"two")
    proxy.heal()

    assert inputs.born(3).variables == {"V": "two"}
    assert run.end() == 0


def test_values_are_kept_only_if_they_are_needed(inputs: InputsHost) -> None:
    """Without --lock and --start cached the state file has no values."""
    inputs.create(v=b"secret-a1b2")
    run = variables(inputs, one(inputs))
    inputs.born()
    assert run.end() == 0

    (state,) = inputs.state.iterdir()
    assert b"secret" not in state.read_bytes()


def test_values_are_in_no_log_and_on_no_command_line(inputs: InputsHost) -> None:
    """A value is in the environment of the command, and nowhere else."""
    hidden = "hidden-c3d4"
    inputs.create(v=hidden.encode())
    run = variables(
        inputs,
        one(inputs),
        inputs.alert_option,
        "--verbose",
        "--log-format=json",
        '--check=test "$V" != "${V%bad}x"; ! expr "$V" : ".*bad" >/dev/null',
    )
    birth = inputs.born()
    inputs.set(v=f"{hidden}bad".encode())
    until_lines(inputs.alerts)
    inputs.set(v=f"{hidden}\0".encode())
    run.until("contains a NUL")

    assert hidden.encode() in proc(birth.pid, "environ")
    assert [pid for pid in pids() if hidden.encode() in proc(pid, "cmdline")] == []
    assert hidden.encode() not in proc(run.pid, "environ")
    assert run.end() == 0
    assert hidden not in run.stderr.text + inputs.alerts.read_text()


def test_stage_only_leaves_variables_in_a_file(inputs: InputsHost) -> None:
    """`--stage-only` leaves variables in `.env`, which only its user can read."""
    inputs.create(v=b"one two", a=b"1")
    folder = inputs.sandbox.folder / "staged"

    run = inputs.run(one(inputs), *inputs.mirrors("a"), f"--stage-only={folder}", reads=())

    assert run.wait() == 0, run.story()
    path = Path(folder, ".env")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sourced = inputs.sandbox.run("sh", "-c", f'. {path}; printf %s "$V"')
    assert sourced[:2] == (0, b"one two")
