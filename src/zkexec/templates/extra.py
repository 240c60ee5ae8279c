"""Find out whether the packages that rendering needs are installed, without importing them.

It is apart so that the command line can be checked without anything that rendering needs.
"""

from importlib.machinery import PathFinder

_PACKAGES = ("jinja2", "yaml")


def templates_available() -> bool:
    """Return whether `zkexec[templates]` is installed."""
    # Not importlib.util.find_spec: it loads ten more modules, and executes a package's parent.
    return all(PathFinder.find_spec(package) is not None for package in _PACKAGES)
