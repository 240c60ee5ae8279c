"""The extras: the packages that parts of zkexec need, and how a person installs them.

The search for a package imports nothing of it, so a command line is checked without them.  What is
reported names packages and never zkexec itself: on a package index that name can be a stranger's.
"""

import os
import sys
from importlib.machinery import PathFinder

from zkexec.frozen import frozen

_ENVIRONMENT = "/opt/zkexec-python"
_APT_GET = "/usr/bin/apt-get"


@frozen()
class ExtraPackage:
    """A package of an extra: its name for pip, its module, and the lowest version to install."""

    name: str
    module: str
    least: str


_JINJA2 = ExtraPackage("jinja2", "jinja2", "3.1.6")
_SERVING = (
    ExtraPackage("prometheus-client", "prometheus_client", "0.20"),
    ExtraPackage("starlette", "starlette", "0.40"),
    ExtraPackage("uvicorn", "uvicorn", "0.30"),
)
EXTRAS = {
    "exporter": _SERVING,
    "sasl": (ExtraPackage("pure-sasl", "puresasl", "0.6.2"),),
    "templates": (_JINJA2, ExtraPackage("pyyaml", "yaml", "6")),
    "web": (*_SERVING, _JINJA2),
}
"""The packages of each extra, as pyproject.toml has them."""

_OF_DEBIAN = {"templates": "python3-jinja2 python3-yaml"}
"""The packages of Debian that are new enough, in its oldest release with a Python for zkexec."""

_REPAIRED = ("jinja2",)
"""Distributions repair what is wrong in old versions of these, and keep the number."""


def lacking(extra: str) -> str:
    """Return what is missing for an extra, and what to type; "" if all packages are there."""
    # Not importlib.util.find_spec: it loads ten more modules, and executes a package's parent.
    missing = [one.name for one in EXTRAS[extra] if PathFinder.find_spec(one.module) is None]
    return f"needs {_listed(missing)}: {installing(extra)}" if missing else ""


def lacking_or_old(extra: str) -> str:
    """Do the same, and recognise versions that are too old; this reads what pip has written."""
    found = [f"{one.name} {_fault(one)}" for one in EXTRAS[extra] if _fault(one)]
    return f"needs {_listed(found)}: {installing(extra)}" if found else ""


def installing(extra: str) -> str:
    """Return the command that installs the packages of an extra for this Python."""
    wanted = " ".join(f"'{one.name}>={one.least}'" for one in EXTRAS[extra])
    if not _is_managed():
        return f"run {sys.executable} -m pip install {wanted} (the extra {extra})"
    if extra in _OF_DEBIAN and os.path.exists(_APT_GET):
        return f"run apt-get install {_OF_DEBIAN[extra]} (the extra {extra})"
    return (
        f"run {sys.executable} -m venv {_ENVIRONMENT} && {_ENVIRONMENT}/bin/python -m pip install "
        f"{wanted} (the extra {extra}), and start {_ENVIRONMENT}/bin/python {sys.argv[0]}"
    )


def _is_managed() -> bool:
    """Return whether pip refuses to install into this Python, since a distribution does."""
    marker = os.path.join(os.path.dirname(os.__file__), "EXTERNALLY-MANAGED")
    return sys.prefix == sys.base_prefix and os.path.exists(marker)


def _fault(package: ExtraPackage) -> str:
    """Return what is wrong with an installed package; "" if nothing is known to be."""
    if PathFinder.find_spec(package.module) is None:
        return f"{package.least} or newer"
    if package.name in _REPAIRED:
        return ""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - large

    try:
        found = version(package.name)
    except PackageNotFoundError:
        return ""  # It is there without the files of an installation, as in an archive.
    is_old = _numbers(found) < _numbers(package.least)
    return f"{package.least} or newer, not {found}" if is_old else ""


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers at the beginning of a version, to compare it by."""
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isascii() or not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
