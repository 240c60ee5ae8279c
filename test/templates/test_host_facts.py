"""The facts of a host that templates can use."""

import os
import subprocess
import sys
from pathlib import Path

import zkexec
from support.waiting import DEADLINE_S
from zkexec.extras import lacking
from zkexec.templates.host_facts import HostFacts


def test_the_environment_is_without_what_is_for_zkexec() -> None:
    """Variables of zkexec are left out, the rest is sorted; bytes that are no text are kept."""
    environment = {b"Z": b"1", b"ZKEXEC_AUTH": b"hunter2", b"A": b"\xff"}
    facts = HostFacts.of_this_host("m1", "web", environment)

    assert list(facts.environment.items()) == [("A", "\udcff"), ("Z", "1")]
    assert (facts.member, facts.lock, facts.hostname) == ("m1", "web", os.uname().nodename)


def test_a_process_counts_what_it_may_use() -> None:
    """CPUs and memory are at least one, and no more than this process may use."""
    facts = HostFacts.of_this_host("", "", {})

    assert 1 <= facts.cpus <= len(os.sched_getaffinity(0))
    assert 2**20 < facts.memory_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available(folder: Path, *flags: str) -> list[str]:
    """Whether the packages are found by a Python with these flags, and which are imported."""
    script = (
        "import sys; sys.path.append(sys.argv[1]); from zkexec.extras import lacking;"
        "print(not lacking('templates'), *sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, *flags, "-c", script, folder],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    return run.stdout.split()


def test_the_extra_is_found_without_an_import(tmp_path: Path) -> None:
    """Whether Jinja2 and PyYAML are installed is found out without importing them."""
    (tmp_path / "zkexec").symlink_to(zkexec.__path__[0])
    assert lacking("templates") == ""
    found, *imported = available(tmp_path)
    assert found == "True"
    assert "zkexec.extras" in imported
    assert not {"jinja2", "yaml", "importlib.util"} & set(imported)

    assert available(tmp_path, "-S", "-I")[0] == "False"
