"""Templates with one zkexec: what is rendered again, what fails, and what stays secret."""

import re
import signal
import stat
import threading
from pathlib import Path
from typing import Self

import pytest

from support.inputs_host import InputsHost
from support.mirrored_host import Birth, quoted
from support.process_limit import MANY, NONE, can_be_limited, limited_user, spare
from support.processes import children, is_alive, is_gone, pids, proc, zombies
from support.program import Program
from support.sandbox import REPORTER, ZKEXEC, born
from support.waiting import lines, until, until_line, until_lines

CANNOT_WORK = 125
RENDERER = b"zkexec.templates.renderer"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

limits_bind = pytest.mark.skipif(not can_be_limited(), reason="no limit of processes binds here")


def value(inputs: InputsHost, below: str, default: str = "") -> str:
    """What a template contains to get a value."""
    more = f", '{default}'" if default else ""
    return f"{{{{ zk('{inputs.values.path(below)}'{more}) }}}}"


def prepare(inputs: InputsHost, template: str, **values: str) -> None:
    """Write the values and the template."""
    inputs.values.write({"": "", **values})
    inputs.create(template=template.encode())


def follow(inputs: InputsHost, *options: str, **additions: str) -> Program:
    """Start zkexec on the template, with a recorder that reads what is rendered."""
    words = (*inputs.template_options(), *options)
    return inputs.run(*words, reads=("rendered",), additions=additions)


def rendered(birth: Birth) -> str:
    """What a start of the recorder has read."""
    return str(birth.files["rendered"])


def renderers(run: Program) -> list[int]:
    """The processes of a zkexec that render, and live."""
    return [pid for pid in children(run.pid) if is_renderer(pid)]


def is_renderer(pid: int) -> bool:
    """Whether a process renders."""
    return RENDERER in proc(pid, "cmdline") and is_alive(pid)


def test_values_and_templates_that_change(inputs: InputsHost) -> None:
    """A change of a value is rendered, and so is one of the template itself."""
    text = f"port {value(inputs, 'port')} on {{{{ hostname }}}}\n"
    prepare(inputs, text, port="80")
    run = follow(inputs)
    host = Path("/proc/sys/kernel/hostname").read_text().strip()
    assert rendered(inputs.born()) == f"port 80 on {host}\n"

    inputs.values.write({"port": "81"})
    assert rendered(inputs.born(2)) == f"port 81 on {host}\n"
    inputs.set(template=b"new " + text.encode())

    assert rendered(inputs.born(3)) == f"new port 81 on {host}\n"
    assert run.end() == 0
    assert len(inputs.births()) == 3


def test_values_that_come_and_go(inputs: InputsHost) -> None:
    """`ls` follows what is added and removed below, ephemeral znodes too; a default stands in."""
    backends = inputs.values.path("backends")
    text = f"{{% for name in ls('{backends}') %}}{{{{ name }}}} {{% endfor %}}"
    prepare(inputs, text + value(inputs, "last", "none"))
    run = follow(inputs)
    assert rendered(inputs.born()) == "none"

    inputs.values.write({"backends/b": "1", "backends/a": "2"})
    assert rendered(inputs.born(2)) == "a b none"
    inputs.client.create(f"{backends}/c", b"here", ephemeral=True)
    assert rendered(inputs.born(3)) == "a b c none"
    inputs.client.delete(f"{backends}/c")
    assert rendered(inputs.born(4)) == "a b none"
    inputs.values.write({"backends/b": None, "last": "some"})

    assert rendered(inputs.born(5)) == "a some"
    assert run.end() == 0


def test_templates_that_include_others(inputs: InputsHost) -> None:
    """What a template includes is below --values, and a change of it is one of the file."""
    part = inputs.values.path("part")
    prepare(inputs, f"head {{% include '{part}' %}}", part="part {{ hostname is string }}")
    run = follow(inputs)
    assert rendered(inputs.born()) == "head part True"

    inputs.values.write({"part": "changed"})

    assert rendered(inputs.born(2)) == "head changed"
    assert run.end() == 0


def test_equal_bytes_restart_nothing(inputs: InputsHost) -> None:
    """If the rendered file is the same, the change is logged, and nothing is written or done."""
    prepare(inputs, value(inputs, "used"), used="1", unused="1")
    run = follow(inputs)
    first = inputs.born()
    inode = inputs.file("rendered").stat().st_ino

    inputs.values.write({"unused": "2"})
    run.until("the inputs changed, but nothing on this host differs")
    inputs.set(template=f"{{# a comment #}}{value(inputs, 'used')}".encode())
    run.until("nothing on this host differs", count=2)
    inputs.only(first)
    assert inputs.file("rendered").stat().st_ino == inode
    inputs.values.write({"used": "2"})

    assert rendered(inputs.born(2)) == "2"
    assert run.end() == 0


def test_an_error_at_the_start(inputs: InputsHost) -> None:
    """An error of a template ends the first start with 125, and no target is touched."""
    prepare(inputs, "first line\n{{ undefined_name }}\n")
    inputs.file("rendered").write_text("old")
    inputs.create(single=b"new")
    inputs.file("single").write_text("old")

    run = follow(inputs, "--silent", *inputs.mirrors("single"))

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert inputs.path("template") in line
    assert "undefined_name" in line
    assert re.search(r"line 2|:2", line), line
    assert not inputs.births()
    assert [inputs.content(name) for name in ("rendered", "single")] == [b"old", b"old"]


def test_an_error_later(inputs: InputsHost) -> None:
    """Files and command stay, the alert names step, template and line; newer content is used."""
    prepare(inputs, value(inputs, "v"), v="1")
    run = follow(inputs, inputs.alert_option)
    first = inputs.born()

    inputs.set(template=b"line\n{% if %}")
    until_lines(inputs.alerts)
    (alert,) = lines(inputs.alerts)
    assert alert.startswith("restart-failed|render|")
    assert inputs.path("template") in alert
    assert re.search(r"line 2|:2", alert), alert
    inputs.only(first)
    assert inputs.content("rendered") == b"1"
    inputs.set(template=b"good again\n")

    assert rendered(inputs.born(2)) == "good again\n"
    assert run.end() == 0
    assert len(lines(inputs.alerts)) == 1


def test_an_error_of_a_value(inputs: InputsHost) -> None:
    """A value on which the template fails changes nothing; a good one of it is applied."""
    limits = f"(zk('{inputs.values.path('limits')}') | from_yaml)"
    prepare(inputs, f"{{{{ {limits}.timeout_s }}}}", limits="timeout_s: 5")
    run = follow(inputs, inputs.alert_option)
    first = inputs.born()

    inputs.values.write({"limits": "secret-limit: {"})
    until_lines(inputs.alerts)
    inputs.only(first)
    assert "secret-limit" not in run.stderr.text + inputs.alerts.read_text()
    inputs.values.write({"limits": "timeout_s: 6"})

    assert rendered(inputs.born(2)) == "6"
    assert run.end() == 0
    assert len(lines(inputs.alerts)) == 1


def test_what_failed_is_tried_again_if_it_is_written_again(inputs: InputsHost) -> None:
    """The same bytes written again are rendered again: another failure, another alert."""
    prepare(inputs, "good")
    run = follow(inputs, inputs.alert_option)
    first = inputs.born()

    for count in (1, 2):
        inputs.set(template=b"{{ undefined_name }}")
        until_lines(inputs.alerts, count)
    inputs.only(first)
    inputs.set(template=b"good")
    run.until("the old content is back|nothing on this host differs")

    inputs.only(first)
    assert run.end() == 0
    assert [line.split("|")[:2] for line in lines(inputs.alerts)] == [
        ["restart-failed", "render"]
    ] * 2


def test_the_old_content_after_an_error(inputs: InputsHost) -> None:
    """A template with an error beside another change: neither is applied, then both are."""
    prepare(inputs, value(inputs, "v"), v="1")
    inputs.create(single=b"one")
    run = inputs.run(
        *inputs.template_options(),
        *inputs.mirrors("single"),
        inputs.alert_option,
        reads=("rendered", "single"),
    )
    first = inputs.born()

    inputs.set(template=b"{{ undefined_name }}", single=b"two")
    until_lines(inputs.alerts)
    inputs.only(first)
    assert inputs.content("single") == b"one"
    inputs.set(template=b"good")

    assert inputs.born(2).files == {"rendered": "good", "single": "two"}
    assert run.end() == 0


def test_a_missing_value_at_the_start(inputs: InputsHost) -> None:
    """A znode that the template needs and that does not exist is named: 125."""
    prepare(inputs, value(inputs, "needed"))

    run = follow(inputs, "--silent")

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert f"{inputs.values.path('needed')} does not exist" in line
    assert not inputs.file("rendered").exists()


def test_start_wait_waits_for_values(inputs: InputsHost) -> None:
    """With --start wait the command starts as soon as all values are there that it needs."""
    prepare(inputs, value(inputs, "a") + value(inputs, "b"))

    run = follow(inputs, "--start=wait")
    run.until(f"waiting .*{inputs.values.path('a')} does not exist")
    inputs.values.write({"a": "1"})
    run.until(f"waiting .*{inputs.values.path('b')} does not exist")
    assert not inputs.births()
    inputs.values.write({"b": "2"})

    assert rendered(inputs.born()) == "12"
    assert run.end() == 0


def test_a_value_that_goes_missing(inputs: InputsHost) -> None:
    """A needed znode that is deleted later is a warning and no alert; files and command stay."""
    prepare(inputs, value(inputs, "needed"), needed="1")
    run = follow(inputs, inputs.alert_option)
    first = inputs.born()

    inputs.values.write({"needed": None})
    needed = inputs.values.path("needed")
    run.until(f"{needed} does not exist, .*no default for it; the files and the command stay")
    inputs.only(first)
    assert inputs.content("rendered") == b"1"
    inputs.values.write({"needed": "2"})

    assert rendered(inputs.born(2)) == "2"
    assert run.end() == 0
    assert not inputs.alerts.exists()


def test_a_path_outside_of_the_values(inputs: InputsHost) -> None:
    """Another znode than those below --values is an error that names --values."""
    prepare(inputs, f"{{{{ zk('{inputs.path('template')}') }}}}")

    run = follow(inputs, "--silent")

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert "--values" in line


def test_a_local_template_is_read_once(inputs: InputsHost) -> None:
    """A template in a file counts as it was when zkexec started, until zkexec starts again."""
    file = inputs.sandbox.folder / "local.j2"
    file.write_text(f"old {value(inputs, 'v')}")
    inputs.values.write({"v": "1"})
    options = (f"--template={inputs.file('rendered')}=@{file}", f"--values={inputs.values.root}")
    run = inputs.run(*options, reads=("rendered",))
    assert rendered(inputs.born()) == "old 1"

    file.write_text(f"new {value(inputs, 'v')}")
    inputs.values.write({"v": "2"})
    assert rendered(inputs.born(2)) == "old 2"
    assert run.end() == 0
    again = inputs.run(*options, reads=("rendered",))

    assert rendered(inputs.born(3)) == "new 2"
    assert again.end() == 0


def test_a_rendered_file_that_is_checked_and_reloaded(inputs: InputsHost) -> None:
    """The check gets the rendered file under its own name, and a reload follows."""
    prepare(inputs, value(inputs, "v"), v="1")
    loaded = inputs.sandbox.folder / "loaded"
    run = follow(
        inputs,
        inputs.alert_option,
        '--check=test "$(basename "$1")" = rendered && ! grep -Hn bad "$1"',
        f"--on-change={inputs.file('rendered')}=reload",
        f"--reload=cat {inputs.file('rendered')} >>{loaded}; echo >>{loaded}",
    )
    first = inputs.born()

    inputs.values.write({"v": "bad"})
    until_lines(inputs.alerts)
    assert lines(inputs.alerts)[0].startswith("restart-failed|check|")
    inputs.values.write({"v": "2"})
    until_line(loaded, "2")
    inputs.only(first)
    assert lines(loaded) == ["2"]
    assert run.end() == 0


HOSTILE = {
    "memory": "{{ 'a' * 10 ** 9 }}",
    "number": "{{ 9 ** (9 ** 9) }}",
    "endless": ENDLESS,
    "recursion": "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "output": "{% for n in range(20000) %}{{ 'x' * 1024 }}\n{% endfor %}",
    "attributes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "itself": "{% include VALUES %}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_template(inputs: InputsHost, kind: str) -> None:
    """It ends within the limit as an error and leaves no process; the command is untouched."""
    template = HOSTILE[kind].replace("VALUES", f"'{inputs.values.path('itself')}'")
    prepare(inputs, "good", itself=template)
    run = follow(inputs, inputs.alert_option, "--template-timeout=3")
    first = inputs.born()

    inputs.set(template=template.encode())
    run.until(lambda: lines(inputs.alerts), "an alert")
    assert lines(inputs.alerts)[0].startswith("restart-failed|render|"), run.story()
    inputs.only(first)
    run.until(lambda: children(run.pid) == [first.pid], "only the command is left")
    inputs.set(template=b"good again")

    assert rendered(inputs.born(2)) == "good again"
    assert zombies(run.pid) == []
    assert run.end() == 0


def test_signals_and_health_checks_while_it_renders(inputs: InputsHost) -> None:
    """While a rendering runs, signals are passed on, and health checks begin and end."""
    prepare(inputs, "good")
    checks = inputs.sandbox.folder / "checks"
    run = inputs.start(
        f"--state-dir={inputs.state}",
        *inputs.template_options(),
        inputs.alert_option,
        "--template-timeout=60",
        f"--health=echo x >>{checks}",
        "--health-delay=0.1",
        "--health-interval=0.1",
        f"--exec={quoted(REPORTER, inputs.sandbox.report)}",
    )
    born(inputs.sandbox.report)

    inputs.set(template=ENDLESS.encode())
    (renderer,) = until(lambda: renderers(run), "it renders")
    count = len(lines(checks))
    run.signal(signal.SIGUSR1)
    until_line(inputs.sandbox.report, "got USR1")
    until_lines(checks, count + 3)
    assert is_renderer(renderer)
    assert not inputs.alerts.exists()
    run.terminate()
    run.wait()

    until(lambda: is_gone(renderer), "the renderer is gone")
    assert not inputs.alerts.exists()
    inputs.sandbox.wait_until_empty()


def test_a_renderer_does_not_outlive_a_killed_zkexec(inputs: InputsHost) -> None:
    """If zkexec is killed, what renders for it ends as well, and the next start works."""
    prepare(inputs, "good")
    run = follow(inputs, "--template-timeout=600")
    inputs.born()
    inputs.set(template=ENDLESS.encode())
    (renderer,) = until(lambda: renderers(run), "it renders")

    run.kill()
    run.wait()
    until(lambda: is_gone(renderer), "the renderer is gone")
    inputs.set(template=b"good again")
    again = follow(inputs, "--template-timeout=600")

    assert rendered(inputs.born(2)) == "good again"
    assert again.end() == 0


def test_a_start_that_is_ended_while_it_renders(inputs: InputsHost) -> None:
    """A TERM ends zkexec at once while it renders for the first start."""
    prepare(inputs, ENDLESS)
    run = follow(inputs, "--template-timeout=600")
    (renderer,) = until(lambda: renderers(run), "it renders")

    assert run.end() == -signal.SIGTERM
    until(lambda: is_gone(renderer), "the renderer is gone")
    assert not inputs.births()


def test_newer_content_after_an_endless_template(inputs: InputsHost) -> None:
    """What is written while a rendering runs is rendered after it, and applied."""
    prepare(inputs, "good")
    run = follow(inputs, "--template-timeout=5")
    inputs.born()
    inputs.set(template=ENDLESS.encode())
    until(lambda: renderers(run), "it renders")

    inputs.set(template=b"newer")

    assert rendered(inputs.born(2)) == "newer"
    assert run.end() == 0
    assert len(inputs.births()) == 2


@limits_bind
def test_a_rendering_without_a_process(inputs: InputsHost) -> None:
    """If there is no process for it, rendering is tried again; the template has not failed."""
    prepare(inputs, value(inputs, "v"), v="1")
    program = (*limited_user(), "prlimit", f"--nproc={MANY}:", "--", *ZKEXEC)
    inputs.state.mkdir(mode=0o777)
    inputs.state.chmod(0o777)
    run = inputs.run(
        *inputs.template_options(), inputs.alert_option, reads=("rendered",), program=program
    )
    first = inputs.born()
    spare(run.pid, NONE)

    inputs.values.write({"v": "2"})
    run.until("cannot render the templates: .*; next attempt in ")
    inputs.only(first)
    spare(run.pid, MANY)

    assert rendered(inputs.born(2)) == "2"
    assert run.end() == 0
    assert not inputs.alerts.exists()


class Eavesdropper:
    """Another process that searches for a secret all the time, where any user may read."""

    def __init__(self, inputs: InputsHost, secrets: list[str]) -> None:
        self.leaks: set[str] = set()
        self.renderers = 0
        self._folders = [inputs.folder, inputs.state, inputs.sandbox.folder / "temporary"]
        self._secrets = [secret.encode() for secret in secrets]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._over.is_set():
            for pid in pids():
                self._search(f"cmdline of {pid}", proc(pid, "cmdline"))
                if is_renderer(pid):
                    self.renderers += 1
                    self._search(f"environment of renderer {pid}", proc(pid, "environ"))
            for folder in self._folders:
                self._walk(folder)

    def _walk(self, folder: Path) -> None:
        try:
            if not folder.stat().st_mode & stat.S_IXOTH:
                return
            for path in folder.iterdir():
                if path.is_dir():
                    self._walk(path)
                elif path.stat().st_mode & 0o044:
                    self._search(f"{path}, which all can read", path.read_bytes())
        except OSError:
            return

    def _search(self, what: str, content: bytes) -> None:
        if any(secret in content for secret in self._secrets):
            self.leaks.add(what)


def test_secrets_are_nowhere(inputs: InputsHost) -> None:
    """Values, texts and facts are in no log, alert or command line, and in no file for all."""
    secret, text, fact = "secret-a1b2", "text-c3d4", "fact-e5f6"
    temporary = inputs.sandbox.folder / "temporary"
    temporary.mkdir()
    template = f"{text} {{{{ env.FACT }}}} {value(inputs, 'v')}"
    prepare(inputs, template, v=secret)
    inputs.folder.chmod(0o755)
    options = ("--verbose", "--log-format=json", "--mode=0600", '--check=test -f "$1"')
    with Eavesdropper(inputs, [secret, text, fact]) as eavesdropper:
        run = follow(inputs, inputs.alert_option, *options, FACT=fact, TMPDIR=str(temporary))
        assert rendered(inputs.born()) == f"{text} {fact} {secret}"
        for number in range(2, 6):
            inputs.values.write({"v": f"{secret} {number}"})
            inputs.born(number)
        bad = [
            f"{{{{ {value(inputs, 'v')[3:-3]}.nothing.below }}}}",
            f"{{{{ zk({value(inputs, 'v')[3:-3]}) }}}}",
            f"{{{{ env.FACT | from_json }}}} {text}",
            f"{{% include env.FACT %}} {text}",
            f"{{{{ {value(inputs, 'v')[3:-3]} | int(base=99) + 'x' }}}} {text}",
            f"{{{{ '{text}'[env.FACT]() }}}}",
        ]
        for number, one in enumerate(bad, 1):
            inputs.set(template=one.encode())
            until_lines(inputs.alerts, number)
        assert run.end() == 0

    assert eavesdropper.renderers
    assert eavesdropper.leaks == set()
    reports = run.stderr.text + inputs.alerts.read_text()
    assert inputs.alerts.read_text().count("restart-failed|render|") == len(bad)
    for hidden in (secret, fact):
        assert hidden not in reports
    assert text not in reports.replace(f"'{text}'", "")
    (state,) = inputs.state.iterdir()
    assert not any(hidden.encode() in state.read_bytes() for hidden in (secret, text, fact))
