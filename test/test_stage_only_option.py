"""`--stage-only` on the command line: which folder, and what it needs beside it."""

from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.settings import Settings, UsageError, resolve_settings

MIRROR = "--mirror=/x/a=/a"


def settings(*words: str, **environment: str) -> Settings:
    """What zkexec would do for a command line and variables."""
    return resolve_settings(parser.read(words), environment)


def mistakes(*words: str, **environment: str) -> str:
    """The line that a wrong command line gets."""
    with pytest.raises(UsageError) as caught:
        settings(*words, **environment)
    assert not caught.value.lacks_command
    return str(caught.value)


def test_no_command_is_needed(tmp_path: Path) -> None:
    """With --stage-only a command can be left out, or stay in the command line."""
    folder = str(tmp_path / "new")

    assert settings(MIRROR, "--stage-only", folder).stage_only == folder
    assert settings(MIRROR, ZKEXEC_STAGE_ONLY=folder).stage_only == folder
    assert settings(MIRROR, "--stage-only", folder, "--", "serve").stage_only == folder
    assert settings(MIRROR, "--", "serve").stage_only == ""


def test_the_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is below the working directory; a slash at its end changes nothing."""
    monkeypatch.chdir(tmp_path)

    assert settings(MIRROR, "--stage-only=a/b/").stage_only == f"{tmp_path}/a/b"
    assert settings(MIRROR, "--stage-only=.").stage_only == str(tmp_path)


def test_a_folder_that_cannot_be_used_is_a_mistake(tmp_path: Path) -> None:
    """What is no folder, or has files in it, is refused with what to write instead."""
    (tmp_path / "file").touch()

    assert mistakes(MIRROR, f"--stage-only={tmp_path}") == (
        f"--stage-only: '{tmp_path}' is not empty: write the path of a new folder"
    )
    assert mistakes(MIRROR, f"--stage-only={tmp_path}/file") == (
        f"--stage-only: '{tmp_path}/file' cannot be used (Not a directory): "
        "write the path of a new folder"
    )
    assert mistakes(MIRROR, "--stage-only=") == "--stage-only: '' is not the path of a folder"


def test_there_must_be_files(tmp_path: Path) -> None:
    """Without an input there is nothing to stage; a wrong mirror is one mistake, not two."""
    folder = f"{tmp_path}/new"

    assert mistakes(ZKEXEC_STAGE_ONLY=folder) == (
        "ZKEXEC_STAGE_ONLY: there are no files: add --mirror LOCAL_PATH=ZK_PATH"
    )
    for words in ("--mirror=/x/a/=/a/", "--env=A=/a", "--env-tree=/a"):
        assert settings(words, f"--stage-only={folder}").stage_only == folder
    line = mistakes("--mirror=x", f"--stage-only={folder}")
    assert line == "--mirror: 'x' is not of the form LOCAL_PATH=ZK_PATH"
