"""The check before a push: what it is run on, what it decides, and that nothing of it stays."""

import shlex
import signal
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.sandbox import Sandbox
from support.waiting import until
from support.zkexecctl import ZKEXECCTL, Zkexecctl
from support.znode_trees import DEEP
from support.zookeeper import Server
from zkexec.cli.shell_command import parse
from zkexec.ctl.command.push_check import check
from zkexec.ctl.history.tree_content import encode


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str) -> str:
    """The path of a znode that is not there yet."""
    return f"{root}/web.conf"


def test_words(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A command without shell syntax gets the files as its last arguments."""
    refused = zkexecctl.refused(conf, b"bad", "--check", "grep -q good")
    zkexecctl.push(conf, b"good", "--check", "grep -q good")

    assert refused.status == 1
    assert refused.err == ("zkexecctl: --check: grep -q good: exit status 1; nothing was pushed\n")
    assert client.get(conf)[0] == b"good"
    assert client.exists(conf).version == 0


def test_script(zkexecctl: Zkexecctl, root: str) -> None:
    """A script gets the files as $1, $2 and so on, named like their znodes, in that order."""
    said = zkexecctl.folder / "said"
    script = f'for file; do echo "${{file##*/}} $(cat "$file")"; done >{said}; echo $# $0 >>{said}'
    pairs = [
        f"{root}/{name}={zkexecctl.file(name.encode(), name)}" for name in ("b.conf", "a.json")
    ]

    zkexecctl.does("push", *pairs, "--yes", "--check", script)

    assert said.read_text() == "b.conf b.conf\na.json a.json\n2 zkexecctl\n"


def test_private(zkexecctl: Zkexecctl, conf: str) -> None:
    """Other users cannot read the copies."""
    said = zkexecctl.folder / "said"

    zkexecctl.push(conf, b"x", "--check", f'stat -c %a "$1" "${{1%/*}}" >{said}')

    assert said.read_text() == "600\n700\n"


def test_names_that_clash(zkexecctl: Zkexecctl, root: str) -> None:
    """Files of the same name are both there, each with its own content."""
    said = zkexecctl.folder / "said"
    pairs = [
        f"{root}/{name}/conf={zkexecctl.file(name.encode(), name)}" for name in ("one", "other")
    ]

    zkexecctl.does(
        "push", *pairs, "--yes", "--check", f'cat "$1" "$2" >{said}; stat -c %a "${{1%/*}}"'
    )

    assert said.read_text() == "oneother"


def test_a_long_name(zkexecctl: Zkexecctl, root: str) -> None:
    """Of a name that is too long for a file the end stays, as the suffix is there."""
    zkexecctl.push(
        f"{root}/{'é' * 300}.conf", b"x", "--check", 'case "$1" in *.conf) cat "$1";; esac'
    )


def test_unchanged_files_are_there_too(zkexecctl: Zkexecctl, root: str) -> None:
    """The check sees all files of the push, as they may belong together."""
    one, other = f"{root}/one", f"{root}/other"
    zkexecctl.push(one, b"same")
    pairs = [f"{one}={zkexecctl.file(b'same', 'a')}", f"{other}={zkexecctl.file(b'new', 'b')}"]

    zkexecctl.does("push", *pairs, "--yes", "--check", 'test "$(cat "$1" "$2")" = samenew')


def test_what_was_checked_is_pushed(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A change of the file or the copy during the check changes nothing of what is pushed."""
    source = zkexecctl.file(b"checked")

    zkexecctl.does(
        "push", f"{conf}={source}", "--yes", "--check", f'echo x >"$1"; echo x >{source}'
    )

    assert client.get(conf)[0] == b"checked"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("sh -c 'exit 7' --", "sh -c 'exit 7' --: exit status 7; nothing was pushed"),
        ("kill -9 $$", "kill -9 $$: killed by SIGKILL; nothing was pushed"),
        ("/no/such", "cannot run /no/such: No such file or directory; nothing was pushed"),
    ],
)
def test_a_check_that_fails(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str, command: str, reason: str
) -> None:
    """If the check does not succeed, nothing is pushed, and one line has the reason."""
    answer = zkexecctl.refused(conf, b"x", "--check", command)

    assert (answer.status, answer.err) == (1, f"zkexecctl: --check: {reason}\n")
    assert client.exists(conf) is None


def test_dry_run_checks(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A dry run runs the check as well."""
    pair = f"{conf}={zkexecctl.file(b'x')}"

    assert zkexecctl("push", pair, "--dry-run", "--check", "false").status == 1
    assert zkexecctl("push", pair, "--dry-run", "--check", "true").status == 0
    assert client.exists(conf) is None


def test_undo_checks(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """An undo runs the check on what it goes back to."""
    zkexecctl.push(conf, b"old")
    zkexecctl.push(conf, b"new")

    assert zkexecctl("undo", conf, "--yes", "--check", "grep -q new").status == 1
    assert zkexecctl("undo", conf, "--yes", "--check", "grep -q old").status == 0
    assert client.get(conf)[0] == b"old"


def test_streams_and_secrets(sandbox: Sandbox, conf: str) -> None:
    """The check has the output of zkexecctl, no input, and none of its secrets."""
    (sandbox.folder / "new").write_bytes(b"x")
    script = 'echo out; echo err >&2; cat; test -z "$ZKEXEC_AUTH"; echo $?'
    words = ("push", f"{conf}=new", "--yes", "--check", script)

    status, out, err = sandbox.run(
        *ZKEXECCTL, *words, env=sandbox.environment(ZKEXEC_AUTH="digest:a:b"), input=b"typed"
    )

    lines = out.decode().splitlines()
    start = lines.index("out")
    assert (status, err) == (0, b"err\n")
    assert lines[start : start + 2] == ["out", "0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_check(
    sandbox: Sandbox, client: KazooClient, conf: str, number: signal.Signals
) -> None:
    """A signal ends check and push, and leaves no copies; zkexecctl ends by it, as others do."""
    place = sandbox.folder / "copies"
    place.mkdir()
    (sandbox.folder / "new").write_bytes(b"x")
    script = f"echo $$ >{shlex.quote(str(sandbox.folder / 'pid'))}; exec sleep 600"
    process = sandbox.start(
        *ZKEXECCTL,
        "push",
        f"{conf}=new",
        "--yes",
        "--check",
        script,
        env=sandbox.environment(TMPDIR=str(place)),
    )
    until(lambda: (sandbox.folder / "pid").exists() and sandbox.sleepers(), "the check runs")
    assert len(list(place.iterdir())) == 1

    process.signal(number)

    assert process.wait() == -number
    sandbox.wait_until_empty()
    assert list(place.iterdir()) == []
    assert client.exists(conf) is None


@pytest.mark.parametrize("command", ["true", "false", "/no/such"])
def test_nothing_stays(
    zkexecctl: Zkexecctl, conf: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the check ends, its copies are removed."""
    place = zkexecctl.folder / "copies"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)

    zkexecctl("push", f"{conf}={zkexecctl.file(b'x')}", "--yes", "--check", command)

    assert list(place.iterdir()) == []


def test_deep_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders nested deeper than calls can be are copied for this user alone, and removed."""
    place = tmp_path / "copies"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    found = tmp_path / "found"
    script = f'cd "$1"; find . -type f | wc -l >{found}; find . -perm /077 | wc -l >>{found}'

    check(parse(script), {"/conf/": encode({f"{DEEP * 'd/'}x": b"1", "a": b"2"})}, {})

    assert found.read_text().split() == ["2", "0"]
    assert list(place.iterdir()) == []
