"""Make the Debian package: a tree of files as it is installed, and `dpkg-deb` around it.

No debhelper: what it would do here is on this page, and the package can be built from a source
archive.  `packaging/debian` has the texts.  The package of Python is in a folder of its own,
/usr/lib/zkexec: it is for these two commands alone, no other program can import it by accident, and
a zkexec from pip on the same host is another one.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from draw_papers import released
from product_wheel import ROOT, ProductFiles, build_time, product_files
from zkexec import __version__

_TEXTS = ROOT / "packaging" / "debian"
_REVISION = "1"
_STARTER = "zkexec/process/_starter.abi3.so"
_LIBRARY = "usr/lib/zkexec"
_DOCS = "usr/share/doc/zkexec"
_UNITS = "lib/systemd/system"
_COMMANDS = {"zkexec": "zkexec.main", "zkexecctl": "zkexec.ctl.entry"}
_PLACES = {
    "zsh/site-functions": "usr/share/zsh/vendor-completions",
    "systemd/system": _UNITS,
    "prometheus": "usr/share/zkexec/prometheus",
}
"""Where Debian has what is elsewhere below the `share` of another prefix."""
_PAGES = ("README.md", "docs", "examples")
_MAINTAINER_SCRIPTS = ("postinst", "prerm", "postrm")


def debian_package(folder: Path) -> Path:
    """Build the package for the architecture of this machine; return its path."""
    with tempfile.TemporaryDirectory(prefix="zkexec-deb-") as place:
        tree = Path(place, "tree")
        files = product_files({"ZKEXEC_BUILD_STARTER": "1", **_build_flags()})
        for file in sorted(_files(files), key=lambda file: file.path):
            _write(tree, file)
        starter = tree / _LIBRARY / _STARTER
        _run("strip", "--strip-unneeded", "--remove-section=.comment", starter)
        _write_control(tree, _needed_libraries(starter, Path(place)))
        _set_times(tree)
        return _pack(tree, folder)


@dataclass(frozen=True)
class _File:
    """One file of the package, by its path below the root."""

    path: str
    content: bytes
    mode: int = 0o644


def _files(product: ProductFiles) -> Iterator[_File]:
    for name, content in product.package.items():
        if not name.startswith("zkexec/share/man/"):
            yield _File(f"{_LIBRARY}/{name}", content)
    for name, content in product.shared.items():
        yield _shared_file(name, content)
    for name, main in _COMMANDS.items():
        module = main.rpartition(".")[0]
        launcher = _text("launcher", NAME=name, MODULE=module, MAIN=main)
        yield _File(f"usr/bin/{name}", launcher, 0o755)
    yield _File("usr/share/python3/runtime.d/zkexec.rtupdate", _text("rtupdate"), 0o755)
    yield _File("usr/share/lintian/overrides/zkexec", _text("lintian-overrides"))
    yield _File("etc/zkexec/README", _text("etc-README"))
    yield from _documents()


def _shared_file(name: str, content: bytes) -> _File:
    for start, place in _PLACES.items():
        if name.startswith(start):
            return _File(place + name.removeprefix(start), content)
    if name.startswith("man/"):
        return _File(f"usr/share/{name}.gz", _compressed(content))
    return _File(f"usr/share/{name}", content)


def _documents() -> Iterator[_File]:
    for page in _PAGES:
        found = sorted((ROOT / page).rglob("*")) if (ROOT / page).is_dir() else [ROOT / page]
        for path in found:
            if path.is_file() and "__pycache__" not in path.parts:
                mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                name = path.relative_to(ROOT)
                yield _File(f"{_DOCS}/{name}", _linked(str(name), path.read_bytes()), mode)
    license_lines = (ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()
    notice = next(line for line in license_lines if line.startswith("Copyright (c) "))
    terms = "\n".join(f" {line}" if line else " ." for line in license_lines[4:])
    holders = notice.removeprefix("Copyright (c) ")
    yield _File(f"{_DOCS}/copyright", _text("copyright", COPYRIGHT=holders, LICENSE=terms))
    yield _File(f"{_DOCS}/changelog.gz", _compressed((ROOT / "CHANGELOG.md").read_bytes()))
    date = format_datetime(datetime.fromtimestamp(build_time(), UTC))
    distribution = "unstable" if released() else "UNRELEASED"
    entry = _text("changelog", VERSION=_version(), DISTRIBUTION=distribution, DATE=date)
    yield _File(f"{_DOCS}/changelog.Debian.gz", _compressed(entry))


def _linked(name: str, content: bytes) -> bytes:
    """Let the links of a page to shared files lead to where the package has them."""
    if not name.endswith(".md"):
        return content
    depth = name.count("/")
    up = "../" * depth
    # From doc/zkexec, below which the page is, up to /usr/share.
    place = f"](../../{up}zkexec/".encode()
    content = content.replace(f"]({up}share/prometheus/".encode(), place + b"prometheus/")
    return content.replace(f"]({up}share/zkexec/".encode(), place)


def _write_control(tree: Path, libraries: str) -> None:
    """Write what dpkg reads of the package: its description, its scripts and its checksums."""
    installed = sorted(path for path in tree.rglob("*") if path.is_file())
    units = sorted(path.name for path in (tree / _UNITS).glob("*.service"))
    texts = {
        "control": _text(
            "control",
            VERSION=_version(),
            ARCHITECTURE=_output("dpkg", "--print-architecture"),
            INSTALLED_SIZE=str(sum(-(-path.stat().st_size // 1024) for path in installed)),
            LIBRARIES=libraries,
        ),
        "conffiles": "".join(
            f"/{path.relative_to(tree)}\n"
            for path in installed
            if path.is_relative_to(tree / "etc")
        ).encode(),
        "md5sums": "".join(
            f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"
            f"  {path.relative_to(tree)}\n"
            for path in installed
            if not path.is_relative_to(tree / "etc")
        ).encode(),
        **{name: _text(name, **_names_of_units(units)) for name in _MAINTAINER_SCRIPTS},
    }
    for name, content in texts.items():
        mode = 0o755 if name in _MAINTAINER_SCRIPTS else 0o644
        _write(tree, _File(f"DEBIAN/{name}", content, mode))


def _names_of_units(units: Iterable[str]) -> dict[str, str]:
    """Return what the maintainer scripts call the units: a template by all its instances."""
    instances = [unit.replace("@.", "@*.") for unit in units]
    return {
        "UNITS": " ".join(f"'{unit}'" for unit in instances),
        "LINKS": " -o ".join(
            f"-lname '{place}/systemd/system/{unit}'"
            for unit in units
            for place in ("/lib", "/usr/lib")
        ),
    }


def _needed_libraries(starter: Path, place: Path) -> str:
    """Return the packages, with versions, whose libraries the compiled starter needs."""
    (place / "debian").mkdir()
    (place / "debian" / "control").write_text(
        "Source: zkexec\n\nPackage: zkexec\nArchitecture: any\n"
    )
    printed = _output("dpkg-shlibdeps", "-O", starter, cwd=place)
    return printed.partition("shlibs:Depends=")[2]


def _build_flags() -> dict[str, str]:
    """Return the flags of Debian's compiler that harden a library."""
    hardened = {**os.environ, "DEB_BUILD_MAINT_OPTIONS": "hardening=+all"}
    flags = {
        name: _output("dpkg-buildflags", "--get", name, env=hardened)
        for name in ("CPPFLAGS", "CFLAGS", "LDFLAGS")
    }
    # The folder of the build must leave no trace, not even through the debugging information.
    compiling = [f for f in flags["CFLAGS"].split() if f != "-g" and "-prefix-map=" not in f]
    return {
        "CFLAGS": " ".join((flags["CPPFLAGS"], *compiling)),
        "LDFLAGS": flags["LDFLAGS"],
    }


def _set_times(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (build_time(), build_time()), follow_symlinks=False)


def _pack(tree: Path, folder: Path) -> Path:
    architecture = _output("dpkg", "--print-architecture")
    target = folder / f"zkexec_{_version()}_{architecture}.deb"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(build_time())}
    words = ("dpkg-deb", "--root-owner-group", "--threads-max=1", "-Zxz", "--build")
    _run(*words, tree, target, env=environment)
    return target


def _version() -> str:
    return f"{__version__}-{_REVISION}"


def _write(tree: Path, file: _File) -> None:
    path = tree / file.path
    for folder in reversed(path.relative_to(tree).parents):
        (tree / folder).mkdir(exist_ok=True)
        (tree / folder).chmod(0o755)
    path.write_bytes(file.content)
    path.chmod(file.mode)


def _text(name: str, **values: str) -> bytes:
    """Return a text of `packaging/debian` with these values in it."""
    text = (_TEXTS / name).read_text(encoding="utf-8")
    for mark, value in values.items():
        text = text.replace(f"@{mark}@", value)
    return text.encode()


def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=0)


def _output(*words: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    return _run(*words, cwd=cwd, env=env).strip()


def _run(*words: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    if shutil.which(words[0]) is None:
        raise SystemExit(f"{words[0]} is not installed: run `tools/setup dist`")
    done = subprocess.run(words, cwd=cwd, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words[0]} failed:\n{done.stderr}")
    return done.stdout
