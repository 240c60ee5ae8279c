"""The words on stderr: every topic has a text, every note is one line, silence is silence."""

import ast
import json
import os
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.settings import settle
from zkexec.core.actions import Note
from zkexec.runtime.log import Log
from zkexec.runtime.log_messages import TEXTS, Level

SOURCES = Path(__file__).parent.parent.parent / "src" / "zkexec"
KNOWN_TO_ALL = {"hosts", "command", "health", "alert_command"}

Said = Callable[[], str]


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Said:
    """Tell what was written to descriptor 2 since the last call."""
    return lambda: capfd.readouterr().err


def log(*words: str) -> Log:
    """A narrator for this command line."""
    return Log(settle(parser.read([*words, "--exec", "serve 'a b'"]), {}))


def notes_in_sources() -> Iterator[tuple[str, str, set[str] | None]]:
    """Each place that makes a Note: where, its topic, and its fields where they stand there."""
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
                    yield where, topic, _keys(literal) if isinstance(literal, ast.Dict) else None
                case ast.Attribute(attr="say"):
                    yield where, topic, {str(keyword.arg) for keyword in node.keywords}


def _keys(literal: ast.Dict) -> set[str]:
    return {str(key.value) for key in literal.keys if isinstance(key, ast.Constant)}


def test_every_topic_has_its_words() -> None:
    """Whatever the code says has a text, and the text asks for no field that is not given."""
    places = list(notes_in_sources())
    assert len(places) > 20
    for where, topic, fields in places:
        assert topic in TEXTS, f"{where}: no text for {topic}"
        if fields is not None:
            wanted = {name for _, name, _, _ in string.Formatter().parse(TEXTS[topic][1]) if name}
            assert wanted <= fields | KNOWN_TO_ALL, f"{where}: {topic} lacks {wanted - fields}"


def test_no_words_without_a_topic() -> None:
    """Every text is said somewhere."""
    texts = [path.read_text() for path in SOURCES.rglob("*.py") if path.name != "texts.py"]
    sources = "".join(texts)
    assert [topic for topic in TEXTS if f'"{topic}"' not in sources] == []


def test_a_line_has_the_time_and_the_message(said: Said) -> None:
    """The format is that of the tutorial: `[2014-04-28 16:41:38 -0700] message`."""
    log().tell(Note("forking"))
    assert re.fullmatch(
        r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] forking serve 'a b'\n", said()
    )


@pytest.mark.parametrize(
    ("option", "least"), [("--silent", Level.FATAL), ("--verbose", Level.DEBUG)]
)
def test_how_much_is_said(said: Said, option: str, least: Level) -> None:
    """`--silent` leaves the fatal lines only, `--verbose` says all."""
    teller = log(option)
    for topic, (_, text) in TEXTS.items():
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        teller.tell(Note(topic, dict.fromkeys(names - KNOWN_TO_ALL, 1)))
    assert said().count("\n") == sum(level >= least for level, _ in TEXTS.values())


def test_a_note_is_one_line(said: Said) -> None:
    """Whatever a path or a reason holds, it breaks neither the line nor the terminal."""
    log().tell(Note("read-failed", {"reason": "a\nb\x1b[2J\udcff é"}))
    line = said()
    assert line.endswith("a\\nb\\x1b[2J\\udcff é\n")
    assert line.count("\n") == 1


def test_json_is_one_object_a_line(said: Said) -> None:
    """`--log-format json` gives time, level, event, message and the fields of the event."""
    teller = log("--log-format", "json")
    teller.tell(Note("forked", {"pid": 7}))
    teller.tell(Note("stopping", {"signal": 15, "kill_timeout_s": 30.0}))
    teller.tell(Note("read-failed", {"reason": "a\nb\udcff"}))
    first, second, third = map(json.loads, said().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}", first.pop("time"))
    assert first == {"level": "info", "event": "forked", "message": "forked 7", "pid": 7}
    assert second["signal"] == "SIGTERM"
    assert third["reason"] == "a\nb\\udcff", "JSON must not hold lone surrogates"


def test_a_broken_stderr_is_nobodys_problem() -> None:
    """A log that cannot be written ends nothing and raises nothing."""
    kept = os.dup(2)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        os.dup2(full, 2)
        log().tell(Note("connected"))
        os.close(2)
        log().tell(Note("connected"))
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(full)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_is_never_longer_than_anybody_reads(form: str, said: Said) -> None:
    """Whatever stands in a znode, a name or a reason of it takes a thousand letters of the log."""
    teller = log("--log-format", form)
    for letter in ("x", "\udcff", "\U0001f40d", "\n", "é"):
        teller.tell(Note("turn-awaited", {"ahead": 2, "behind": letter * 900_000}))
        line = said()
        assert line.count("\n") == 1
        assert len(line) < 40_000
        assert "..." in line


def test_a_command_line_may_be_longer_than_a_reason(said: Said) -> None:
    """What an operator wrote is shown in full, as long as a person could have written it."""
    words = "serve " + "a" * 5000
    Log(settle(parser.read(["--exec", words]), {})).tell(Note("forking"))
    assert words in said()
