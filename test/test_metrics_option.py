"""The option `--metrics-file`: which path it takes."""

from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.settings import Settings, UsageError, resolve_settings

WORDS = ("--mirror=a=/a", "--mirror=t/=/t/", "--exec=app")


def settings(*words: str, **environment: str) -> Settings:
    """The settings of a command line with a mirror and a tree, and of variables."""
    return resolve_settings(parser.read([*WORDS, *words]), environment)


@pytest.mark.parametrize(
    ("path", "mistake"),
    [
        ("", "is not the path of a file: write one that ends with .prom"),
        ("textfile/", "names a directory: write the PATH of a file"),
        ("/dev/null", "names a special file: write the PATH of a regular or a new file"),
        ("a", "and '{here}/a' are the same file: write another path for one of them"),
        ("t/app.prom", "is inside '{here}/t/', the folder of a tree: write one outside"),
    ],
)
def test_the_metrics_have_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, mistake: str
) -> None:
    """Relative to the working directory; it is neither a target nor in the folder of a tree."""
    monkeypatch.chdir(tmp_path)

    assert settings("--metrics-file=b/app.prom").metrics_file == f"{tmp_path}/b/app.prom"
    assert settings(ZKEXEC_METRICS_FILE="/c.prom").metrics_file == "/c.prom"
    assert settings(ZKEXEC_METRICS_FILE="/c.prom").warnings == ()
    with pytest.raises(UsageError) as caught:
        settings(f"--metrics-file={path}")
    assert str(caught.value).startswith("--metrics-file: ")
    assert str(caught.value).endswith(mistake.format(here=tmp_path))


def test_a_name_that_no_exporter_reads_is_a_warning() -> None:
    """zkexec starts with any name, and warns if node_exporter passes over the file."""
    line = "'c.txt' does not end with .prom, so node_exporter does not read it: write another name"

    assert settings("--metrics-file=/m/c.txt").warnings == (f"--metrics-file: {line}",)
    assert settings(ZKEXEC_METRICS_FILE="/m/c.txt").warnings == (f"ZKEXEC_METRICS_FILE: {line}",)
