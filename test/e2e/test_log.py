"""What zkexec says on stderr: the form of each line, and that no content is ever in it."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.program import Program
from support.proxy import Proxy
from support.sandbox import ZKEXEC, faulty

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] .+")
SECRET = "correct-horse-battery-staple"  # noqa: S105 - To be looked for, not to be kept.
OFTEN = ("--health-delay=0.1", "--health-interval=0.1")
LEVELS = {"debug", "info", "warning", "fatal"}
VERBOSITIES: list[tuple[str, ...]] = [(), ("--verbose",), ("--silent",)]
FORMATS = ["--log-format=text", "--log-format=json"]


def eventful(host: MirroredHost, *options: str) -> Program:
    """A life with changes, a check that fails, an alert, a lost connection and an end."""
    host.create(a=b"one", b=b"one")
    run = host.wrap("--health=false", "--alert=true", *OFTEN, *options, names="a b")
    host.born()
    host.set(a=b"two", b=b"two")
    host.born(2)
    host.delete("b")
    host.set(a=b"three")
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
        stamp = datetime.strptime(str(line["time"]), "%Y-%m-%dT%H:%M:%S.%f%z")
        assert stamp.tzinfo
        assert line["level"] in LEVELS
        assert re.fullmatch("[a-z-]+", str(line["event"]))
        assert line["message"]
    by_event = {str(line["event"]): line for line in said}
    assert [line["pid"] for line in said if line["event"] == "forked"] == [b.pid for b in births]
    assert {"path", "size", "sha256"} <= by_event["changed"].keys()
    assert by_event["registering"]["path"] == host.path("b")
    assert by_event["check-failed"]["level"] == "warning"
    assert by_event["check-failed"]["reason"] == "exit status 1"
    assert by_event["alerting"]["alert"] == "health-failed"


def test_verbose_tells_the_phases(host: MirroredHost) -> None:
    """With --verbose a restart is told phase by phase; without it no phase is named."""
    run = eventful(host, "--verbose")
    run.end()
    phases = [line.partition("] ")[2] for line in run.stderr.matching(r"\] \w+ -> \w+$")]
    assert phases[:5] == [
        "loading -> running",
        "running -> waiting",
        "waiting -> stopping",
        "stopping -> proving",
        "proving -> running",
    ]
    assert phases[-2:] == ["running -> exiting", "exiting -> done"]

    plain = host.start("--exec=true")
    plain.wait()
    assert not plain.stderr.matching(" -> ")


def test_silent_says_nothing_that_is_not_fatal(host: MirroredHost) -> None:
    """Changes, failed checks, alerts and warnings leave no line under --silent."""
    run = eventful(host, "--silent")

    assert run.end() == 0
    assert run.stderr.lines == []
    assert run.stdout.lines == []


@pytest.mark.parametrize("form", FORMATS)
def test_one_note_is_one_line(host: MirroredHost, form: str) -> None:
    """Commands that hold newlines and control characters do not break a line of the log."""
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
def test_contents_are_never_told(
    host: MirroredHost, proxy: Proxy, *, verbosity: tuple[str, ...], form: str
) -> None:
    """Neither a start, nor changes, nor trouble with files and connections show a content."""
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
def test_an_internal_error_tells_no_contents(
    host: MirroredHost, tmp_path: Path, *, verbosity: tuple[str, ...], form: str
) -> None:
    """An error inside zkexec is one line without contents; where it was is told if wanted."""
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
    told = run.stderr.matching("zkexec failed internally.*MistakeError: a mistake of the test")
    assert len(told) == (verbosity != ("--silent",))
    is_json = form == FORMATS[1]
    shows_place = verbosity == ("--verbose",) or is_json
    assert bool(run.stderr.matching("wrong_handle")) is (shows_place and bool(told))
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
