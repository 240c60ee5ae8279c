"""Trees of znodes as folders, with one zkexec that runs: what is added, changed, removed and kept.

Each test has files in the folder that zkexec has not installed, if removals are what it is about.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from support.inputs_host import InputsHost
from support.processes import children
from support.sandbox import ZKEXEC
from support.waiting import lines, until, until_line
from support.znode_tree import files_below

CANNOT_WORK = 125
PID_1 = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
WITHOUT_STARTER = (
    ZKEXEC[0],
    "-c",
    """import sys; sys.modules["zkexec.process._starter"] = None
from zkexec.main import main; sys.exit(main())""",
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change owners")


def write_foreign(inputs: InputsHost, *names: str) -> None:
    """Write files of another process into the folder."""
    for name in names:
        path = inputs.target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("foreign")


def test_a_tree_becomes_a_folder(inputs: InputsHost) -> None:
    """Each znode with content is a file; the content of a folder is in its `zknode.data`."""
    inputs.tree.write({"": "root", "a": "1", "sub": "own", "sub/b": "2", "x/y/z": "3", "none": ""})

    run = inputs.follow()

    files = {"zknode.data": "root", "a": "1", "sub/zknode.data": "own", "sub/b": "2", "x/y/z": "3"}
    assert inputs.born().files == {"tree": files}
    assert run.end() == 0


def test_files_that_come_change_and_go(inputs: InputsHost) -> None:
    """One transaction adds, changes and removes; one restart follows, and foreign files stay."""
    inputs.tree.write({"a": "1", "sub/b": "2", "gone/c": "3", "emptied/d": "4"})
    run = inputs.follow()
    inputs.born()
    write_foreign(inputs, "own", "gone/own")

    inputs.tree.write({"a": "changed", "sub/new": "5", "gone/c": None, "emptied/d": None})

    after = {"a": "changed", "sub/b": "2", "sub/new": "5", "own": "foreign", "gone/own": "foreign"}
    assert inputs.born(2).files == {"tree": after}
    assert not (inputs.target / "emptied").exists()
    for words in ("emptied/d is in its tree no more", f"removed {inputs.target}/gone/c"):
        assert run.stderr.matching(words), run.story()
    assert run.end() == 0
    assert len(inputs.births()) == 2
    assert inputs.files() == after


def test_a_file_and_a_folder_change_places(inputs: InputsHost) -> None:
    """What was a file becomes a folder with its content, and a folder becomes a file."""
    inputs.tree.write({"a": "1", "b/c": "2"})
    run = inputs.follow()
    assert inputs.born().files == {"tree": {"a": "1", "b/c": "2"}}

    inputs.tree.write({"a/below": "3", "b/c": None, "b": "4"})
    assert inputs.born(2).files == {"tree": {"a/zknode.data": "1", "a/below": "3", "b": "4"}}
    inputs.tree.write({"a/below": None, "b/c": "5"})

    assert inputs.born(3).files == {"tree": {"a": "1", "b/zknode.data": "4", "b/c": "5"}}
    assert run.end() == 0


def test_what_was_deleted_while_zkexec_was_down(inputs: InputsHost) -> None:
    """The next start removes the files of deleted znodes, and no other file."""
    inputs.tree.write({"a": "1", "b": "2", "sub/c": "3", "theirs": "4"})
    inputs.follow().until(inputs.born)
    # The folder is what is there at the end of the first zkexec, with three foreign changes.
    write_foreign(inputs, "own", "sub/own", "theirs")
    for program in inputs.sandbox.present():
        # The command can be gone already, because zkexec has stopped it.
        with suppress(ProcessLookupError):
            os.kill(program, signal.SIGTERM)
    inputs.sandbox.wait_until_empty()
    inputs.tree.write({"b": None, "sub/c": None, "theirs": None})

    run = inputs.follow()

    left = {"a": "1", "own": "foreign", "sub/own": "foreign", "theirs": "foreign"}
    assert inputs.born(2).files == {"tree": left}
    kept = f"{inputs.target}/theirs is not removed: another process has changed"
    assert len(run.stderr.matching(kept)) == 1
    assert run.end() == 0
    assert inputs.files() == left


def test_without_the_state_file_nothing_is_removed(inputs: InputsHost) -> None:
    """If the state file is gone, the files of an earlier zkexec are unknown, and stay."""
    inputs.tree.write({"a": "1", "b": "2"})
    first = inputs.follow()
    inputs.born()
    assert first.end() == 0
    assert len(list(inputs.state.iterdir())) == 1
    shutil.rmtree(inputs.state)
    inputs.tree.write({"b": None, "a": "changed"})

    run = inputs.follow()

    assert inputs.born(2).files == {"tree": {"a": "changed", "b": "2"}}
    assert run.end() == 0


def test_the_state_file_is_private_and_has_no_content(inputs: InputsHost) -> None:
    """The state file names files by path and digest; no other user can read it."""
    inputs.tree.write({"a": "secret-1", "sub/b": "secret-2"})
    run = inputs.follow()
    inputs.born()
    assert run.end() == 0

    (path,) = inputs.state.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"secret" not in path.read_bytes()
    state = json.loads(path.read_text())
    assert set(state["files"]) == {f"{inputs.target}/a", f"{inputs.target}/sub/b"}
    assert not state["variables"]


def test_an_emptied_znode(inputs: InputsHost) -> None:
    """The files and the command stay until the znode has content again, or is deleted."""
    inputs.tree.write({"a": "1", "b": "2"})
    run = inputs.follow()
    first = inputs.born()

    inputs.tree.write({"b": "", "a": "not yet"})
    run.until(f"{inputs.tree.path('b')} is empty; the files and the command stay")
    inputs.only(first)
    assert inputs.files() == {"a": "1", "b": "2"}
    inputs.tree.write({"b": None})

    assert inputs.born(2).files == {"tree": {"a": "not yet"}}
    assert run.end() == 0


def test_a_znode_emptied_while_zkexec_was_down(inputs: InputsHost) -> None:
    """A start on an emptied znode of an installed file is refused, and the file stays."""
    inputs.tree.write({"a": "1", "b": "2"})
    first = inputs.follow()
    inputs.born()
    assert first.end() == 0
    inputs.tree.write({"b": ""})

    run = inputs.follow("--silent")

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert f"{inputs.tree.path('b')} is empty" in line
    assert "--allow-empty" in line
    assert inputs.files() == {"a": "1", "b": "2"}


def test_the_root_is_deleted_and_created_again(inputs: InputsHost) -> None:
    """A deleted tree leaves everything as it is; another tree in its place is followed."""
    inputs.tree.write({"a": "1", "sub/b": "2"})
    run = inputs.follow("--settle=0.5")
    first = inputs.born()

    inputs.tree.delete()
    run.until(f"{inputs.tree.root} (does not exist|has no content)")
    inputs.only(first)
    assert inputs.files() == {"a": "1", "sub/b": "2"}
    inputs.tree.write({"": "", "a": "1", "c": "3"})

    assert inputs.born(2).files == {"tree": {"a": "1", "c": "3"}}
    assert run.end() == 0


def test_a_tree_with_nothing_in_it(inputs: InputsHost) -> None:
    """A tree without content is refused at the start; with --allow-empty it empties the folder."""
    inputs.tree.write({"a": "1"})
    first = inputs.follow()
    inputs.born()
    assert first.end() == 0
    write_foreign(inputs, "own")
    inputs.tree.write({"a": None})

    refused = inputs.follow("--silent")
    assert refused.wait() == CANNOT_WORK
    assert f"{inputs.tree.root} has no content, and nothing with content" in refused.stderr.text
    assert inputs.files() == {"a": "1", "own": "foreign"}

    run = inputs.follow("--allow-empty")
    assert inputs.born(2).files == {"tree": {"own": "foreign"}}
    assert run.end() == 0


def test_allow_empty_empties_the_folder(inputs: InputsHost) -> None:
    """With --allow-empty, DIR is emptied if the tree is; foreign files stay."""
    inputs.tree.write({"a": "1", "sub/b": "2"})
    run = inputs.follow("--allow-empty", "--settle=0")
    inputs.born()
    write_foreign(inputs, "own")

    inputs.tree.write({"a": None, "sub/b": None, "sub": None})

    assert inputs.born(2).files == {"tree": {"own": "foreign"}}
    inputs.tree.delete()
    run.until(lambda: inputs.files() == {"own": "foreign"}, "foreign files stay")
    assert run.end() == 0


def test_symbolic_links_below_the_folder(inputs: InputsHost) -> None:
    """A link at the path of a file is replaced; one at that of a folder is an error of writing."""
    outside = inputs.sandbox.folder / "outside"
    outside.mkdir()
    (outside / "a").write_text("precious")
    inputs.target.mkdir()
    (inputs.target / "a").symlink_to(outside / "a")
    inputs.tree.write({"a": "1"})
    run = inputs.follow(inputs.alert_option)
    first = inputs.born()
    assert first.files == {"tree": {"a": "1"}}
    assert not (inputs.target / "a").is_symlink()
    (inputs.target / "sub").symlink_to(outside)

    inputs.tree.write({"a": "changed", "sub/a": "2"})
    run.until(f"cannot write {inputs.target}/sub.*symbolic link.*; the old files stay")
    until(lambda: lines(inputs.alerts), "an alert")
    inputs.only(first)
    assert (inputs.target / "a").read_text() == "1"
    assert files_below(outside) == {"a": "precious"}
    (inputs.target / "sub").unlink()

    assert inputs.born(2).files == {"tree": {"a": "changed", "sub/a": "2"}}
    assert run.end() == 0
    assert files_below(outside) == {"a": "precious"}


def test_the_folder_may_be_a_symbolic_link(inputs: InputsHost) -> None:
    """DIR itself can be a link: the files are in the folder that it names."""
    real = inputs.sandbox.folder / "real"
    real.mkdir()
    inputs.target.symlink_to(real)
    inputs.tree.write({"a": "1", "sub/b": "2"})
    run = inputs.follow()
    inputs.born()

    inputs.tree.write({"sub/b": None, "c": "3"})
    assert inputs.born(2).files == {"tree": {"a": "1", "c": "3"}}
    assert inputs.target.is_symlink()
    assert files_below(real) == {"a": "1", "c": "3"}
    assert run.end() == 0


def test_modes(inputs: InputsHost) -> None:
    """The longest PATH counts; a mode that was changed is corrected, which restarts nothing."""
    inputs.tree.write({"a": "1", "keys/k": "2", "keys/pub": "3"})
    modes = (
        "--mode=0640",
        f"--mode={inputs.target}/keys/=0600",
        f"--mode={inputs.target}/keys/pub=444",
    )
    run = inputs.follow(*modes)
    inputs.born()

    def found() -> dict[str, int]:
        return {
            name: stat.S_IMODE((inputs.target / name).stat().st_mode) for name in inputs.files()
        }

    wanted = {"a": 0o640, "keys/k": 0o600, "keys/pub": 0o444}
    assert found() == wanted
    assert stat.S_IMODE((inputs.target / "keys").stat().st_mode) == 0o700
    (inputs.target / "a").chmod(0o777)
    inputs.tree.write({"keys/pub": "changed", "keys/new": "4"})
    inputs.born(2)
    assert found() == {**wanted, "keys/new": 0o600}
    assert run.end() == 0
    (inputs.target / "keys/k").chmod(0o644)

    again = inputs.follow(*modes)
    inputs.born(3)
    assert found() == {**wanted, "keys/new": 0o600}
    assert again.end() == 0


@as_root
def test_owners(inputs: InputsHost) -> None:
    """Files get the owner of the longest PATH, by number or name."""
    inputs.tree.write({"a": "1", "keys/k": "2"})
    run = inputs.follow("--owner=12345:54321", f"--owner={inputs.target}/keys/=root")
    inputs.born()
    inputs.tree.write({"b": "3"})
    inputs.born(2)

    def owner(name: str) -> tuple[int, int]:
        found = (inputs.target / name).stat()
        return found.st_uid, found.st_gid

    assert [owner("a"), owner("b")] == [(12345, 54321)] * 2
    assert owner("keys/k")[0] == 0
    assert run.end() == 0


def test_a_check_gets_a_copy_of_the_folder(inputs: InputsHost) -> None:
    """The check examines the whole new folder, without foreign files, before anything is done."""
    inputs.tree.write({"a": "1", "sub/b": "2"})
    seen = inputs.sandbox.folder / "seen"
    check = (
        f'(cd "$1" && find . -type f | sort | tr "\\n" " "; basename "$1"; '
        f'test -f "$ZKEXEC_STAGED{inputs.target}/sub/b") >>{seen} && ! grep -rn bad "$1"'
    )
    run = inputs.follow(inputs.alert_option, f"--check={check}")
    first = inputs.born()
    write_foreign(inputs, "own")

    inputs.tree.write({"a": None, "sub/b": "bad", "sub/c": "3"})
    until(lambda: lines(inputs.alerts), "an alert")
    (alert,) = lines(inputs.alerts)
    assert alert.startswith("restart-failed|check|the check failed: exit status 1: ")
    assert alert.endswith("/sub/b:1:bad")
    inputs.only(first)
    assert inputs.files() == {"a": "1", "sub/b": "2", "own": "foreign"}
    inputs.tree.write({"sub/b": "good"})

    after = {"sub/b": "good", "sub/c": "3", "own": "foreign"}
    assert inputs.born(2).files == {"tree": after}
    assert run.end() == 0
    new = "./sub/b ./sub/c tree"
    assert lines(seen) == ["./a ./sub/b tree", new, new]


def test_the_arguments_of_a_check_are_in_the_order_given(inputs: InputsHost) -> None:
    """A file and a tree are two arguments of the check, in the order of the options."""
    inputs.tree.write({"a": "1"})
    inputs.create(single=b"one")
    seen = inputs.sandbox.folder / "seen"
    check = f'--check=echo "$#" $(basename "$1") $(basename "$2") >>{seen}'
    run = inputs.run(inputs.tree_option, *inputs.mirrors("single"), check, reads=("tree", "single"))
    inputs.born()

    assert lines(seen) == ["2 tree single"]
    assert run.end() == 0


def test_a_tree_that_is_reloaded(inputs: InputsHost) -> None:
    """`--on-change DIR/=reload` applies to each file of the tree, also to removals."""
    inputs.tree.write({"a": "1", "b": "2"})
    inputs.create(single=b"one")
    loaded = inputs.sandbox.folder / "loaded"
    run = inputs.run(
        inputs.tree_option,
        *inputs.mirrors("single"),
        f"--on-change={inputs.target}/=reload",
        f"--reload=ls {inputs.target} | tr '\\n' ' ' >>{loaded}; echo >>{loaded}",
        reads=("tree", "single"),
    )
    first = inputs.born()

    inputs.tree.write({"b": None, "c": "3"})
    until_line(loaded, "a c ")
    inputs.tree.write({"c": None})
    until_line(loaded, "a ")
    inputs.only(first)
    inputs.set(single=b"two")

    assert inputs.born(2).files == {"tree": {"a": "1"}, "single": "two"}
    assert run.end() == 0
    assert len(lines(loaded)) == 2


def test_a_reload_that_is_refused_puts_a_tree_back(inputs: InputsHost) -> None:
    """If a reload is refused, removed files are back, added ones are gone, and changed ones old."""
    inputs.tree.write({"a": "1", "sub/b": "2"})
    run = inputs.follow(
        inputs.alert_option,
        "--on-change=reload",
        f"--reload=! grep -rn bad {inputs.target}",
    )
    first = inputs.born()

    inputs.tree.write({"a": "bad", "sub/b": None, "new/c": "3"})
    run.until("the reload failed; the old files are put back")
    until(lambda: lines(inputs.alerts), "an alert")
    assert inputs.files() == {"a": "1", "sub/b": "2"}
    assert not (inputs.target / "new").exists()
    inputs.only(first)
    inputs.tree.write({"a": "good"})

    until(lambda: inputs.files() == {"a": "good", "new/c": "3"}, lambda: f"{inputs.files()}")
    inputs.only(first)
    assert run.end() == 0


def test_a_tool_that_writes_file_by_file(inputs: InputsHost) -> None:
    """Within --settle, znodes that are written one by one are one change: one restart."""
    inputs.tree.write({"0": "0"})
    run = inputs.follow("--settle=1.5")
    inputs.born()

    for number in range(20):
        inputs.tree.write({f"dir{number % 3}/{number}": f"{number}"})
    inputs.tree.write({"0": "last"})

    files = {f"dir{number % 3}/{number}": f"{number}" for number in range(20)}
    assert inputs.born(2).files == {"tree": {**files, "0": "last"}}
    assert run.end() == 0
    assert len(inputs.births()) == 2


def test_ephemeral_znodes_are_no_files(inputs: InputsHost) -> None:
    """An ephemeral znode comes and goes without a file or a restart."""
    inputs.tree.write({"a": "1"})
    run = inputs.follow("--verbose")
    first = inputs.born()

    inputs.client.create(inputs.tree.path("alive"), b"here", ephemeral=True)
    run.until(f"{inputs.tree.root} may have changed; reading")
    inputs.client.create(inputs.tree.path("b"), b"2")
    assert inputs.born(2).files == {"tree": {"a": "1", "b": "2"}}
    inputs.client.delete(inputs.tree.path("alive"))
    inputs.client.set(inputs.tree.path("b"), b"3")

    assert inputs.born(3).files == {"tree": {"a": "1", "b": "3"}}
    assert first.files == {"tree": {"a": "1"}}
    assert run.end() == 0
    assert len(inputs.births()) == 3


def test_a_tree_in_a_chroot(inputs: InputsHost) -> None:
    """A tree below the chroot of the cluster is named without it, and followed."""
    inputs.tree.write({"a": "1"})
    inputs.hosts += inputs.root

    run = inputs.run(f"--mirror={inputs.target}/=/tree/")
    inputs.born()
    inputs.tree.write({"sub/b": "2"})

    assert inputs.born(2).files == {"tree": {"a": "1", "sub/b": "2"}}
    assert run.end() == 0


def test_start_wait_waits_for_a_tree(inputs: InputsHost) -> None:
    """With --start wait the command starts as soon as something with content is in the tree."""
    run = inputs.follow("--start=wait", "--settle=0")
    run.until(f"waiting .*{inputs.tree.root} does not exist")
    inputs.tree.write({"sub/deep": ""})
    run.until(f"waiting .*{inputs.tree.root} has no content")
    assert not inputs.births()
    inputs.tree.write({"sub/deep": "1"})

    assert inputs.born().files == {"tree": {"sub/deep": "1"}}
    assert run.end() == 0


def test_stage_only(inputs: InputsHost) -> None:
    """`--stage-only` writes the whole tree at its full path, and neither targets nor state."""
    inputs.tree.write({"a": "1", "sub": "own", "sub/b": "2"})
    folder = inputs.sandbox.folder / "staged"

    run = inputs.run(inputs.tree_option, f"--stage-only={folder}")

    assert run.wait() == 0, run.story()
    staged = files_below(Path(f"{folder}{inputs.target}"))
    assert staged == {"a": "1", "sub/zknode.data": "own", "sub/b": "2"}
    assert not inputs.target.exists()
    assert not inputs.state.exists()
    assert not inputs.births()


def refusal() -> str:
    """Why this machine forbids a namespace of processes; empty if it allows it."""
    tried = subprocess.run([*PID_1, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


def test_a_tree_and_a_template_below_pid_1(inputs: InputsHost) -> None:
    """PID 1 installs trees, renders, and leaves no process behind."""
    if reason := refusal():
        pytest.skip(f"no namespace of processes here: {reason}")
    _lives_through_changes(inputs, (*PID_1, *ZKEXEC))


def test_a_tree_and_a_template_without_the_compiled_starter(inputs: InputsHost) -> None:
    """Where the compiled starter is missing, rendering works as well."""
    _lives_through_changes(inputs, WITHOUT_STARTER)


def _lives_through_changes(inputs: InputsHost, program: tuple[str, ...]) -> None:
    inputs.tree.write({"a": "1"})
    inputs.values.write({"v": "one"})
    inputs.create(template=f"v={{{{ zk('{inputs.values.path('v')}') }}}}\n".encode())
    container = inputs.run(
        inputs.tree_option,
        *inputs.template_options(),
        '--check=test -d "$1" && test -f "$2"',
        reads=("tree", "rendered"),
        program=program,
    )
    assert inputs.born().files == {"tree": {"a": "1"}, "rendered": "v=one\n"}
    inputs.values.write({"v": "two"})
    assert inputs.born(2).files == {"tree": {"a": "1"}, "rendered": "v=two\n"}
    inputs.tree.write({"a": None, "b": "2"})
    inputs.born(3)
    assert inputs.files() == {"b": "2"}

    is_pid_1 = program[0] == PID_1[0]
    pid = children(container.pid)[0] if is_pid_1 else container.pid
    until(lambda: len(children(pid)) == 1, "only the command is left")
    os.kill(pid, signal.SIGTERM)
    assert container.wait() == 0
