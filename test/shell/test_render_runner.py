"""The process that renders: what it gets, how it is confined, and what is left of it."""

import os
import signal
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shell.remote_processes import RemoteProcesses
from support.processes import children, is_alive, proc, zombies
from support.waiting import DEADLINE_S, until
from zkexec.extras import installing
from zkexec.templates.template_filters import filters

Start = Callable[..., RemoteProcesses]
SECRET = "hunter2"  # noqa: S105 -- it is one for the tests
VALUES = {"/v": {"": "", "a": "A", "password": SECRET}}
ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)
SRC = Path(__file__).resolve().parents[2] / "src"


def finished(result: object, number: int = 1) -> dict[str, Any]:
    """The event by which the end of a rendering is reported."""
    return {"name": "RenderFinished", "number": number, "result": result}


def render(remote: RemoteProcesses, text: str, values: object = VALUES) -> object:
    """Render one template, and return the result."""
    assert remote.call("render", {"/t": text}, values) == []
    return remote.event()["result"]


def started(remote: RemoteProcesses, text: str = ENDLESS) -> int:
    """Begin to render one template, and return the pid once it has executed Python."""
    assert remote.call("render", {"/t": text}, VALUES) == []
    [pid] = until(lambda: children(remote.process.pid), "the process that renders")
    return pid


def is_rendering(pid: int) -> bool:
    """Whether a process can open no file any more, which is the last before a template is read."""
    limits = proc(pid, "limits").decode()
    return any(line.split()[3:5] == ["0", "0"] for line in limits.splitlines() if "files" in line)


def test_templates_are_rendered(drive: Start) -> None:
    """The contents come by target, and nothing is left of the process."""
    remote = drive(environment={"HOME": "/root", "ZKEXEC_AUTH": SECRET})
    templates = {"/a": "{{ zk('/v/a') }}\n", "/b": "{{ lock }} {{ member }} {{ env.HOME }}"}
    assert remote.call("render", templates, VALUES) == []

    assert remote.event() == finished({"/a": "A\n", "/b": "web a1 /root"})
    assert children(remote.process.pid) == []
    assert render(remote, "{{ env.ZKEXEC_AUTH is defined }}") == {"/t": "False"}


def test_an_error_is_reported(drive: Start) -> None:
    """A fault of a template and a missing znode are two kinds of results, and neither is a file."""
    remote = drive()
    lacks = "this value lacks 'nope', as attribute and as key"

    assert render(remote, "\n{{ env.nope }}") == f"RenderFailed: /t: line 2: {lacks}"
    assert render(remote, "{{ zk('/v/b') }}") == "ValueMissing: /v/b"
    assert render(remote, "{{ zk('/v/a') }}") == {"/t": "A"}
    assert zombies(remote.process.pid) == []


def test_many_values_arrive(drive: Start) -> None:
    """Values of any bytes are read, and output up to the limit is returned."""
    content = "\0\x01e\n" * 2**16
    values = {"/v": {f"{number:02}": content for number in range(4)}, "/w": {"": "x" * 99}}
    text = "{{ ls('/v')|length }} {{ zk('/v/03')|length }} {{ zk('/w') }}"

    assert render(drive(), text, values) == {"/t": f"4 {2**18} {'x' * 99}"}
    assert render(drive(), "{{ 'x' * (16 * 2 ** 20) }}") == {"/t": f"{16 * 2**20} bytes"}


MEMORY = "needs more than 512 MiB of memory"
TIME = "took longer than 2 s"
OUTPUT = "renders more than 16 MiB"
DEEP = "it calls or includes itself too deeply"
CRASHED = "the renderer was killed by SIGSEGV"
"""The parser of YAML is written in C, and nests calls as deep as its input."""
NO_YAML = "no valid YAML, or more than plain values, in line 1 of it"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
GREEDY = [
    (ENDLESS, {TIME}),
    ("{{ 'a' * 10 ** 9 }}", {MEMORY}),
    ("{{ '%1000000000d' % 1 }}", {MEMORY}),
    ("{{ '{:1000000000}'.format(1) }}", {MEMORY}),
    ("{{ [[1]] * 10 ** 9 }}", {MEMORY}),
    ("{{ 10 ** (10 ** 10) }}", {TIME, MEMORY}),
    ("{{ 'a'|center(10 ** 9) }}", {MEMORY}),
    ("{{ 'ab'|indent(10 ** 9, true) }}", {MEMORY}),
    ("{% set n = namespace(a='x') %}{% for i in range(99) %}{% set n.a = n.a ~ n.a %}{% endfor %}",
     {MEMORY, TIME}),
    ("{{ zk('/v/bomb')|from_yaml|to_json }}", {MEMORY, TIME}),
    ("{{ zk('/v/bomb')|from_yaml|to_yaml }}", {MEMORY, TIME}),
    ("{{ zk('/v/bomb')|from_yaml }}", {MEMORY, TIME}),
    ("{{ ('[' * 100000)|from_yaml }}", {DEEP, TIME, NO_YAML, CRASHED}),
    ("{{ ('[' * 100000)|from_json }}", {DEEP}),
    ("{{ range(100000000) }}", {"a range has more than 100,000 numbers"}),
    ("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", {OUTPUT}),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", {DEEP}),
    ("{% include '/v/itself' %}", {DEEP}),
    ("{% import '/v/imports' as x %}", {DEEP}),
    ("{{ (" + "(" * 5000 + "1" + ")" * 5000 + ") }}", {DEEP}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reasons"), GREEDY)
def test_a_greedy_template_ends_at_its_limit(drive: Start, text: str, reasons: set[str]) -> None:
    """Whatever a template uses up, its process ends, the limit is named, and the next works."""
    is_slow = TIME in reasons
    remote = drive(render_timeout_s=2.0 if is_slow else DEADLINE_S)
    included = {"itself": "{% include '/v/itself' %}", "imports": "{% import '/v/imports' as x %}"}
    result = render(remote, text, {"/v": {"bomb": BOMB, **included}})

    assert isinstance(result, str), result
    assert result.startswith("RenderFailed: ")
    assert result.removeprefix("RenderFailed: ").rpartition(": ")[2] in reasons
    assert children(remote.process.pid) == []
    if not is_slow:
        assert render(remote, "{{ zk('/v/a') }}") == {"/t": "A"}


def test_the_template_that_takes_too_long_is_named(drive: Start) -> None:
    """Of several templates, the reason names the one that the process was killed in."""
    templates = {"/a": "{{ 1 }}", "/b": ENDLESS, "/c": "{{ 1 }}"}
    for timeout_s in (1, 4, 16, DEADLINE_S):
        remote = drive(render_timeout_s=timeout_s)
        remote.call("render", templates, VALUES)
        result = remote.event()["result"]
        if result == f"RenderFailed: /b: took longer than {timeout_s:g} s":
            return
        # The machine was so busy that no template was begun.
        assert result == f"RenderFailed: took longer than {timeout_s:g} s"
    pytest.fail("no template was ever begun")


def test_a_process_that_does_not_end_is_killed(drive: Start) -> None:
    """A process that cannot end itself at its limit is killed from outside, and has failed."""
    remote = drive(render_timeout_s=1.0)
    pid = started(remote)
    os.kill(pid, signal.SIGSTOP)

    result = remote.event()["result"]
    assert result in (
        "RenderFailed: took longer than 1 s",
        "RenderFailed: /t: took longer than 1 s",
    )
    assert not is_alive(pid)


def test_a_kill_from_outside_is_no_fault_of_the_template(drive: Start) -> None:
    """A process that is killed, as for want of memory on the host, shows nothing about templates.

    The kernel takes it before any other process, if the memory runs out.
    """
    remote = drive()
    pid = started(remote)
    until(lambda: is_rendering(pid), "the template is rendered")
    assert proc(pid, "oom_score_adj") == b"1000\n"
    os.kill(pid, signal.SIGKILL)

    assert remote.event() == finished("NotRendered: the renderer ended early: killed by SIGKILL")


def test_a_secret_is_in_no_process_list(drive: Start) -> None:
    """Values, templates and the environment are on no command line and in no environment."""
    remote = drive(environment={"TOKEN": SECRET, "PYTHONPATH": "", "LC_ALL": "C"})
    pid = started(remote, ENDLESS + "{# hunter2 #}")
    until(lambda: is_rendering(pid), "the template is rendered")

    assert proc(remote.process.pid, "environ").count(SECRET.encode()) == 1
    assert proc(pid, "environ") == b"PYTHONHASHSEED=0\0"
    assert sys.executable.encode() in proc(pid, "cmdline")
    assert SECRET.encode() not in proc(pid, "cmdline")
    remote.call("reset_rendering")


def test_the_process_is_confined(drive: Start) -> None:
    """It has no descriptor of zkexec's and no file of a disk, and can open none; it has limits."""
    reading, writing = os.pipe()
    remote = drive(options={"pass_fds": [reading]}, render_timeout_s=60.0)
    assert str(reading) in os.listdir(f"/proc/{remote.process.pid}/fd")
    pid = started(remote)
    until(lambda: is_rendering(pid), "the template is rendered")

    folder = f"/proc/{pid}/fd"
    opened = {name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
    assert opened["0"] == opened["2"] == "/dev/null"
    assert opened.pop("1").startswith("/memfd:")
    assert sorted(opened) == ["0", "2"]
    limits = proc(pid, "limits").decode().splitlines()[1:]
    found = {line[:26].strip(): line[26:].split()[:2] for line in limits}
    assert found["Max address space"] == [str(512 * 2**20)] * 2
    assert found["Max core file size"] == ["0", "0"]
    assert found["Max processes"] == ["0", "0"]
    assert found["Max cpu time"] == ["62", "62"]
    assert 16 * 2**20 < int(found["Max file size"][1]) < 17 * 2**20
    assert os.getsid(pid) == pid
    remote.call("reset_rendering")
    os.close(reading)
    os.close(writing)


def test_signals_of_the_caller_do_not_keep_a_limit_away(drive: Start) -> None:
    """Though zkexec was started with the timer's signal ignored, the limit of time holds."""
    before = ("sh", "-c", "trap '' ALRM XCPU XFSZ; exec \"$@\"", "sh")
    remote = drive(before=before, render_timeout_s=1.0)

    result = str(render(remote, ENDLESS))
    assert result.startswith("RenderFailed: ")
    assert result.endswith("took longer than 1 s")


def test_all_filters_work_without_files(drive: Start) -> None:
    """Each filter does its work in a process that can open no file, whatever Python imports."""
    uses = (
        "'a b'|capitalize", "'<a>'|striptags", "'a b c d'|wordwrap(3)", "{'b': [1]}|pprint",
        "'see http://example.org'|urlize", "'ä ö'|urlencode", "{'a': 'ä'}|xmlattr", "'<'|e",
        "[{'a': 1}]|groupby('a')", "1.5|round", "10000|filesizeformat", "[1]|tojson", "'a'|title",
        "'\\u00e4\\n\\N{BULLET}\\x41'|center(9)", "'a'.encode('latin-1')", "[2, 1]|sort|join('-')",
        "'%05.1f'|format(1)", "'{:>5}'.format('é')", "'aMOp'|b64decode|upper", "'a'|forceescape",
        "{'a': [1, 'x: y']}|to_yaml|from_yaml|to_json|from_json", "'x'|b64encode|truncate(3)",
        "zk('/v/a')|indent|trim|wordcount", "{'b': 1}|dictsort", "['a', 'b']|batch(2)|list",
    )  # fmt: skip
    assert {name for name in filters() if not any(name in use for use in uses)} == set()
    templates = {use: f"{{{{ {use} }}}}" for use in uses}
    remote = drive()
    assert remote.call("render", templates, VALUES) == []

    result = remote.event()["result"]
    assert isinstance(result, dict), result
    assert list(result) == list(uses)


def test_a_reset_reports_nothing(drive: Start) -> None:
    """After a reset the process is gone, its end is not reported, and the next can begin."""
    remote = drive()
    pid = started(remote)

    remote.call("reset_rendering")
    assert remote.call("render", {"/t": "{{ zk('/v/a') }}"}, VALUES, 2) == []
    assert remote.event() == finished({"/t": "A"}, number=2)
    assert not is_alive(pid)
    assert zombies(remote.process.pid) == []


def test_zkexec_serves_everything_meanwhile(drive: Start) -> None:
    """While a template is rendered, signals are passed on, and a command and a check run."""
    remote = drive(command=["sleep", "1000"], health=["true"])
    pid = started(remote)
    command = remote.start_command()

    os.kill(remote.process.pid, signal.SIGUSR1)
    assert remote.signal() == [signal.SIGUSR1, False]
    assert remote.event()["name"] == "CommandExited"
    assert not is_alive(command)
    assert remote.call("run_check", 1) == []
    assert remote.event()["name"] == "HealthCheckFinished"
    assert is_alive(pid)
    remote.call("reset_rendering")


def test_the_end_of_zkexec_ends_it(drive: Start) -> None:
    """No process that renders is left if zkexec closes, or is killed by SIGKILL."""
    closed, killed = drive(), drive()
    pids = [started(closed), started(killed)]

    closed.call("close")
    assert not is_alive(pids[0])
    killed.process.kill()
    until(lambda: not is_alive(pids[1]), "the end of the process that renders")


def test_it_imports_the_zkexec_that_runs(drive: Start, tmp_path: Path) -> None:
    """A zkexec in an archive starts the renderer of the archive, and takes no other one."""
    archive = tmp_path / "zkexec.pyz"
    write_archive(archive, "1.of.the.archive")
    remote = drive(environment={"PYTHONPATH": str(archive)})
    assert render(remote, "{{ zk('/v/a') }}") == {"/t": "A"}

    write_archive(archive, "2.of.the.archive")
    result = render(remote, "{{ zk('/v/a') }}")
    assert result == "NotRendered: zkexec was updated on the disk: restart it"
    archive.unlink()
    result = render(remote, "{{ zk('/v/a') }}")
    assert result == "NotRendered: the renderer ended early: exit status 1"


def write_archive(archive: Path, version: str) -> None:
    """Write an archive of the product, with a version of its own."""
    first = SRC / "zkexec" / "__init__.py"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(set((SRC / "zkexec").rglob("*.py")) - {first}):
            file.write(path, path.relative_to(SRC))
        file.writestr("zkexec/__init__.py", f"__version__ = {version!r}\n")


def test_a_missing_package_is_a_matter_of_the_host(drive: Start, tmp_path: Path) -> None:
    """If Jinja2 cannot be imported, no template is at fault; the package to install is named."""
    (tmp_path / "jinja2.py").write_text("raise ImportError(name='jinja2')\n")
    remote = drive(environment={"PYTHONPATH": str(tmp_path)})

    assert render(remote, "{{ 1 }}") == (
        f"NotRendered: cannot import jinja2: {installing('templates')}"
    )


def test_without_memory_on_the_host_nothing_is_started(drive: Start) -> None:
    """If no descriptor is left for the request, that is reported, and the next rendering works."""
    remote = drive()
    [event] = remote.call("render_without_descriptors")

    assert event == finished("NotRendered: cannot hand the templates over: Too many open files")
    assert render(remote, "{{ zk('/v/a') }}") == {"/t": "A"}
