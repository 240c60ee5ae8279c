"""What is typed behind `zkexecctl` becomes one frozen Call, or one line with all mistakes."""

import getpass
import os
from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.security import AclEntry
from zkexec.cli.shell_command import parse
from zkexec.operator.author import author
from zkexec.operator.call import Call, Connection
from zkexec.operator.outcome import OperatorError
from zkexec.operator.settle import settle
from zkexec.operator.verbs import BY_VERB, VERBS, VOCABULARY
from zkexec.operator.words import CONNECTION

# One command line of each verb that has nothing but what it needs.
LEAST = {
    "status": [],
    "wait": ["web"],
    "push": ["/a=file"],
    "undo": ["/a"],
    "history": ["/a"],
    "show": ["/a"],
    "diff": ["/a", "4"],
    "pause": ["web", "--reason", "why"],
    "resume": ["web"],
    "retry": ["web"],
    "restart": ["web"],
    "forget": ["web", "m1"],
    "dev": [],
}


def call(*words: str, **environment: str) -> Call:
    """What a command line says."""
    written = parser.read(words, VOCABULARY)
    written.stray_words.extend(written.command or ())
    return settle(BY_VERB[written.stray_words[0]], written, environment)


def mistakes(*words: str, **environment: str) -> str:
    """The line that a wrong command line gets."""
    with pytest.raises(OperatorError) as caught:
        call(*words, **environment)
    assert caught.value.status == 2
    return str(caught.value)


def least(verb: str, **more: object) -> Call:
    """A call with nothing but its verb and the defaults."""
    connection = Connection(hosts_text="localhost:2181", servers=(("localhost", 2181),))
    by = author({})
    return Call(verb=verb, connection=connection, by=by, **more)  # type: ignore[arg-type]


def test_every_verb_has_its_line_here() -> None:
    """The verbs that these tests are about are all that there are."""
    assert LEAST.keys() == BY_VERB.keys()


def test_arguments_reach_the_call() -> None:
    """Each argument of each verb is found in the call, and all else is as by default."""
    assert call("status") == least("status")
    assert call("status", "web") == least("status", lock="web")
    assert call("wait", "/own/web") == least("wait", lock="/own/web")
    assert call("push", "/a=b=c", "/d=-") == least("push", pairs=(("/a", "b=c"), ("/d", "-")))
    assert call("undo", "/a", "/b") == least("undo", paths=("/a", "/b"))
    assert call("history", "/a@3") == least("history", paths=("/a@3",))
    assert call("show", "/a") == least("show", paths=("/a",))
    assert call("show", "/a@b@12") == least("show", paths=("/a@b",), numbers=(12,))
    assert call("show", "/a@3/b") == least("show", paths=("/a@3/b",))
    assert call("diff", "/a", "4") == least("diff", paths=("/a",), numbers=(4,))
    assert call("diff", "/a", "4", "5") == least("diff", paths=("/a",), numbers=(4, 5))
    assert call("forget", "web", "m1") == least("forget", lock="web", member="m1")
    assert call("dev") == least("dev")


def test_options_reach_the_call() -> None:
    """Each option, in its short or long form, changes the value that it is about."""
    assert call("status", "web", "-w", "--until-done", "--json") == least(
        "status", lock="web", watch=True, until_done=True, json=True
    )
    waiting = ["-l", "web", "--wait", "--timeout", "1.5"]
    words = [*waiting, "-m", "why", "-y", "--check=test", "--dry-run"]
    assert call("undo", "/a", "--to=3", *words) == least(
        "undo",
        paths=("/a",),
        to=3,
        lock="web",
        wait=True,
        timeout_s=1.5,
        message="why",
        yes=True,
        check=parse("test"),
        dry_run=True,
    )
    assert call("wait", "web", "--timeout", "0").timeout_s == 0
    assert call("forget", "web", "m1", "--force").force
    assert call("retry", "web", "--reason", "so be it").reason == "so be it"
    assert call("retry", "web", "--by", "me").by == "me"
    dev = call("dev", "--port", "65527", "--ensemble", "9")
    assert (dev.port, dev.ensemble) == (65527, 9)


def test_the_connection_is_that_of_zkexec(tmp_path: Path) -> None:
    """Options of the connection mean what they mean to zkexec, on the command line and not."""
    secret = tmp_path / "secret"
    secret.write_text("me:secret")
    secret.chmod(0o600)
    typed = call("-c", "a,b:1/root", "--connect-timeout=5", "--auth", f"digest:@{secret}", "status")
    found = call(
        "status",
        ZKEXEC_CLUSTER="a,b:1/root",
        ZKEXEC_CONNECT_TIMEOUT="5",
        ZKEXEC_AUTH="digest:me:secret",
    )

    assert typed == found
    assert typed.connection.servers == (("a", 2181), ("b", 1))
    assert (typed.connection.hosts_text, typed.connection.chroot) == ("a,b:1/root", "/root")
    assert typed.connection.connect_timeout_s == 5
    assert [each.user for each in typed.connection.access.credentials] == ["me"]


def test_the_acl_is_that_of_a_push() -> None:
    """The ACL of what a push creates comes from --acl, or from the fleet's variable."""
    own = AclEntry("auth", "", "cdrwa")
    typed = call("push", "/a=b", "--acl=creator", ZKEXEC_AUTH="digest:a:b")

    assert typed.connection.access.acl == (own,)
    assert call("push", "/a=b", ZKEXEC_ACL="creator", ZKEXEC_AUTH="digest:a:b") == typed
    assert call("status", ZKEXEC_ACL="creator") == least("status")
    assert "add --auth or --tls-cert" in mistakes("push", "/a=b", "--acl=creator")


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_options_stand_anywhere(verb: object) -> None:
    """Options may stand before the verb, behind it, and between its arguments."""
    name = getattr(verb, "name", "")
    words = [name, *LEAST[name]]
    if name != "dev":
        expected = call(*words, "--cluster", "zk:1")
        for place in range(len(words) - 2 * ("--reason" in words) + 1):
            assert call(*words[:place], "--cluster", "zk:1", *words[place:]) == expected


def test_words_behind_two_dashes_are_arguments() -> None:
    """Behind -- nothing is an option, so that names may begin with a dash."""
    assert call("wait", "--", "-web").lock == "-web"


@pytest.mark.parametrize("name", LEAST)
def test_variables_of_verbs_do_not_exist(name: str) -> None:
    """No variable but those of the connection, the ACL and the author changes a call."""
    known = {option.variable for option in CONNECTION} | {"ZKEXEC_BY", "ZKEXEC_ACL"}
    environment = {
        f"ZKEXEC_{option.replace('-', '_').upper()}": "1" for option in VOCABULARY.by_name
    }
    strangers = {name: text for name, text in environment.items() if name not in known}

    assert call(name, *LEAST[name], **strangers) == call(name, *LEAST[name])


def test_who_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --by it is the user and the host, and who has borrowed the user by sudo."""
    monkeypatch.delenv("HOME", raising=False)
    host = os.uname().nodename

    assert author({"SUDO_USER": "alice"}) == f"alice ({getpass.getuser()})@{host}"
    assert author({"SUDO_USER": "a\x1b"}) == author({}) == f"{getpass.getuser()}@{host}"
    assert call("retry", "web", ZKEXEC_BY="bob").by == "bob"
    assert call("retry", "web", "--by", "eve", ZKEXEC_BY="bob").by == "eve"


TEXT = "is not one printable line of at most 1000 characters"
HISTORY = "is not a NAME: /zkexec/.history is for pushed contents"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("wait", "wait: expected NAME, got none"),
        ("diff", "diff: expected ZK_PATH, got none; diff: expected N, got none"),
        ("push", "push: expected ZK_PATH=FILE ..., got none"),
        ("wait a b", "wait: expected only NAME, got 'b' as well"),
        ("dev x", "dev: expected no argument, got 'x' as well"),
        ("wait a --force", "unknown option --force ("),
        ("dev -c a", "unknown option --cluster ("),
        ("wait a --frob", "unknown option --frob (zkexecctl wait --help lists all)"),
        ("wait a --timeout", "--timeout: the value is missing: write --timeout SECONDS"),
        ("status --json=1", "--json: takes no value: remove '1'"),
        (
            "wait a//b",
            "NAME: 'a//b' needs a NAME without empty, . or .. parts and without / at its end",
        ),
        ("wait .history", f"NAME: '.history' {HISTORY}"),
        ("wait .history/a", f"NAME: '.history/a' {HISTORY}"),
        ("wait /zkexec/.history", f"NAME: '/zkexec/.history' {HISTORY}"),
        ("push /a=b -l .history", f"--lock: '.history' {HISTORY}"),
        ("forget a b/c", "MEMBER: 'b/c' is not an ID: write 1 to 200 characters without /"),
        ("push /a", "ZK_PATH=FILE: '/a' is not of the form ZK_PATH=FILE"),
        ("push /a=", "ZK_PATH=FILE: '/a=' is not of the form ZK_PATH=FILE"),
        ("push a=b", "ZK_PATH=FILE: 'a=b' needs a znode path that starts with /"),
        ("push /a=b /a=c", "ZK_PATH: expected each znode once, got '/a' again"),
        ("undo /a /b /a", "ZK_PATH: expected each znode once, got '/a' again"),
        ("push /a=- /b=-", "ZK_PATH=FILE: expected the FILE - only once, got it again"),
        ("push /a=b --wait", "--wait: expected --lock NAME with it, got none"),
        ("push /a=b --timeout 1", "--timeout: expected --wait with it, got none"),
        ("push /a=b --check=", "--check: '' contains no command"),
        ("undo /a /b --to 3", "--to: expected only one ZK_PATH with it, got 2"),
        ("undo /a --to x", "--to: 'x' is not a number such as 3"),
        ("diff /a -1", "unknown option -1 (zkexecctl diff --help lists all); "),
        ("diff /a x", "N: 'x' is not a number such as 3"),
        ("show a@3", "ZK_PATH[@N]: 'a@3' needs a znode path that starts with /"),
        ("status --until-done", "--until-done: expected a NAME with it, got none"),
        ("pause a", "--reason: expected a value (TEXT), got none"),
        ("pause a --reason", "--reason: the value is missing: write --reason TEXT"),
        ("pause a --reason=", f"--reason: '' {TEXT}"),
        ("pause a --reason=\t", f"--reason: '\\t' {TEXT}"),
        ("dev --port 0", "--port: '0' is not a number from 1 to 65535"),
        ("dev --ensemble 10", "--ensemble: '10' is not a number from 1 to 9"),
        ("dev --port 65535 --ensemble 2", "--port: expected room for 2 ports up to 65535"),
    ],
)
def test_mistakes(words: str, line: str) -> None:
    """A mistake names the option or argument, what was expected and what was given."""
    told = mistakes(*words.split(" "))

    assert told.startswith(line)
    if not line.endswith("; "):
        assert told.count("; ") == line.count("; ")


def test_texts_have_an_end() -> None:
    """A text of 1000 characters is taken, a longer one is not, and it is not shown whole."""
    assert call("retry", "web", "--reason", "x" * 1000).reason == "x" * 1000
    assert len(mistakes("retry", "web", "--reason", "x" * 1001)) < 500


def test_all_mistakes_are_told_together() -> None:
    """Several mistakes are one message, each under the name that it came by."""
    line = mistakes("push", "a=b", "--wait", "--frob", "--to=3", ZKEXEC_CLUSTER=":1")

    assert line == (
        "unknown option --frob (zkexecctl push --help lists all); "
        "unknown option --to (zkexecctl push --help lists all); "
        "ZK_PATH=FILE: 'a=b' needs a znode path that starts with /; "
        "ZKEXEC_CLUSTER: ':1' has an empty host: write HOST:PORT,...; "
        "--wait: expected --lock NAME with it, got none"
    )


def test_secrets_are_not_shown() -> None:
    """A wrong credential is not shown in the message."""
    assert "secret" not in mistakes("status", "--auth", "digest:me:secret")


def test_names_have_one_shape() -> None:
    """An option takes a value with every verb or with none, so that words can be told apart."""
    for verb in VERBS:
        for option in verb.options:
            same = VOCABULARY.by_name[option.name]
            assert (option.is_flag, option.short) == (same.is_flag, same.short)
