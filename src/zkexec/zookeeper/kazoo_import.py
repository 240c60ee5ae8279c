"""Imports kazoo's client without what zkexec never uses of it: half of the time and of the memory.

`kazoo.client` imports all recipes, TLS, the parser of URLs, and what these import in turn; some of
that only Python's own modules import, as `queue` does with `heapq`.  While it is imported for the
first time, stand-ins have the places of such modules.  A stand-in asks the real module at its first
use, so that what is needed after all (TLS, SASL, a recipe) is there.

- A later import of one of these modules gets the real one; a module that is there already stays
  what it is.
- Where the stand-ins do not suit a newer kazoo, it is imported plainly.
- What is imported with it is not put in order in each process that is forked: that would be a
  tenth of the time from one command to the next, and a forked process only executes a command.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module
from types import ModuleType

_MODULES = (
    "array",
    "copy",
    "hashlib",
    "inspect",
    "logging",
    "puresasl",
    "puresasl.client",
    "random",
    "selectors",
    "ssl",
)

_FUNCTIONS = (
    "base64",
    "binascii",
    "bisect",
    "heapq",
    "kazoo.hosts",
    "kazoo.recipe.barrier",
    "kazoo.recipe.counter",
    "kazoo.recipe.election",
    "kazoo.recipe.lease",
    "kazoo.recipe.lock",
    "kazoo.recipe.partitioner",
    "kazoo.recipe.party",
    "kazoo.recipe.queue",
    "kazoo.recipe.watchers",
)


class _Module(ModuleType):
    """Replaces a module whose names are resolved when they are used: `ssl.SSLError`."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            # It is used already while kazoo is being imported.
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class _Functions(ModuleType):
    """Replaces a module whose names are imported by `from`, and are called at most."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return partial(self._call, name)

    def _call(self, name: str, *arguments: object, **options: object) -> object:
        return getattr(import_module(self.__name__), name)(*arguments, **options)


class _Logger:
    """Replaces the logger of one of kazoo's modules; ours is another, see `connecting.py`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        _silence()
        return getattr(sys.modules["logging"].getLogger(self._name), name)


def _silence() -> None:
    import logging  # noqa: PLC0415 - It is heavy, and these loggers are hardly ever used.

    # Without this, Python's last resort would print what no handler takes.
    logger = logging.getLogger("kazoo")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _stand_ins() -> dict[str, ModuleType]:
    made: dict[str, ModuleType] = {name: _Functions(name) for name in _FUNCTIONS}
    made |= {name: _Module(name) for name in _MODULES}
    # What is used of them each time:
    vars(made["inspect"])["isclass"] = lambda thing: isinstance(thing, type)
    # kazoo copies the set of its identities.
    vars(made["copy"])["copy"] = set
    vars(made["binascii"])["hexlify"] = lambda content: content.hex().encode()
    vars(made["random"]).update(randint=_randint, shuffle=_shuffle, uniform=_uniform)
    vars(made["logging"]).update(getLogger=_Logger, DEBUG=10)
    vars(made["puresasl"])["client"] = made["puresasl.client"]
    return {name: module for name, module in made.items() if name not in sys.modules}


def _randint(least: int, most: int) -> int:
    return least + int.from_bytes(os.urandom(4), "big") % (most - least + 1)


def _uniform(least: float, most: float) -> float:
    return least + (most - least) * int.from_bytes(os.urandom(4), "big") / 2**32


def _shuffle(things: list[object]) -> None:
    for last in range(len(things) - 1, 0, -1):
        other = _randint(0, last)
        things[last], things[other] = things[other], things[last]


def _import_client() -> None:
    before = set(sys.modules)
    stand_ins = _stand_ins()
    sys.modules.update(stand_ins)
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    try:
        import_module("kazoo.client")
    except Exception:  # noqa: BLE001 - Whatever it is, a plain import may do without it.
        for name in [name for name in sys.modules if name.partition(".")[0] == "kazoo"]:
            if name not in before:
                del sys.modules[name]
    finally:
        os.register_at_fork = register
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


_import_client()
if "logging" in sys.modules:
    _silence()
