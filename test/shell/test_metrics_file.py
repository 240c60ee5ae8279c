"""The file of metrics: its text, when it is written, and what happens if it cannot be."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from zkexec.core.actions import Note
from zkexec.core.events import CommandExited, CommandStarted, ExitStatus, SessionConnected, Tick
from zkexec.core.policy import Policy
from zkexec.core.step import Step
from zkexec.runtime.log import Log
from zkexec.runtime.member_metrics import MemberMetrics
from zkexec.runtime.metric_table import METRICS, metrics_text
from zkexec.runtime.metrics_file import MetricsFile

POLICY = Policy(checks_health=True, raises_alerts=True, step_limits={Step.CHECK: 5})
STARTED = CommandStarted(1, 100)
ENDED = ExitStatus()


class Notes(Log):
    """A log that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def write(self, note: Note) -> None:
        """Keep it."""
        self.notes.append(note)

    @property
    def topics(self) -> list[str]:
        """What was logged."""
        return [note.topic for note in self.notes]


class Written:
    """A file of metrics in a folder, and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.time = 100.0
        self.path = folder / "app.prom"
        self.log = Notes()
        self.metrics = MemberMetrics(POLICY, clock=lambda: 1700000000.25)
        labels = ("web", "one")
        self.file = MetricsFile(str(self.path), self.metrics, labels, self.log, lambda: self.time)

    def wait(self, seconds: float) -> None:
        """Let time pass, and let the file be written if that is due."""
        self.time += seconds
        self.file.advance()

    @property
    def is_up(self) -> bool:
        """Whether the file shows that the command runs."""
        return 'zkexec_command_up{lock="web",member="one"} 1\n' in self.path.read_text()


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    """A file that was written once."""
    one = Written(tmp_path)
    one.wait(0)
    yield one
    one.file.end(ENDED)


def test_promtool_accepts_the_text() -> None:
    """All metrics together are what Prometheus reads, with nothing to improve in their names."""
    metrics = MemberMetrics(POLICY, clock=lambda: 1700000000.25)
    for event in (STARTED, SessionConnected(1, 10)):
        metrics.take_in(event)
    metrics.count([Note("health-check-passed")])
    samples = {**metrics.samples, ("zkexec_config_written_timestamp_seconds",): 1.5}
    text = metrics_text(samples, ("a\\b", 'c"d\n'))
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    for metric in METRICS:
        assert f'\n{metric.name}{{lock="a\\\\b",member="c\\"d\\n"' in "\n" + text
    assert " 1700000000.250\n" in text
    assert 'kind="check",result="passed"} 0\n' in text


def test_what_is_not_known_or_not_used_is_absent(written: Written) -> None:
    """No family is empty: before a start there is no time of it, without a check no check."""
    text = written.path.read_text()
    assert "zkexec_checks_total" in text
    unused = MemberMetrics(Policy())

    for absent in ("zkexec_healthy", "start_timestamp", "written_timestamp"):
        assert absent not in text
    assert "zkexec_checks_total" not in metrics_text(unused.samples, ("", ""))


def test_a_change_is_written_at_once_and_at_most_each_second(written: Written) -> None:
    """After a write the next one has to wait a second; until then all changes come together."""
    written.wait(0.5)
    written.file.take_in(STARTED)
    written.wait(0.25)
    assert not written.is_up
    assert written.file.deadline == 101
    written.wait(0.25)
    assert written.is_up
    written.wait(10)
    written.file.take_in(CommandExited(1, ENDED))
    assert written.file.deadline == written.time
    written.wait(0)

    assert not written.is_up


def test_without_a_change_it_is_written_each_minute(written: Written) -> None:
    """What changes nothing writes nothing, and a minute after the last time it is written."""
    before = written.path.stat().st_ino
    written.file.take_in(Tick())
    written.wait(59)
    assert written.path.stat().st_ino == before
    assert written.file.deadline == 160
    written.wait(1)

    assert written.path.stat().st_ino != before


def test_everybody_may_read_it(written: Written) -> None:
    """Its mode is 0644, and no other file is left beside it."""
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o644
    assert list(written.path.parent.iterdir()) == [written.path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file that a symbolic link names is replaced, and what lies beside it is in no way."""
    (tmp_path / "real").mkdir()
    (tmp_path / "app.prom").symlink_to("real/app.prom")
    (tmp_path / "real" / ".app.prom.new").symlink_to(tmp_path / "other")
    Written(tmp_path).wait(0)

    assert (tmp_path / "app.prom").is_symlink()
    assert (tmp_path / "real" / "app.prom").read_text().startswith("# HELP zkexec_command_up")
    assert not (tmp_path / "other").exists()


def test_a_file_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    """The warning names the path and the reason, and comes again only after a good write."""
    folder = tmp_path / "textfile"
    written = Written(folder)
    for _ in range(3):
        written.wait(60)
    assert written.log.topics == ["metrics-unwritten"]
    assert written.log.notes[0].fields == {
        "path": str(written.path),
        "reason": "No such file or directory",
    }
    folder.mkdir()
    written.wait(60)
    written.wait(60)
    assert written.log.topics[1:] == ["metrics-written"]
    written.path.unlink()
    written.path.mkdir()
    written.wait(60)

    assert written.log.topics[2:] == ["metrics-unwritten"]
    assert list(folder.iterdir()) == [written.path]


def test_an_error_in_the_metrics_goes_no_further(written: Written) -> None:
    """A mistake of zkexec in them is a warning, too."""
    written.file.count([Note("no such topic")])

    assert written.log.topics == ["metrics-unwritten"]


@pytest.mark.parametrize(
    ("noted", "ending", "stays"),
    [
        ("command-failed", ExitStatus(code=3), True),
        ("start-failed", ExitStatus(code=127), True),
        ("cluster-unreachable", ExitStatus(code=125), True),
        ("command-ended", ExitStatus(code=125), True),
        ("command-ended", ExitStatus(code=0), False),
        ("command-ended-by-term", ExitStatus(signal=15), False),
    ],
)
def test_at_the_end_only_a_failure_stays(
    written: Written, noted: str, ending: ExitStatus, stays: bool
) -> None:
    """After a failure the file shows that no command runs; after a requested end there is none."""
    written.file.take_in(STARTED)
    written.wait(60)
    assert written.is_up
    written.file.count([Note(noted)])
    written.file.end(ending)

    assert written.path.exists() == stays
    assert not (stays and written.is_up)
