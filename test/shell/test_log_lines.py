"""The lines of the log: every topic has a text, every note is one line.

What a running zkexec logs is in e2e/test_log.py.
"""

import ast
import json
import os
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.settings import resolve_settings
from zkexec.core.actions import Note
from zkexec.runtime.log import Log
from zkexec.runtime.log_messages import MESSAGES, PRIORITIES, Level

SOURCES = Path(__file__).parent.parent.parent / "src" / "zkexec"
KNOWN_TO_ALL = {
    *("hosts", "command", "health", "alert_command", "group"),
    *("input_options", "file_options"),
}

Written = Callable[[], str]


@pytest.fixture
def written(capfd: pytest.CaptureFixture[str]) -> Written:
    """Return what was written to descriptor 2 since the last call."""
    return lambda: capfd.readouterr().err


def log(*words: str) -> Log:
    """Make the log of this command line."""
    return Log(resolve_settings(parser.read([*words, "--exec", "serve 'a b'"]), {}))


def notes_in_sources() -> Iterator[tuple[str, str, set[str] | None]]:
    """Yield each place that makes a Note: its line, its topic, its fields if they are literal."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            if not isinstance(node.args[0], ast.Constant):
                continue
            where, topic = f"{path.name}:{node.lineno}", str(node.args[0].value)
            match node.func:
                case ast.Name(id="Note"):
                    literal = node.args[1] if len(node.args) > 1 else ast.Dict([], [])
                    yield where, topic, _keys(literal)
                case ast.Attribute(attr="say"):
                    yield where, topic, {str(keyword.arg) for keyword in node.keywords}


def _keys(fields: ast.expr) -> set[str] | None:
    if not isinstance(fields, ast.Dict) or None in fields.keys:
        return None
    return {str(key.value) for key in fields.keys if isinstance(key, ast.Constant)}


def fields_of(text: str) -> set[str]:
    """Return the fields that a text contains."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_json_lines_name_the_turn(written: Written) -> None:
    """A JSON line has the fields of the turn at that moment; those of its note win."""
    turn = {"digest": "b" * 12, "step": "check"}
    one = log("--log-format=json")
    one.follow_turn(lambda: turn)
    one.write(Note("connected"))
    one.write(Note("admitted", {"digest": "c" * 12}))
    turn.clear()
    one.write(Note("connected"))

    first, second, last = map(json.loads, written().splitlines())
    assert (first["digest"], first["step"]) == ("b" * 12, "check")
    assert (second["digest"], second["step"]) == ("c" * 12, "check")
    assert not {"digest", "step"} & set(last)


def test_every_topic_has_a_text() -> None:
    """Each note has a text, and no text contains a field that its note does not have."""
    places = list(notes_in_sources())
    assert len(places) > 20
    for where, topic, fields in places:
        assert topic in MESSAGES, f"{where}: no text for {topic}"
        if fields is not None:
            missing = fields_of(MESSAGES[topic][1]) - fields - KNOWN_TO_ALL
            assert not missing, f"{where}: {topic} lacks {missing}"


def test_every_text_is_used() -> None:
    """Each topic with a text is the topic of some note."""
    names = [path for path in SOURCES.rglob("*.py") if path.name != "log_messages.py"]
    sources = "".join(path.read_text() for path in names)
    assert "MESSAGES" in sources
    assert [topic for topic in MESSAGES if f'"{topic}"' not in sources] == []


def test_a_line_has_the_time_and_the_message(written: Written) -> None:
    """The format is that of the tutorial: `[2014-04-28 16:41:38 -0700] message`."""
    log().write(Note("command-starting"))
    assert re.fullmatch(
        r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] forking serve 'a b'\n", written()
    )


@pytest.mark.parametrize(
    ("words", "inputs", "files"),
    [
        ("--mirror=/x/a=/a", "--mirror", "--mirror"),
        ("--mirror=/x/a/=/a/ --env=A=/a", "--mirror, --env", "--mirror"),
        ("--env-tree=/a --env=A=/a", "--env, --env-tree", "--state-dir"),
    ],
)
def test_a_fatal_line_names_the_options(
    written: Written, words: str, inputs: str, files: str
) -> None:
    """What ends the start is a line that begins with the options by which inputs are given."""
    one = log("--silent", *words.split())
    one.write(Note("znodes-unusable", {"problems": "/a is empty"}))
    one.write(Note("files-unwritable", {"reason": "/x/a: disk full"}))

    first, second = (line.partition("] ")[2] for line in written().splitlines())
    assert first == f"{inputs}: at localhost:2181, /a is empty"
    assert second == f"{files}: cannot write /x/a: disk full"


def test_a_line_names_the_group_in_the_commands_for_it(written: Written) -> None:
    """A command in a line can be pasted: it has the name of the group."""
    one = log("--lock", "my web")
    one.write(Note("change-failed", {"reason": "why", "consequence": "what"}))

    assert "or `zkexecctl retry 'my web'`, and what\n" in written()


@pytest.mark.parametrize(
    ("option", "least"), [("--silent", Level.FATAL), ("--verbose", Level.DEBUG)]
)
def test_how_much_is_written(written: Written, option: str, least: Level) -> None:
    """`--silent` writes only fatal lines, `--verbose` writes all."""
    lines_log = log(option)
    for topic, (_, text) in MESSAGES.items():
        lines_log.write(Note(topic, dict.fromkeys(fields_of(text) - KNOWN_TO_ALL, 1)))
    assert written().count("\n") == sum(
        PRIORITIES[level] <= PRIORITIES[least] for level, _ in MESSAGES.values()
    )


def test_a_note_is_one_line(written: Written) -> None:
    """No path and no reason breaks the line or the terminal."""
    log().write(Note("read-failed", {"reason": "a\nb\x1b[2J\udcff é"}))
    line = written()
    assert line.endswith("a\\nb\\x1b[2J\\udcff é\n")
    assert line.count("\n") == 1


def test_json_is_one_object_a_line(written: Written) -> None:
    """`--log-format json` gives time, level, event, message and the fields of the event."""
    lines_log = log("--log-format", "json")
    lines_log.write(Note("command-started", {"pid": 7}))
    lines_log.write(Note("stopping", {"signal": 15, "kill_timeout_s": 30.0}))
    lines_log.write(Note("read-failed", {"reason": "a\nb\udcff"}))
    first, second, third = map(json.loads, written().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", first.pop("time"))
    assert first == {"level": "info", "event": "command-started", "message": "forked 7", "pid": 7}
    assert second["signal"] == "SIGTERM"
    assert third["reason"] == "a\nb\\udcff", "JSON must not contain lone surrogates"


def test_the_output_of_a_step_is_written_as_it_is(written: Written) -> None:
    """What the command of a step prints gets no time and no level, in any format."""
    log("--log-format", "json").relay(b"a\x1b[1m\xff\n part")

    assert written() == "a\x1b[1m\ufffd\n part"


def test_lost_output_of_a_step_is_counted(written: Written) -> None:
    """Lines of a step that could not be written count as lost lines of the log."""
    lines_log = log()
    kept, full = os.dup(2), os.open("/dev/full", os.O_WRONLY)
    try:
        os.dup2(full, 2)
        lines_log.relay(b"one\ntwo\n")
        lines_log.relay(b"three")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(full)
    lines_log.write(Note("connected"))

    assert "3 lines of this log could not be written" in written()


def test_a_broken_stderr_ends_nothing() -> None:
    """A log that cannot be written ends nothing and raises nothing."""
    kept = os.dup(2)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        os.dup2(full, 2)
        log().write(Note("connected"))
        os.close(2)
        log().write(Note("connected"))
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(full)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_long_reason_is_cut(form: str, written: Written) -> None:
    """A name or a reason from a znode takes at most a thousand characters of a line."""
    lines_log = log("--log-format", form)
    for letter in ("x", "\udcff", "\U0001f40d", "\n", "é"):
        lines_log.write(Note("group-trouble", {"reason": letter * 900_000}))
        line = written()
        assert line.count("\n") == 1
        assert len(line) < 40_000
        assert "..." in line


def test_a_command_line_may_be_longer_than_a_reason(written: Written) -> None:
    """A command that an operator wrote is shown in full."""
    words = "serve " + "a" * 5000
    Log(resolve_settings(parser.read(["--exec", words]), {})).write(Note("command-starting"))
    assert words in written()


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch, written: Written) -> Written:
    """Make descriptor 2 the stream that JOURNAL_STREAM names."""
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    return written


def test_the_journal_gets_priorities(journal: Written) -> None:
    """In the journal a line begins with its priority, as the journal has its own time."""
    verbose = log("--verbose")
    verbose.write(Note("signal-received", {"signal": 10}))
    verbose.write(Note("connected"))
    verbose.write(Note("read-failed", {"reason": "x"}))
    verbose.write(Note("no-identity", {"reason": "y"}))
    assert journal().splitlines() == [
        "<7>received SIGUSR1",
        "<6>connected",
        "<4>cannot read the configuration: x",
        "<3>y",
    ]


def test_another_stream_is_no_journal(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JOURNAL_STREAM that names another stream than stderr, or nothing, changes no line."""
    for named in ("1:2", "", "x", ":"):
        monkeypatch.setenv("JOURNAL_STREAM", named)
        log().write(Note("connected"))
        assert written().startswith("[")


CHECKS = (
    Note("health-check-started"),
    Note("health-check-passed", {"is_change": True}),
    Note("health-check-started"),
    Note("health-check-passed", {"is_change": False}),
    Note("health-check-started"),
    Note("health-check-failed", {"is_change": True, "reason": "exit status 1"}),
    Note("health-check-started"),
    Note("health-check-failed", {"is_change": False, "reason": "exit status 1"}),
)


def test_text_has_each_health_check(written: Written) -> None:
    """A terminal, a pipe or a file gets a line for each health check and for each result."""
    for note in CHECKS:
        log("--health=h").write(note)
    assert written().count("health check") == len(CHECKS)


def test_the_journal_has_changes_of_health(journal: Written) -> None:
    """The journal gets a line only if the result of the health check is another one."""
    for note in CHECKS:
        log().write(note)
    assert journal().splitlines() == [
        "<6>successful health check",
        "<6>failed health check: exit status 1",
    ]


def test_json_has_changes_of_health(written: Written) -> None:
    """JSON has changes of health at level info, and with --verbose each check at debug."""
    for note in CHECKS:
        log("--log-format=json").write(note)
    assert [json.loads(line)["level"] for line in written().splitlines()] == ["info", "info"]

    for note in CHECKS:
        log("--log-format=json", "--verbose").write(note)
    levels = [json.loads(line)["level"] for line in written().splitlines()]
    assert levels == ["debug", "info", *["debug"] * 3, "info", *["debug"] * 2]
