"""Several kinds of inputs on the same znodes, unusual names, and folders that cannot be used."""

import os
import random
import subprocess
import threading
from pathlib import Path

import pytest

from support.inputs_host import InputsHost
from support.waiting import until, until_lines
from support.znode_tree import files_below

CANNOT_WORK = 125
TRANSACTIONS = 150


def test_one_tree_as_files_values_and_variables(inputs: InputsHost) -> None:
    """A tree can be mirrored, read by templates, and be variables; ephemerals are only values."""
    root = inputs.tree.root
    inputs.tree.write({"a": "1", "b": "2"})
    inputs.create(template=f"{{{{ ls('{root}') | join(' ') }}}}".encode())
    run = inputs.run(
        inputs.tree_option,
        f"--template={inputs.file('rendered')}={inputs.path('template')}",
        f"--values={root}",
        f"--env-tree={root}=T_",
        reads=("tree", "rendered"),
        recorder=("--variable=T_A", "--variable=T_C"),
    )
    first = inputs.born()
    assert first.files == {"tree": {"a": "1", "b": "2"}, "rendered": "a b"}
    assert first.variables == {"T_A": "1", "T_C": None}

    inputs.client.create(f"{root}/c", b"alive", ephemeral=True)
    second = inputs.born(2)
    assert second.files == {"tree": {"a": "1", "b": "2"}, "rendered": "a b c"}
    assert second.variables == {"T_A": "1", "T_C": None}
    inputs.client.delete(f"{root}/c")
    inputs.tree.write({"a": "3"})
    until(lambda: (inputs.births()[-1].variables or {}).get("T_A") == "3", run.story)

    assert inputs.births()[-1].files == {"tree": {"a": "3", "b": "2"}, "rendered": "a b"}
    assert run.end() == 0


def write_number(inputs: InputsHost, number: int) -> None:
    """Write a number into an input of each kind, and add or remove a file, at once."""
    text = f"{number}".encode()
    with inputs.client.transaction() as transaction:
        transaction.set_data(inputs.tree.path("a"), text)
        transaction.set_data(inputs.values.path("v"), text)
        transaction.set_data(inputs.path("single"), text)
        if number % 2:
            transaction.create(inputs.tree.path("odd"), text)
        else:
            transaction.delete(inputs.tree.path("odd"))


def test_all_inputs_are_of_one_moment(inputs: InputsHost) -> None:
    """Whatever is written, a command has all inputs of one transaction, and of no other."""
    inputs.tree.write({"a": "1", "odd": "1"})
    inputs.values.write({"v": "1"})
    value = inputs.values.path("v")
    inputs.create(single=b"1", template=f"{{{{ zk('{value}') }}}}".encode())
    run = inputs.run(
        inputs.tree_option,
        *inputs.template_options(),
        *inputs.mirrors("single"),
        f"--env=V={value}",
        "--settle=0",
        reads=("tree", "rendered", "single"),
        recorder=("--variable=V",),
    )
    inputs.born()
    dice = random.Random(6)

    for number in range(2, TRANSACTIONS + 1):
        write_number(inputs, number)
        threading.Event().wait(dice.expovariate(1 / 0.05))  # so that there are restarts between
    until(lambda: inputs.births()[-1].files["single"] == f"{TRANSACTIONS}", run.story)
    assert run.end() == 0

    for birth in inputs.births():
        number = birth.files["single"]
        tree = {"a": number} | ({"odd": number} if int(number) % 2 else {})
        assert birth.files == {"tree": tree, "rendered": number, "single": number}
        assert birth.variables == {"V": number}
    assert len(inputs.births()) > 2


def test_trees_within_trees(inputs: InputsHost) -> None:
    """Trees of which one is below the other go into two folders, and change together."""
    inputs.tree.write({"a": "1", "sub/b": "2", "sub/deep/c": "3"})
    run = inputs.run(
        inputs.tree_option,
        f"--mirror={inputs.file('other')}/={inputs.tree.path('sub')}/",
        f"--mirror={inputs.file('single')}={inputs.tree.path('sub/b')}",
        reads=("tree", "other", "single"),
    )
    assert inputs.born().files == {
        "tree": {"a": "1", "sub/b": "2", "sub/deep/c": "3"},
        "other": {"b": "2", "deep/c": "3"},
        "single": "2",
    }

    inputs.tree.write({"sub/b": "changed", "sub/deep/c": None, "sub/d": "4"})
    assert inputs.born(2).files == {
        "tree": {"a": "1", "sub/b": "changed", "sub/d": "4"},
        "other": {"b": "changed", "d": "4"},
        "single": "changed",
    }
    inputs.tree.write({"sub/b": None})
    run.until(f"{inputs.tree.path('sub/b')} does not exist; the files and the command stay")
    assert run.end() == 0
    assert len(inputs.births()) == 2


def test_unusual_names(inputs: InputsHost) -> None:
    """Names with blanks, dots, dashes, other letters and shell syntax are files like any other."""
    names = [
        " ",
        "a b",
        ".hidden",
        "-rf",
        "...",
        "Ärger",
        "$(touch x)",
        "'\"",
        "\\n",
        "a=b",
        "n" * 255,
    ]
    files = {f"{name}/{name}": f"{number}" for number, name in enumerate(names)}
    inputs.tree.write(files)
    run = inputs.follow('--check=test -e "$1/ / "')
    assert inputs.born().files == {"tree": files}

    inputs.tree.write(dict.fromkeys(list(files)[1:]))

    assert inputs.born(2).files == {"tree": {" / ": "0"}}
    assert [path.name for path in inputs.target.iterdir()] == [" "]
    assert run.end() == 0


def test_templates_in_a_chroot(inputs: InputsHost) -> None:
    """Templates name paths without the chroot, as options do."""
    inputs.values.write({"v": "one"})
    inputs.create(template=b"{{ zk('/values/v') }}{{ ls('/values') }}")
    inputs.hosts += inputs.root
    run = inputs.run(
        f"--template={inputs.file('rendered')}=/template",
        "--values=/values/",
        "--env=V=/values/v",
        reads=("rendered",),
        recorder=("--variable=V",),
    )
    assert inputs.born().files == {"rendered": "one['v']"}

    inputs.values.write({"v": "two"})

    assert inputs.born(2).files == {"rendered": "two['v']"}
    assert inputs.births()[-1].variables == {"V": "two"}
    assert run.end() == 0


def test_a_foreign_file_at_the_path_of_a_folder(inputs: InputsHost) -> None:
    """A file of another process is not replaced by a folder: an error of writing that names it."""
    inputs.tree.write({"a": "1"})
    run = inputs.follow(inputs.alert_option)
    first = inputs.born()
    (inputs.target / "sub").write_text("foreign")

    inputs.tree.write({"a": "2", "sub/b": "3"})
    run.until(f"cannot write {inputs.target}/sub.*; the old files stay")
    until_lines(inputs.alerts)
    inputs.only(first)
    assert inputs.files() == {"a": "1", "sub": "foreign"}
    (inputs.target / "sub").unlink()

    assert inputs.born(2).files == {"tree": {"a": "2", "sub/b": "3"}}
    assert run.end() == 0


def test_a_foreign_folder_at_the_path_of_a_file(inputs: InputsHost) -> None:
    """A folder of another process is not replaced by a file, neither now nor at a start."""
    (inputs.target / "a/theirs").mkdir(parents=True)
    inputs.tree.write({"a": "1"})

    run = inputs.follow("--silent")

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert f"{inputs.target}/a" in line
    assert (inputs.target / "a/theirs").is_dir()


@pytest.mark.parametrize("kind", ["a file", "nowhere"])
def test_a_state_folder_that_cannot_be_used(inputs: InputsHost, kind: str) -> None:
    """Without a place for the state file, the first start ends before anything is installed."""
    above = inputs.sandbox.folder / "above"
    above.write_text("a file") if kind == "a file" else above.symlink_to("/proc/nowhere")
    inputs.state = above / "state"
    inputs.tree.write({"a": "1"})

    run = inputs.follow("--silent")

    assert run.wait() in (2, CANNOT_WORK)
    assert str(inputs.state) in run.stderr.text
    assert inputs.files() == {}
    assert not inputs.births()


def test_a_state_file_that_is_none(inputs: InputsHost) -> None:
    """A state file of rubbish, or one that others may write, is as none: nothing is removed."""
    inputs.tree.write({"a": "1", "b": "2"})
    first = inputs.follow()
    inputs.born()
    assert first.end() == 0
    (state,) = inputs.state.iterdir()
    good = state.read_bytes()
    inputs.tree.write({"b": None})

    for number, (content, mode) in enumerate([(b'{"format": 1, "files": {', 0o600), (good, 0o666)]):
        state.write_bytes(content)
        state.chmod(mode)
        run = inputs.follow()
        assert inputs.born(2 + number).files == {"tree": {"a": "1", "b": "2"}}
        assert run.end() == 0


def test_a_hostile_state_file(inputs: InputsHost) -> None:
    """A state file that names files outside of DIR has none of them removed."""
    precious = inputs.sandbox.folder / "precious"
    precious.write_text("precious")
    inputs.tree.write({"a": "1", "b": "precious"})
    first = inputs.follow()
    inputs.born()
    assert first.end() == 0
    (state,) = inputs.state.iterdir()
    text = state.read_text()
    for path in (str(precious), f"{inputs.target}/../../precious"):
        state.write_text(text.replace(f'"{inputs.target}/b"', f'"{path}"'))
        run = inputs.follow()
        inputs.born(len(inputs.births()) + 1)
        assert run.end() == 0

        assert precious.read_text() == "precious"
        assert inputs.files() == {"a": "1", "b": "precious"}


def test_nothing_is_left_beside_the_targets(inputs: InputsHost) -> None:
    """After changes, failures and an end, there are the files of the inputs and nothing else."""
    inputs.tree.write({"a": "1", "sub/b": "2"})
    inputs.create(template=b"one", single=b"one")
    inputs.values.write({"v": "1"})
    run = inputs.run(
        inputs.tree_option,
        *inputs.template_options(),
        *inputs.mirrors("single"),
        inputs.alert_option,
        '--check=! grep -rq bad "$@"',
        reads=("tree", "rendered", "single"),
    )
    inputs.born()
    inputs.tree.write({"sub/b": "bad", "c": "3"})
    until_lines(inputs.alerts)
    inputs.tree.write({"sub/b": None})
    inputs.born(2)
    assert run.end() == 0

    assert files_below(inputs.folder) == {
        "tree/a": "1",
        "tree/c": "3",
        "rendered": "one",
        "single": "one",
    }
    assert len(list(inputs.state.iterdir())) == 1


def test_the_documented_default_of_the_state_folder(inputs: InputsHost, tmp_path: Path) -> None:
    """Without --state-dir, $STATE_DIRECTORY is used, as systemd sets it."""
    folder = tmp_path / "of-systemd"
    inputs.tree.write({"a": "1"})
    command = f"--exec={inputs.recorder('tree')}"
    environment = inputs.sandbox.environment(STATE_DIRECTORY=f"{folder}:/nowhere")
    run = inputs.start(inputs.tree_option, command, env=environment)
    inputs.born()
    assert run.end() == 0

    assert len(list(folder.glob("*.state"))) == 1
    assert os.stat(folder).st_mode & 0o777 == 0o700


def test_a_tree_whose_folder_is_a_mount(inputs: InputsHost, mounted: list[Path]) -> None:
    """DIR can be a mount of its own; files in it are replaced and removed as elsewhere."""
    inputs.target.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(inputs.target)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    mounted.append(inputs.target)
    inputs.tree.write({"a": "1", "sub/b": "2"})
    run = inputs.follow()
    inputs.born()

    inputs.tree.write({"a": "2", "sub/b": None})

    assert inputs.born(2).files == {"tree": {"a": "2"}}
    assert run.end() == 0
    assert not run.stderr.matching("in place")
