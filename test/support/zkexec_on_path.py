"""A folder with a program `zkexec`, for tests that type it as an operator does."""

import os
import shlex
import sys
from pathlib import Path


def path_with_zkexec(folder: Path) -> str:
    """Make the folder; return a PATH on which it comes first, and root's programs are found."""
    folder.mkdir()
    program = folder / "zkexec"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m zkexec "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}:/usr/sbin"
