"""What zkexec says on stderr: the form of each line, and that no content is ever in it."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from e2e.scene import Running, Scene, shell
from e2e.stage import ZKEXEC, faulty
from proxy import Proxy

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] .+")
SECRET = "correct-horse-battery-staple"  # noqa: S105 - To be looked for, not to be kept.
OFTEN = ("--health-delay=0.1", "--health-interval=0.1")
LEVELS = {"debug", "info", "warning", "fatal"}
VERBOSITIES: list[tuple[str, ...]] = [(), ("--verbose",), ("--silent",)]
FORMATS = ["--log-format=text", "--log-format=json"]


def eventful(scene: Scene, *options: str) -> Running:
    """A life with changes, a check that fails, an alert, a lost connection and an end."""
    scene.create(a=b"one", b=b"one")
    run = scene.wrap("--health=false", "--alert=true", *OFTEN, *options, names="a b")
    scene.born()
    scene.set(a=b"two", b=b"two")
    scene.born(2)
    scene.delete("b")
    scene.set(a=b"three")
    scene.born(3)
    return run


def objects(run: Running) -> list[dict[str, object]]:
    """The lines of a JSON log."""
    return [json.loads(line) for line in run.lines]


def test_every_line_of_text_has_the_same_form(scene: Scene) -> None:
    """A line is a date with its zone in brackets, a blank, and the message."""
    run = eventful(scene, "--verbose")
    run.line("alerting via")

    assert run.end() == 0
    assert [line for line in run.lines if not LINE.fullmatch(line)] == []
    assert run.out == []


def test_the_lines_of_the_tutorial(scene: Scene) -> None:
    """The lines that the tutorial shows are there word for word, and in its order."""
    scene.create(a=b"one")
    run = scene.start(*OFTEN, "--health=true", *scene.mirrors("a"), "--exec=sleep 1000")
    run.line("successful health check", 2)
    run.end()

    said = [line.partition("] ")[2] for line in run.lines]
    forked = next(line for line in said if line.startswith("forked "))
    expected = [
        f"connecting to {scene.hosts}",
        "connected",
        f"registering callback on {scene.path('a')}",
        "forking sleep 1000",
        forked,
        "health checking via: true",
        "successful health check",
        "health checking via: true",
    ]
    assert re.fullmatch(r"forked \d+", forked)
    assert [line for line in said if not line.startswith("wrote ")][:8] == expected


def test_json_is_one_object_a_line(scene: Scene) -> None:
    """Each line has time, level, event and message, and the fields of its event."""
    run = eventful(scene, "--log-format=json", "--verbose")
    run.line('"alerting"')
    births = scene.births()

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
    assert by_event["registering"]["path"] == scene.path("b")
    assert by_event["check-failed"]["level"] == "warning"
    assert by_event["check-failed"]["reason"] == "exit status 1"
    assert by_event["alerting"]["alert"] == "health-failed"


def test_verbose_tells_the_phases(scene: Scene) -> None:
    """With --verbose a restart is told phase by phase; without it no phase is named."""
    run = eventful(scene, "--verbose")
    run.end()
    phases = [line.partition("] ")[2] for line in run.all(r"\] \w+ -> \w+$")]
    assert phases[:5] == [
        "loading -> running",
        "running -> waiting",
        "waiting -> stopping",
        "stopping -> proving",
        "proving -> running",
    ]
    assert phases[-2:] == ["running -> exiting", "exiting -> done"]

    plain = scene.start("--exec=true")
    plain.wait()
    assert not plain.all(" -> ")


def test_silent_says_nothing_that_is_not_fatal(scene: Scene) -> None:
    """Changes, failed checks, alerts and warnings leave no line under --silent."""
    run = eventful(scene, "--silent")

    assert run.end() == 0
    assert run.lines == []
    assert run.out == []


@pytest.mark.parametrize("form", FORMATS)
def test_one_note_is_one_line(scene: Scene, form: str) -> None:
    """Commands that hold newlines and control characters do not break a line of the log."""
    command = "true\ntrue \x1b[31m\u2028"
    options = ("--verbose", form, "--health", "true\nfalse", "--alert", "true\ntrue", *OFTEN)
    run = scene.start(*options, "--exec", f"sleep 1; {command}\nexit 3")

    assert run.wait() == 3
    assert run.all("alerting")
    for line in run.lines:
        assert LINE.fullmatch(line) if form == FORMATS[0] else json.loads(line)
        assert line.isprintable()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_contents_are_never_told(
    scene: Scene, proxy: Proxy, *, verbosity: tuple[str, ...], form: str
) -> None:
    """Neither a start, nor changes, nor trouble with files and connections show a content."""
    scene.hosts = proxy.hosts
    scene.create(a=SECRET.encode())
    run = scene.wrap(*verbosity, form, "--alert=true")
    scene.born()
    scene.set(a=f"{SECRET} 2".encode())
    scene.born_with(a=f"{SECRET} 2")
    scene.file("a").unlink()
    scene.file("a").mkdir()
    scene.set(a=f"{SECRET} 3".encode())
    if verbosity != ("--silent",):
        run.line("cannot write")
        proxy.cut()
        run.line("connected", 2 if form == FORMATS[0] else 3)

    assert run.end() == 0
    assert SECRET not in run.said
    assert SECRET not in "".join(run.out)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_an_internal_error_tells_no_contents(
    scene: Scene, tmp_path: Path, *, verbosity: tuple[str, ...], form: str
) -> None:
    """An error inside zkexec is one line without contents; where it was is told if wanted."""
    trip = tmp_path / "trip"
    scene.create(a=SECRET.encode())
    command = f"--exec={scene.recorder('a')}"
    program = faulty("event", "FilesStaged", "natural-once", trip)
    run = scene.start(*verbosity, form, *scene.mirrors("a"), command, program=program)
    scene.born()

    trip.touch()
    scene.set(a=f"{SECRET} 2".encode())
    scene.born_with(a=f"{SECRET} 2")

    run.end()
    told = run.all("zkexec failed internally.*MistakeError: a mistake of the test")
    assert len(told) == (verbosity != ("--silent",))
    is_json = form == FORMATS[1]
    shows_place = verbosity == ("--verbose",) or is_json
    assert bool(run.all("wrong_handle")) is (shows_place and bool(told))
    assert SECRET not in run.said
    if is_json:
        assert {line["level"] for line in objects(run)} <= LEVELS
    else:
        assert [line for line in run.lines if not LINE.fullmatch(line)] == []


def test_a_log_that_cannot_be_written_ends_nothing(scene: Scene) -> None:
    """A reader of stderr that goes away, as in `2>&1 | head -1`, costs the command nothing."""
    scene.create(a=b"one")
    zkexec = shell(*ZKEXEC, f"--cluster={scene.hosts}", *scene.mirrors("a"))
    run = scene.stage.start("sh", "-c", f"{zkexec} -- {scene.recorder('a')} 2>&1 | head -n 1")
    scene.born()

    scene.set(a=b"two")
    scene.born(2)
    scene.set(a=b"three")

    assert scene.born(3).files == {"a": "three"}
    assert run.poll() is None
