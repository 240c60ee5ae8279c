"""What zkexec logs: the form of each line, how much of it, and that no line contains a content."""

import json
import os
import re
import signal
import socket
from datetime import datetime
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.program import Program
from support.proxy import Proxy
from support.sandbox import ZKEXEC, faulty
from support.waiting import until

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d")
LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] .+")
SECRET = "correct-horse-battery-staple"  # noqa: S105 - To be looked for, not to be kept.
OFTEN = ("--health-delay=0.1", "--health-interval=0.1")
LEVELS = {"debug", "info", "warning", "fatal"}
VERBOSITIES: list[tuple[str, ...]] = [(), ("--verbose",), ("--silent",)]
FORMATS = ["--log-format=text", "--log-format=json"]


def eventful(host: MirroredHost, *options: str) -> Program:
    """Run a command through changes, failed health checks and alerts."""
    host.create(a=b"one", b=b"one")
    run = host.wrap("--health=false", "--alert=true", *OFTEN, *options, names="a b")
    host.born()
    host.set(a=b"two", b=b"two")
    host.born(2)
    host.delete("b")
    host.set(a=b"three")
    host.create(b=b"two")
    host.born(3)
    return run


def objects(run: Program) -> list[dict[str, object]]:
    """The lines of a JSON log."""
    return [json.loads(line) for line in run.stderr.lines]


def test_every_line_of_text_has_the_same_form(host: MirroredHost) -> None:
    """A line is a date with its zone in brackets, a blank, and the message."""
    run = eventful(host, "--verbose")
    run.until("alerting via")

    assert run.end() == 0
    assert [line for line in run.stderr.lines if not LINE.fullmatch(line)] == []
    assert run.stdout.lines == []


def warnings_of_programs(host: MirroredHost, commands: dict[str, str]) -> list[str]:
    """The warnings of a zkexec with these commands; its PATH begins with the folder `bin`."""
    options = [f"--{name}={command}" for name, command in commands.items()]
    path = f"{host.sandbox.folder}/bin:{os.environ['PATH']}"
    environment = host.sandbox.environment(PATH=path)
    words = (*options, *host.mirrors("a"), "--health-delay=1000", "--", "true")
    run = host.start(*words, env=environment)
    run.wait()  # without a program for the check, the first start fails
    lines = run.stderr.matching("there is no program")
    return [line.partition("] ")[2] for line in lines if line.endswith("or correct its name")]


def test_a_program_that_does_not_exist_is_a_warning(host: MirroredHost) -> None:
    """Programs that are needed later are searched at the start as exec does it, without a shell."""
    host.create(a=b"one")
    folder = host.sandbox.folder
    for path in ("bin/in-path", "beside"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("#!/bin/sh\n")
        (folder / path).chmod(0o755)
    (folder / "dangling").symlink_to("nothing")
    missing = {
        "health": "no-such-program -q",
        "alert": "/no/such/alert",
        "check": f"PATH={folder} in-path",
        "pre-stop": "./none",
        "post-healthy": "./dangling",
    }
    found = {
        "health": "in-path -q",
        "alert": "PATH=/none && no-such-program",
        "check": f"PATH={folder} beside",
        "pre-stop": "./beside",
        "post-healthy": "exec no-such-program",
    }

    names = ("no-such-program", "/no/such/alert", "in-path", "./none", "./dangling")
    assert warnings_of_programs(host, missing) == [
        f"--{option}: there is no program {name}: install it, or correct its name"
        for option, name in zip(missing, names, strict=True)
    ]
    assert warnings_of_programs(host, found) == []


def test_the_lines_of_the_tutorial(host: MirroredHost) -> None:
    """The lines that the tutorial shows are there word for word, and in its order."""
    host.create(a=b"one")
    run = host.start(*OFTEN, "--health=true", *host.mirrors("a"), "--exec=sleep 1000")
    run.until("successful health check", count=2)
    run.end()

    said = [line.partition("] ")[2] for line in run.stderr.lines]
    forked = next(line for line in said if line.startswith("forked "))
    expected = [
        f"connecting to {host.hosts}",
        "connected",
        f"registering callback on {host.path('a')}",
        "forking sleep 1000",
        forked,
        "health checking via: true",
        "successful health check",
        "health checking via: true",
    ]
    assert re.fullmatch(r"forked \d+", forked)
    assert [line for line in said if not line.startswith("wrote ")][:8] == expected


def test_json_is_one_object_a_line(host: MirroredHost) -> None:
    """Each line has time, level, event and message, and the fields of its event."""
    run = eventful(host, "--log-format=json", "--verbose")
    run.until('"alerting"')
    births = host.births()

    assert run.end() == 0
    said = objects(run)
    for line in said:
        assert RFC_3339.fullmatch(str(line["time"]))
        assert datetime.fromisoformat(str(line["time"])).tzinfo
        assert line["level"] in LEVELS
        assert re.fullmatch("[a-z-]+", str(line["event"]))
        assert line["message"]
    by_event = {str(line["event"]): line for line in said}
    assert [line["pid"] for line in said if line["event"] == "command-started"] == [
        b.pid for b in births
    ]
    assert {"path", "size", "sha256"} <= by_event["changed"].keys()
    assert by_event["registering"]["path"] == host.path("b")
    assert by_event["health-check-failed"]["reason"] == "exit status 1"
    assert by_event["alerting"]["alert"] == "health-failed"


def test_verbose_logs_the_phases(host: MirroredHost) -> None:
    """With --verbose each phase of a restart is logged, and without it none."""
    run = eventful(host, "--verbose")
    run.end()
    phases = [line.partition("] ")[2] for line in run.stderr.matching(r"\] \w+ -> \w+$")]
    assert phases[:5] == [
        "loading -> running",
        "running -> waiting",
        "waiting -> stopping",
        "stopping -> verifying",
        "verifying -> running",
    ]
    assert phases[-2:] == ["running -> exiting", "exiting -> done"]

    plain = host.start("--exec=true")
    plain.wait()
    assert not plain.stderr.matching(" -> ")


def test_silent_logs_only_what_is_fatal(host: MirroredHost) -> None:
    """Changes, failed checks, alerts and warnings leave no line under --silent."""
    run = eventful(host, "--silent")

    assert run.end() == 0
    assert run.stderr.lines == []
    assert run.stdout.lines == []


@pytest.mark.parametrize("form", FORMATS)
def test_one_note_is_one_line(host: MirroredHost, form: str) -> None:
    """Commands with newlines and control characters do not break a line of the log."""
    command = "true\ntrue \x1b[31m\u2028"
    options = ("--verbose", form, "--health", "true\nfalse", "--alert", "true\ntrue", *OFTEN)
    run = host.start(*options, "--exec", f"sleep 1; {command}\nexit 3")

    assert run.wait() == 3
    assert run.stderr.matching("alerting")
    for line in run.stderr.lines:
        assert LINE.fullmatch(line) if form == FORMATS[0] else json.loads(line)
        assert line.isprintable()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_contents_are_never_logged(
    host: MirroredHost, proxy: Proxy, *, verbosity: tuple[str, ...], form: str
) -> None:
    """No content is logged at a start, a change, or an error of files and connections."""
    host.hosts = proxy.hosts
    host.create(a=SECRET.encode())
    run = host.wrap(*verbosity, form, "--alert=true")
    host.born()
    host.set(a=f"{SECRET} 2".encode())
    host.born_with(a=f"{SECRET} 2")
    host.file("a").unlink()
    host.file("a").mkdir()
    host.set(a=f"{SECRET} 3".encode())
    if verbosity != ("--silent",):
        run.until("cannot write")
        proxy.cut()
        run.until("connected", count=2 if form == FORMATS[0] else 3)

    assert run.end() == 0
    assert SECRET not in run.stderr.text
    assert SECRET not in "".join(run.stdout.lines)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_an_internal_error_logs_no_contents(
    host: MirroredHost, tmp_path: Path, *, verbosity: tuple[str, ...], form: str
) -> None:
    """An error inside zkexec is one line without contents; details show where it happened."""
    trip = tmp_path / "trip"
    host.create(a=SECRET.encode())
    command = f"--exec={host.recorder('a')}"
    program = faulty("event", "FilesStaged", "natural-once", trip)
    run = host.start(*verbosity, form, *host.mirrors("a"), command, program=program)
    host.born()

    trip.touch()
    host.set(a=f"{SECRET} 2".encode())
    host.born_with(a=f"{SECRET} 2")

    run.end()
    logged = run.stderr.matching("zkexec failed internally.*MistakeError: a mistake of the test")
    assert len(logged) == (verbosity != ("--silent",))
    is_json = form == FORMATS[1]
    shows_place = verbosity == ("--verbose",) or is_json
    assert bool(run.stderr.matching("wrong_handle")) is (shows_place and bool(logged))
    assert SECRET not in run.stderr.text
    if is_json:
        assert {line["level"] for line in objects(run)} <= LEVELS
    else:
        assert [line for line in run.stderr.lines if not LINE.fullmatch(line)] == []


def test_a_log_that_cannot_be_written_ends_nothing(host: MirroredHost) -> None:
    """A reader of stderr that goes away, as in `2>&1 | head -1`, costs the command nothing."""
    host.create(a=b"one")
    zkexec = quoted(*ZKEXEC, f"--cluster={host.hosts}", *host.mirrors("a"))
    run = host.sandbox.start("sh", "-c", f"{zkexec} -- {host.recorder('a')} 2>&1 | head -n 1")
    host.born()

    host.set(a=b"two")
    host.born(2)
    host.set(a=b"three")

    assert host.born(3).files == {"a": "three"}
    assert run.is_running()


FAILURES = [
    ("exit 3", 3, "command failed: exit status 3"),
    ("kill -SEGV $$", -signal.SIGSEGV, "command failed: killed by SIGSEGV"),
]


@pytest.mark.parametrize(("script", "status", "message"), FAILURES)
def test_a_failed_command_is_a_warning(
    host: MirroredHost, *, script: str, status: int, message: str
) -> None:
    """The log names how the command failed, and its level is warning."""
    run = host.start("--log-format=json", "--", "sh", "-c", script)

    assert run.wait() == status
    (line,) = [line for line in objects(run) if line["event"] == "command-failed"]
    assert (line["level"], line["message"]) == ("warning", message)
    assert objects(run)[-1] == line


@pytest.mark.parametrize(("script", "status", "message"), FAILURES)
def test_silent_does_not_log_a_failed_command(
    host: MirroredHost, *, script: str, status: int, message: str
) -> None:
    """With --silent the exit status is all that shows that the command failed."""
    silent = host.start("--silent", "--", "sh", "-c", script)
    assert silent.wait() == status
    assert silent.stderr.lines == []

    normal = host.start("--", "sh", "-c", script)
    assert normal.wait() == status
    assert normal.stderr.lines[-1].endswith(f"] {message}")


def test_silent_logs_a_fatal_error_in_one_line(host: MirroredHost) -> None:
    """With --silent a command that cannot be started is one line."""
    run = host.start("--silent", "--exec=/no/such/command")

    assert run.wait() == 127
    (line,) = run.stderr.lines
    assert LINE.fullmatch(line)
    assert "/no/such/command" in line


@pytest.mark.parametrize(
    ("script", "status", "ending"),
    [
        ("exec sleep 1000", -signal.SIGTERM, "killed by SIGTERM"),
        (
            "exec 2>/dev/null; trap 'exit 7' TERM; echo; while :; do sleep 0.05; done",
            7,
            "exit status 7",
        ),
    ],
)
def test_a_term_is_logged(host: MirroredHost, *, script: str, status: int, ending: str) -> None:
    """The log shows that TERM came and how the command ended; this is no failure."""
    run = host.start("--", "sh", "-c", script)
    run.until("forked")
    if status > 0:
        until(lambda: run.stdout.lines, "the trap is set")

    assert run.end() == status
    messages = [line.partition("] ")[2] for line in run.stderr.lines]
    assert messages[-2:] == ["received SIGTERM; ending", f"the command ended: {ending}"]
    assert not run.stderr.matching("command failed")


def test_a_term_without_a_command_is_logged(host: MirroredHost) -> None:
    """Before the command is started, TERM is logged as well."""
    run = host.start(*host.mirrors("missing"), "--start=wait", "--exec=sleep 1000")
    run.until("waiting")

    assert run.end() == -signal.SIGTERM
    assert run.stderr.lines[-1].endswith("] received SIGTERM; ending")


def lines_of_journal(host: MirroredHost, *options: str) -> list[str]:
    """Run a command that fails after two health checks, with a socket as stderr that is named."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        status = os.fstat(theirs.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        counted = host.sandbox.folder / "checks"
        health = quoted("sh", "-c", "echo >>$0", counted)
        script = "while [ $(wc -l <$0) -lt 3 ]; do sleep 0.05; done; exit 3"
        counted.touch()
        host.sandbox.start(
            *(*ZKEXEC, *OFTEN, "--health", health, *options),
            *("--", "sh", "-c", script, str(counted)),
            stderr=theirs,
            env=host.sandbox.environment(JOURNAL_STREAM=stream),
        )
        theirs.close()
        with ours.makefile() as file:
            return file.read().splitlines()


def test_the_journal_gets_priorities_and_changes_of_health(host: MirroredHost) -> None:
    """In the journal a line begins with its priority, and only a change of health is a line."""
    logged = lines_of_journal(host)

    assert [line for line in logged if not re.match(r"<[46]>\w", line)] == []
    assert logged[0] == f"<6>connecting to {host.hosts}"
    assert logged[-1] == "<4>command failed: exit status 3"
    assert [line for line in logged if "health check" in line] == ["<6>successful health check"]


def test_a_verbose_journal_gets_each_health_check(host: MirroredHost) -> None:
    """With --verbose the journal gets each health check too, with the priority of debugging."""
    logged = lines_of_journal(host, "--verbose")

    checks = [line for line in logged if "health check" in line]
    assert checks.count("<6>successful health check") == 1
    assert checks.count("<7>successful health check") >= 1
    assert sum(line.startswith("<7>health checking via: sh -c") for line in checks) >= 2


@pytest.mark.parametrize("is_file", [True, False])
def test_no_journal_gets_each_health_check(
    host: MirroredHost, tmp_path: Path, *, is_file: bool
) -> None:
    """A file or a pipe has a line with its time for each health check, whatever is inherited."""
    environment = host.sandbox.environment(JOURNAL_STREAM="8:12345")
    options = [*OFTEN, "--health=true", "--exec=sleep 1000"]
    if is_file:
        log = tmp_path / "log"
        with log.open("w") as stderr:
            process = host.sandbox.start(*ZKEXEC, *options, stderr=stderr, env=environment)
        until(lambda: log.read_text().count("] successful health check\n") >= 3, "three checks")
        process.terminate()
    else:
        run = host.start(*options, env=environment)
        run.until(r"^\[.*\] health checking via: true$", count=3)
        run.until(r"^\[.*\] successful health check$", count=3)


def test_json_has_changes_of_health(host: MirroredHost, tmp_path: Path) -> None:
    """JSON has one line at level info for each change of health, and none for each check."""
    sick, checks = tmp_path / "sick", tmp_path / "checks"

    def three_more() -> None:
        seen = checks.stat().st_size if checks.exists() else 0
        until(lambda: checks.exists() and checks.stat().st_size >= seen + 3, "three checks")

    health = f"--health={quoted('sh', '-c', 'printf . >>$0; test ! -e $1', checks, sick)}"
    run = host.start(*OFTEN, health, "--log-format=json", "--exec=sleep 1000")
    three_more()
    sick.touch()
    three_more()
    sick.unlink()
    three_more()
    run.end()

    logged = [line for line in objects(run) if "health-check" in str(line["event"])]
    assert [line["level"] for line in logged] == ["info"] * 3
    assert [line["message"] for line in logged] == [
        "successful health check",
        "failed health check: exit status 1",
        "successful health check",
    ]


def test_an_unknown_variable_is_a_warning(host: MirroredHost) -> None:
    """A variable that no option reads is named, with the nearest known one; the command starts."""
    environment = host.sandbox.environment(ZKEXEC_MIRORR="a=/a")
    run = host.start("--exec=true", env=environment)
    assert run.wait() == 0
    assert run.stderr.lines[0].endswith(
        "unknown variable ZKEXEC_MIRORR (did you mean ZKEXEC_MIRROR?)"
    )

    silent = host.start("--silent", "--exec=true", env=environment)
    assert silent.wait() == 0
    assert silent.stderr.lines == []
