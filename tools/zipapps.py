"""Make the zipapps: zkexec and zkexecctl, each as one file that needs nothing but a Python.

Equal sources give equal bytes: the files are sorted, and have the time of the release.  Each
module is inside as source and as byte code, since a Python cannot store byte code beside a zip and
would compile all modules at each start.  A Python of another version than the one that made the
zipapp does that.
"""

import importlib.util
import io
import marshal
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

_FIRST_LINE = b"#!/usr/bin/env -S python3 -E\n"
"""-E makes Python ignore the variables that are for the command.  To run a zip, it imports modules
that a PYTHONPATH could replace, before the first line of zkexec."""
_START = '''\
"""{name} as a zipapp; see docs/installing.md."""

import sys

if sys.version_info < (3, 11):
    sys.stderr.write("{name}: this Python is older than 3.11: start {name}.pyz by a newer one\\n")
    sys.exit(125)

from zkexec.isolation import isolate

isolate("{module}")

from {main} import main

main()
'''
_UNCHECKED_HASH = 1
"""The flags of byte code that does not depend on the time of its source."""
_OTHERS = {
    "zkexec": ("zkexec/ctl/", "zkexec/devserver/"),
    "zkexecctl": ("zkexec/runtime/", "zkexec/main.py", "zkexec/__main__.py"),
}
"""What only the other program needs.  A Python reads the list of all files at each start."""


def zipapp(program: str, package: Mapping[str, bytes], time: int) -> bytes:
    """Return the zipapp of `zkexec` or `zkexecctl`, made of the files of the package."""
    written = io.BytesIO()
    written.write(_FIRST_LINE)
    when = datetime.fromtimestamp(time, UTC).timetuple()[:6]
    with zipfile.ZipFile(written, "a") as archive:
        for name, content in sorted(_contents(program, package)):
            entry = zipfile.ZipInfo(name, when)
            entry.external_attr = 0o644 << 16
            # Byte code is read at each start, and reading it is quicker than inflating it.
            how = zipfile.ZIP_STORED if name.endswith(".pyc") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content, how, compresslevel=9)
    return written.getvalue()


def write_zipapp(folder: Path, program: str, package: Mapping[str, bytes], time: int) -> Path:
    """Write the zipapp into the folder, as a file that can be executed."""
    target = folder / f"{program}.pyz"
    target.write_bytes(zipapp(program, package, time))
    target.chmod(0o755)
    return target


def _contents(program: str, package: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    module, main = ("zkexec", "main") if program == "zkexec" else ("zkexec.ctl", "entry")
    start = _START.format(name=program, module=module, main=f"{module}.{main}").encode()
    for name, content in {"__main__.py": start, **package}.items():
        if name.startswith(_OTHERS[program]):
            continue
        yield name, content
        if name.endswith(".py"):
            yield f"{name}c", _byte_code(name, content)


def _byte_code(name: str, source: bytes) -> bytes:
    """Compile a module, in the format of a `.pyc` that is valid whatever the time of its source."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    flags = _UNCHECKED_HASH.to_bytes(4, "little")
    digest = importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + flags + digest + marshal.dumps(code)
