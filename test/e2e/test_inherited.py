"""What the command is born with: all that its caller handed down, at each start alike."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.processes import children, fields, is_alive, proc
from support.sandbox import BARE, LIBEXEC, MARK, REPORTER, WRAPPED, ZKEXEC, Mirror, Sandbox, born
from support.waiting import until

ODDLY_BORN = str(LIBEXEC / "oddly-born")


def birth(pid: int) -> dict[str, Any]:
    """All that /proc tells of what a process was born with."""
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
    names = ("Umask", "SigBlk", "SigIgn", "SigCgt", "Seccomp", "NoNewPrivs", "Cpus_allowed")
    return {
        **{name: status[name] for name in names},
        "limits": (folder / "limits").read_text(),
        "environment": (folder / "environ").read_bytes(),
        "arguments": (folder / "cmdline").read_bytes(),
        "folder": str((folder / "cwd").readlink()),
        "priority": fields(pid)[15:17],
        "descriptors": sorted(os.listdir(folder / "fd")),
    }


def births(sandbox: Sandbox, *words: str) -> dict[str, Any]:
    """The birth of a sleep that is started by these words before it."""
    process = sandbox.start(*words, "sleep", "1000")
    seen = birth(until(sandbox.sleepers, "the command runs")[0])
    process.kill()
    process.wait()
    until(lambda: not sandbox.sleepers(), "the command is gone")
    return seen


@pytest.mark.parametrize("caller", [(), (ODDLY_BORN,), ("nohup",), ("nice",)])
def test_the_birth_is_the_callers(sandbox: Sandbox, caller: tuple[str, ...]) -> None:
    """Mask, dispositions, limits, umask, folder, priority and environment are the caller's."""
    assert births(sandbox, *caller, *WRAPPED) == births(sandbox, *caller)


def test_the_birth_is_the_same_after_each_restart(sandbox: Sandbox, mirror: Mirror) -> None:
    """The second and the third birth are as the first, in all that can be seen of them."""
    words = (ODDLY_BORN, *ZKEXEC, "--silent", mirror.option, "--", "sleep", "1000")
    process = sandbox.start(*words)
    pid = 0
    seen = []
    for _ in range(3):
        pid = until(partial(next_sleeper, sandbox, pid), "a new one runs")
        seen.append(birth(pid))
        mirror.change()
    process.kill()
    process.wait()

    assert seen[0] == seen[1] == seen[2]
    assert seen[0]["Umask"] == "0027"


def next_sleeper(sandbox: Sandbox, old: int) -> int:
    """A sleep that is not the old one; 0 if there is none."""
    return next((pid for pid in sandbox.sleepers() if pid != old), 0)


@pytest.mark.parametrize("locale", ["C", "POSIX", "", "C.UTF-8", "xx_XX.latin1"])
def test_the_environment_is_the_callers_byte_for_byte(sandbox: Sandbox, locale: str) -> None:
    """Whatever Python adds to its own environment for a locale, the command does not see."""
    environment = {**sandbox.environment(), "LC_ALL": locale, "LANG": locale}
    seen = [
        sandbox.run(*prefix, "/usr/bin/env", "-0", env=environment) for prefix in (BARE, WRAPPED)
    ]

    assert seen[0] == seen[1]
    assert f"LC_ALL={locale}\0".encode() in seen[0][1]


def test_without_a_locale_none_is_added(sandbox: Sandbox) -> None:
    """Where the caller set no locale at all, the command has none either."""
    environment = {name: value for name, value in sandbox.environment().items() if name != "LC_ALL"}
    seen = [
        sandbox.run(*prefix, "/usr/bin/env", "-0", env=environment) for prefix in (BARE, WRAPPED)
    ]

    assert seen[0] == seen[1]
    assert b"LC_" not in seen[0][1]


def test_odd_names_in_the_environment_pass(sandbox: Sandbox) -> None:
    """Names that a shell would drop and bytes that are no text reach the command."""
    odd = {
        b"with.dot-and space": b"1",
        b"BASH_FUNC_f%%": b"() { :; }",
        b"1": b"digit",
        b"\xff\xfe": b"\x80\x81",
        b"EMPTY": b"",
        b"LINES_IN": b"one\ntwo",
        b"A": b"=b=c",
    }
    plain = {os.fsencode(k): os.fsencode(v) for k, v in sandbox.environment().items()}
    asked = ("/usr/bin/env", "-0")
    shown, *wrapped = [
        sandbox.run(*words, env={**plain, **odd})
        for words in (asked, (*WRAPPED, *asked), (*ZKEXEC, "-s", "-e", " ".join(asked)))
    ]

    assert wrapped == [shown, shown]
    assert {name + b"=" + value for name, value in odd.items()} <= set(shown[1].split(b"\0"))


def test_arguments_that_are_no_text_pass(sandbox: Sandbox) -> None:
    """Bytes that are no UTF-8, empty arguments and 100 KB in one of them reach the command."""
    odd = (b"\xff\xfe\x80", b"", b"a b", b"'\"$x`*", b"\xc3\xa4", b"long" * 25_000, b"-v", b"--")
    seen = [
        sandbox.run(*prefix, "printf", r"%s\n", *odd, env=sandbox.environment(LC_ALL=locale))
        for prefix in (BARE, WRAPPED)
        for locale in ("C", "C.UTF-8")
    ]

    assert seen[0] == (0, b"".join(word + b"\n" for word in odd), b"")
    assert seen == [seen[0]] * 4


def test_a_long_command_string_that_is_no_text_passes(sandbox: Sandbox) -> None:
    """`--exec` takes 100 KB, and bytes that are no UTF-8, in one string."""
    long = b"\xff" + b"x" * 100_000

    assert sandbox.run(*ZKEXEC, "-s", b"--exec=echo " + long) == (0, long + b"\n", b"")


def test_no_shell_stands_in_between(sandbox: Sandbox) -> None:
    """A COMMAND without shell syntax is executed directly, so that zkexec's child is it."""
    process = sandbox.start(*ZKEXEC, "-s", "-e", "sleep 1000")
    parent = fields(until(sandbox.sleepers, "the command runs")[0])[1]
    process.terminate()

    assert parent == str(process.pid)
    assert process.wait() == -signal.SIGTERM


def test_assignments_need_no_shell(sandbox: Sandbox) -> None:
    """`A=1 command` makes the command zkexec's child, with these variables and the new PATH."""
    folder = sandbox.folder / "of the path"
    folder.mkdir()
    (folder / "sleeper").symlink_to("/bin/sleep")
    process = sandbox.start(*ZKEXEC, "-s", "-e", f"A=1 HOME='x y' PATH='{folder}' sleeper 1000")
    (pid,) = until(lambda: children(process.pid), "the command runs")
    until(lambda: proc(pid, "cmdline").startswith(b"sleeper"), "it is the command")

    given = {b"A=1", b"HOME=x y", b"PATH=" + os.fsencode(folder)}
    assert given <= set(proc(pid, "environ").split(b"\0"))
    process.kill()
    process.wait()
    until(lambda: not is_alive(pid), "the kernel killed the command")


def test_checks_and_alerts_have_their_assignments(sandbox: Sandbox) -> None:
    """A health check and an alert have the variables that stand before them."""
    written = sandbox.folder / "written"
    write = f"sh -c 'echo $0 $A >>{written}'"
    check, alert = f"--health=A=1 {write} check", f"--alert=A=2 {write} alert"
    command = f"until [ -s {written} ]; do sleep 0.1; done; exit 3"

    assert sandbox.run(*ZKEXEC, "-s", "-d", "0", check, alert, "-e", command)[0] == 3
    assert {"check 1", "alert 2"} <= set(written.read_text().splitlines())


def test_a_command_string_is_the_child_itself(sandbox: Sandbox) -> None:
    """`--exec 'prog args'` makes prog the child, with the arguments that a shell would make."""
    command = f"{REPORTER} '{sandbox.report}' --until \"TERM\""
    process = sandbox.start(*ZKEXEC, "-s", "--exec", command)
    pid = born(sandbox.report)
    parent = fields(pid)[1]

    assert process.end() == 0
    assert parent == str(process.pid)


def test_shell_syntax_gets_a_shell(sandbox: Sandbox) -> None:
    """Variables, pipes and `&&` in a COMMAND mean what they mean to a shell."""
    command = "greeting=hello; echo $greeting there | tr a-z A-Z && exit 9"

    assert sandbox.run(*ZKEXEC, "-s", "-e", command) == (9, b"HELLO THERE\n", b"")


def test_a_script_without_its_first_line_runs(sandbox: Sandbox) -> None:
    """A script without `#!` is run by the shell, with its arguments, as a shell would do it."""
    script = sandbox.folder / "script"
    script.write_text('echo "$0 $1"; exit 4\n')
    script.chmod(0o755)

    assert sandbox.run(*WRAPPED, script, "word") == (4, f"{script} word\n".encode(), b"")


def test_the_mark_is_all_that_tests_add(sandbox: Sandbox) -> None:
    """zkexec's own variables reach the command as any others do."""
    status, out, _ = sandbox.run(*WRAPPED, "env")
    names = {line.split("=")[0] for line in out.decode().splitlines()}

    assert status == 0
    assert {MARK, "ZKEXEC_CLUSTER"} <= names
