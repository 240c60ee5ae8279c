"""`--metrics-file` on a real cluster: what Prometheus would read, at each moment."""

import re
import signal
from pathlib import Path

from support.program import Program
from support.sandbox import ZKEXEC, Mirror, Sandbox, faulty
from support.waiting import until

HEALTH = ("--health", "true", "-d", "0.1", "-i", "0.1")


class MetricsOfRun:
    """The file of one zkexec."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def value(self, name: str, **labels: str) -> float | None:
        """A value, None if it is absent; the file must be whole at any time."""
        if not self.path.exists():
            return None
        text = self.path.read_text()
        assert text.startswith("# HELP")
        assert text.endswith("\n")
        wanted = "".join(f',{label}="{value}"' for label, value in labels.items())
        line = re.search(rf"^zkexec_{name}{{lock=[^}}]*{wanted}}} (\S+)$", text, re.MULTILINE)
        return float(line[1]) if line else None

    def until(self, value: float | None, name: str, **labels: str) -> None:
        """Wait until a value is there."""
        until(lambda: self.value(name, **labels) == value, f"{name} {labels} is {value}")

    def until_more(self, name: str, than: float, **labels: str) -> None:
        """Wait until a counter is greater."""
        until(lambda: (self.value(name, **labels) or 0) > than, f"{name} {labels} > {than}")


def start(
    sandbox: Sandbox, *words: str, script: str = "exec sleep 1000"
) -> tuple[Program, MetricsOfRun]:
    """Start zkexec, or the program that the words begin with, with a file of metrics."""
    metrics = MetricsOfRun(sandbox.folder / "app.prom")
    program = () if words[:1] and Path(words[0]).is_absolute() else ZKEXEC
    options = (f"--metrics-file={metrics.path}", "--", "sh", "-c", script)
    return sandbox.start(*program, *words, *options), metrics


def test_a_change_a_failure_and_the_end(sandbox: Sandbox, mirror: Mirror, root: str) -> None:
    """A member of a group shows a good change and a bad one, and after TERM there is no file."""
    lock = f"{root}/group"
    health = f"--health=! grep -q 2 {mirror.local}"
    words = (mirror.option, f"--lock={lock}", "--member-id=one", health, "-i", "0.1", "-d", "5")
    run, metrics = start(sandbox, *words)
    metrics.until(0, "config_pending")
    metrics.until(1, "healthy")
    assert f'zkexec_command_up{{lock="{lock}",member="one"}} 1\n' in metrics.path.read_text()
    assert metrics.value("cluster_connected") == 1
    first_written_at = metrics.value("config_written_timestamp_seconds")
    started_at = metrics.value("command_start_timestamp_seconds")
    assert first_written_at is not None
    assert started_at is not None

    mirror.change()
    metrics.until(1, "changes_total", action="restart", result="succeeded")
    metrics.until(0, "config_pending")
    metrics.until_more("command_start_timestamp_seconds", started_at)
    metrics.until_more("config_written_timestamp_seconds", first_written_at)
    mirror.change()
    metrics.until(1, "changes_total", action="restart", result="failed")
    assert [metrics.value(name) for name in ("config_pending", "healthy", "command_up")] == [
        1,
        0,
        1,
    ]

    run.signal(signal.SIGTERM)
    run.wait()
    assert not metrics.path.exists()


def test_a_failure_of_the_command_stays_visible(sandbox: Sandbox, tmp_path: Path) -> None:
    """If the command fails, the file shows that none runs, until zkexec is started again."""
    stop = tmp_path / "stop"
    script = f"while [ ! -e {stop} ]; do sleep 0.05; done; exit 3"
    run, metrics = start(sandbox, "--alert=true", script=script)
    metrics.until(1, "command_up")
    stop.touch()

    assert run.wait() == 3
    assert metrics.value("command_up") == 0
    assert metrics.value("cluster_connected") == 0
    assert metrics.value("alerts_total", event="command-failed") == 1
    stop.unlink()
    again, _ = start(sandbox, script=script)
    metrics.until(1, "command_up")
    assert again.end() < 0
    assert not metrics.path.exists()


def test_an_error_inside_zkexec_keeps_the_counters(
    sandbox: Sandbox, mirror: Mirror, tmp_path: Path
) -> None:
    """The caretaker goes on counting, and shows that no core is connected."""
    trip = tmp_path / "trip"
    program = faulty("event", "ZnodesRead", "natural-once", trip)
    run, metrics = start(sandbox, *map(str, program), mirror.option, *HEALTH, "--alert=true")
    metrics.until_more("checks_total", 0, kind="health", result="passed")
    before = metrics.value("checks_total", kind="health", result="passed") or 0
    trip.touch()
    mirror.change()
    run.until("zkexec failed internally")

    metrics.until(1, "alerts_total", event="zkexec-failed")
    metrics.until(1, "changes_total", action="restart", result="succeeded")
    metrics.until(1, "cluster_connected")
    metrics.until_more("checks_total", before, kind="health", result="passed")
    run.end()


def test_a_file_that_cannot_be_written_changes_nothing(sandbox: Sandbox, mirror: Mirror) -> None:
    """There is one warning; changes are applied, and the status is that of the command."""
    folder = sandbox.folder / "textfile"
    words = (mirror.option, f"--metrics-file={folder}/app.prom")
    script = f"grep -q 1 {mirror.local} && exit 5; exec sleep 1000"
    run = sandbox.start(*ZKEXEC, *words, "--", "sh", "-c", script)
    run.until(f"--metrics-file: cannot write {folder}/app.prom: No such file or directory")
    until(sandbox.sleepers, "the command runs")
    mirror.change()

    assert run.wait() == 5
    assert len(run.stderr.matching("cannot write")) == 1


def test_two_without_a_group_have_different_members(sandbox: Sandbox) -> None:
    """The same command twice on a host: no series is in both files, which the collector refuses."""
    texts = []
    for name in ("one.prom", "two.prom"):
        path = sandbox.folder / name
        sandbox.start(*ZKEXEC, f"--metrics-file={path}", "--", "sleep", "1000")
        until(path.exists, "the file is written")
        texts.append(path.read_text())
    series = [set(re.findall(r"^zkexec\S+", text, re.MULTILINE)) for text in texts]

    assert series[0]
    assert not series[0] & series[1]


def test_without_the_options_nothing_of_them_is_imported(sandbox: Sandbox) -> None:
    """A plain wrapper loads no module of metrics or of a kept stderr."""
    words = ("-X", "importtime", "-m", "zkexec", "--keep-stderr", "--metrics-file=app.prom", "--")
    modules = ("member_metrics", "metric_table", "metrics_file", "command_stderr", "last_lines")
    _, _, used = sandbox.run(ZKEXEC[0], *words, "true")
    _, _, plain = sandbox.run(ZKEXEC[0], *words[:4], "--", "true")

    assert [name for name in modules if name.encode() in used] == list(modules)
    assert b"zkexec.runtime.loop" in plain
    assert not [name for name in modules if name.encode() in plain]
