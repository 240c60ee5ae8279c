"""The check before a push: what it is run on, what it decides, and that nothing of it stays."""

import shlex
import signal
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from e2e.stage import Stage, until
from pushing import ZKEXECCTL, Hand
from zookeeper import Server


@pytest.fixture
def hand(zookeeper: Server, tmp_path: Path) -> Hand:
    """An operator at the shared server."""
    return Hand(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str) -> str:
    """The path of a znode that is not there yet."""
    return f"{root}/web.conf"


def test_words(hand: Hand, client: KazooClient, conf: str) -> None:
    """A command without shell syntax gets the files as its last arguments."""
    refused = hand.refused(conf, b"bad", "--check", "grep -q good")
    hand.push(conf, b"good", "--check", "grep -q good")

    assert refused.status == 1
    assert refused.err == ("zkexecctl: --check: grep -q good: exit status 1; nothing was pushed\n")
    assert client.get(conf)[0] == b"good"
    assert client.exists(conf).version == 0


def test_script(hand: Hand, root: str) -> None:
    """A script gets the files as $1, $2 and so on, named like their znodes, in that order."""
    said = hand.folder / "said"
    script = f'for file; do echo "${{file##*/}} $(cat "$file")"; done >{said}; echo $# $0 >>{said}'
    pairs = [f"{root}/{name}={hand.file(name.encode(), name)}" for name in ("b.conf", "a.json")]

    hand.does("push", *pairs, "--yes", "--check", script)

    assert said.read_text() == "b.conf b.conf\na.json a.json\n2 zkexecctl\n"


def test_private(hand: Hand, conf: str) -> None:
    """The copies can be read by nobody else."""
    said = hand.folder / "said"

    hand.push(conf, b"x", "--check", f'stat -c %a "$1" "${{1%/*}}" >{said}')

    assert said.read_text() == "600\n700\n"


def test_names_that_clash(hand: Hand, root: str) -> None:
    """Files of the same name are both there, each with its own content."""
    said = hand.folder / "said"
    pairs = [f"{root}/{name}/conf={hand.file(name.encode(), name)}" for name in ("one", "other")]

    hand.does("push", *pairs, "--yes", "--check", f'cat "$1" "$2" >{said}; stat -c %a "${{1%/*}}"')

    assert said.read_text() == "oneother"


def test_a_long_name(hand: Hand, root: str) -> None:
    """Of a name that no file can have the end stays, where the suffix is."""
    hand.push(f"{root}/{'é' * 300}.conf", b"x", "--check", 'case "$1" in *.conf) cat "$1";; esac')


def test_unchanged_files_are_there_too(hand: Hand, root: str) -> None:
    """The check sees all files of the push, as they may belong together."""
    one, other = f"{root}/one", f"{root}/other"
    hand.push(one, b"same")
    pairs = [f"{one}={hand.file(b'same', 'a')}", f"{other}={hand.file(b'new', 'b')}"]

    hand.does("push", *pairs, "--yes", "--check", 'test "$(cat "$1" "$2")" = samenew')


def test_what_was_checked_is_pushed(hand: Hand, client: KazooClient, conf: str) -> None:
    """Whoever changes file or copy during the check changes nothing of what is pushed."""
    source = hand.file(b"checked")

    hand.does("push", f"{conf}={source}", "--yes", "--check", f'echo x >"$1"; echo x >{source}')

    assert client.get(conf)[0] == b"checked"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("sh -c 'exit 7' --", "sh -c 'exit 7' --: exit status 7; nothing was pushed"),
        ("kill -9 $$", "kill -9 $$: ended by SIGKILL; nothing was pushed"),
        ("/no/such", "cannot run /no/such: No such file or directory; nothing was pushed"),
    ],
)
def test_a_check_that_fails(
    hand: Hand, client: KazooClient, conf: str, command: str, told: str
) -> None:
    """Whatever ends a check but success, nothing is pushed, and it is told in one line."""
    answer = hand.refused(conf, b"x", "--check", command)

    assert (answer.status, answer.err) == (1, f"zkexecctl: --check: {told}\n")
    assert client.exists(conf) is None


def test_dry_run_checks(hand: Hand, client: KazooClient, conf: str) -> None:
    """A dry run runs the check as well."""
    pair = f"{conf}={hand.file(b'x')}"

    assert hand("push", pair, "--dry-run", "--check", "false").status == 1
    assert hand("push", pair, "--dry-run", "--check", "true").status == 0
    assert client.exists(conf) is None


def test_undo_checks(hand: Hand, client: KazooClient, conf: str) -> None:
    """An undo runs the check on what it goes back to."""
    hand.push(conf, b"old")
    hand.push(conf, b"new")

    assert hand("undo", conf, "--yes", "--check", "grep -q new").status == 1
    assert hand("undo", conf, "--yes", "--check", "grep -q old").status == 0
    assert client.get(conf)[0] == b"old"


def test_streams_and_secrets(stage: Stage, conf: str) -> None:
    """The check speaks where zkexecctl speaks, gets no input, and does not get the secrets."""
    (stage.folder / "new").write_bytes(b"x")
    script = 'echo out; echo err >&2; cat; test -z "$ZKEXEC_AUTH"; echo $?'
    words = ("push", f"{conf}=new", "--yes", "--check", script)

    status, out, err = stage.run(
        *ZKEXECCTL, *words, env=stage.environment(ZKEXEC_AUTH="digest:a:b"), input=b"typed"
    )

    lines = out.decode().splitlines()
    start = lines.index("out")
    assert (status, err) == (0, b"err\n")
    assert lines[start : start + 2] == ["out", "0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_check(
    stage: Stage, client: KazooClient, conf: str, number: signal.Signals
) -> None:
    """A signal ends check and push, and leaves no copies; zkexecctl dies of it, as others do."""
    place = stage.folder / "copies"
    place.mkdir()
    (stage.folder / "new").write_bytes(b"x")
    script = f"echo $$ >{shlex.quote(str(stage.folder / 'pid'))}; exec sleep 600"
    process = stage.start(
        *ZKEXECCTL,
        "push",
        f"{conf}=new",
        "--yes",
        "--check",
        script,
        env=stage.environment(TMPDIR=str(place)),
    )
    until(lambda: (stage.folder / "pid").exists() and stage.sleepers(), "the check runs")
    assert len(list(place.iterdir())) == 1

    process.send_signal(number)

    assert process.wait(timeout=60) == -number
    stage.wait_until_empty()
    assert list(place.iterdir()) == []
    assert client.exists(conf) is None


@pytest.mark.parametrize("command", ["true", "false", "/no/such"])
def test_nothing_stays(
    hand: Hand, conf: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the check ends, its copies are gone."""
    place = hand.folder / "copies"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)

    hand("push", f"{conf}={hand.file(b'x')}", "--yes", "--check", command)

    assert list(place.iterdir()) == []
