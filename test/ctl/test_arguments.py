"""A command line of zkexecctl becomes one frozen Invocation, or one line with all mistakes."""

import getpass
import os
from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.parser import OptionNames
from zkexec.cli.security import AclEntry
from zkexec.cli.shell_command import parse
from zkexec.core.policy import MaxUnavailable
from zkexec.ctl.arguments import ClusterOptions, Invocation, author, read_invocation
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.subcommand import CONNECTION
from zkexec.ctl.subcommands import OPTION_NAMES, SUBCOMMAND_BY_NAME, SUBCOMMANDS

# One command line of each subcommand that has nothing but what it needs.
LEAST = {
    "status": [],
    "wait": ["web"],
    "push": ["/a=file"],
    "pull": ["/p/=no-such-folder/"],
    "undo": ["/a"],
    "history": ["/a"],
    "show": ["/a"],
    "diff": ["/a", "4"],
    "pause": ["web", "--reason", "why"],
    "resume": ["web"],
    "approve": ["web"],
    "retry": ["web"],
    "restart": ["web"],
    "forget": ["web", "m1"],
    "delete": ["web"],
    "completion": ["zsh"],
    "dev": [],
    "web": [],
    "exporter": [],
}


def invocation(*words: str, **environment: str) -> Invocation:
    """The invocation of a command line."""
    written = parser.read(words, OPTION_NAMES)
    written.stray_words.extend(written.command or ())
    return read_invocation(SUBCOMMAND_BY_NAME[written.stray_words[0]], written, environment)


def mistakes(*words: str, **environment: str) -> str:
    """The line that a wrong command line gets."""
    with pytest.raises(SubcommandError) as caught:
        invocation(*words, **environment)
    assert caught.value.status == 2
    return str(caught.value)


def least(subcommand: str, **more: object) -> Invocation:
    """An invocation with nothing but its subcommand and the defaults."""
    connection = ClusterOptions(hosts_text="localhost:2181", servers=(("localhost", 2181),))
    by = author({})
    return Invocation(subcommand=subcommand, connection=connection, by=by, **more)  # type: ignore[arg-type]


def test_every_subcommand_has_its_line_here() -> None:
    """These tests cover all subcommands."""
    assert LEAST.keys() == SUBCOMMAND_BY_NAME.keys()


def test_connection_options_are_repeated_as_they_were_typed(tmp_path: Path) -> None:
    """Options of the command line are kept for commands that are printed; variables are not."""
    secret = tmp_path / "secret"
    secret.write_text("ann:secret")
    secret.chmod(0o600)
    auth = f"digest:@{secret}"

    typed = invocation("wait", "web", "-ca:1", "--auth", auth, "--cluster=b:2", "--auth", auth)

    words = ("--cluster", "b:2", "--auth", auth, "--auth", auth)
    assert typed.connection.words == words
    assert invocation("wait", "web", ZKEXEC_CLUSTER="a:1").connection.words == ()
    assert invocation("web", "--cluster=a:1").connection.words == ()


def test_arguments_are_read() -> None:
    """Each argument of a subcommand is in the invocation, and the rest is at its default."""
    assert invocation("status") == least("status")
    assert invocation("status", "web") == least("status", lock="web")
    assert invocation("wait", "/own/web") == least("wait", lock="/own/web")
    assert invocation("push", "/a=b=c", "/d=-") == least("push", pairs=(("/a", "b=c"), ("/d", "-")))
    assert invocation("undo", "/a", "/b") == least("undo", paths=("/a", "/b"))
    assert invocation("history", "/a@3") == least("history", paths=("/a@3",))
    assert invocation("show", "/a") == least("show", paths=("/a",))
    assert invocation("show", "/a@b@12") == least("show", paths=("/a@b",), revisions=(12,))
    assert invocation("show", "/a@3/b") == least("show", paths=("/a@3/b",))
    assert invocation("diff", "/a", "4") == least("diff", paths=("/a",), revisions=(4,))
    assert invocation("diff", "/a", "4", "5") == least("diff", paths=("/a",), revisions=(4, 5))
    trees = (("/a/b/", "c/"), ("/d", "e"))
    assert invocation("push", "/a/b/=c/", "/d=e") == least("push", pairs=trees)
    assert invocation("undo", "/a/") == least("undo", paths=("/a/",))
    assert invocation("show", "/a/@3") == least("show", paths=("/a/",), revisions=(3,))
    assert invocation("history", "/") == least("history", paths=("/",))
    new = (("/a/", f"{os.getcwd()}/no-such-folder"),)
    assert invocation("pull", "/a/=no-such-folder/") == least("pull", pairs=new)
    assert invocation("forget", "web", "m1") == least("forget", lock="web", member="m1")
    assert invocation("delete", "web", "-m", "old") == least("delete", lock="web", message="old")
    assert invocation("delete", "/own/web") == least("delete", paths=("/own/web",))
    assert invocation("delete", "/a/", "--force") == least("delete", paths=("/a/",), force=True)
    assert invocation("delete", "/a", "--group") == least("delete", paths=("/a",), group=True)
    assert invocation("dev") == least("dev")


def test_options_are_read() -> None:
    """Each option, in its short or long form, changes its value."""
    assert invocation("status", "web", "-w", "--until-done", "--json") == least(
        "status", lock="web", watch=True, until_done=True, json=True
    )
    assert invocation("status", "web", "--all") == least("status", lock="web", show_all=True)
    waiting = ["-l", "web", "--wait", "--timeout", "1.5"]
    words = [*waiting, "-m", "why", "-y", "--check=test", "--dry-run"]
    assert invocation("undo", "/a", "--to=3", *words) == least(
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
    assert invocation("wait", "web", "--timeout", "0").timeout_s == 0
    assert invocation("forget", "web", "m1", "--force").force
    assert invocation("retry", "web", "--reason", "so be it").reason == "so be it"
    assert invocation("retry", "web", "--by", "me").by == "me"
    dev = invocation("dev", "--port", "65527", "--ensemble", "9")
    assert (dev.port, dev.ensemble) == (65527, 9)


def test_a_push_can_be_held_and_undone() -> None:
    """A hold is a number or a percentage, 1 if it is left out, and no word of its own."""
    group = ("push", "/a=b", "--lock=web")
    undone = least("undo", paths=("/a",), lock="web", wait=True, undo_on_failure=True)

    assert invocation(*group).hold is None
    assert invocation(*group, "--hold").hold == MaxUnavailable(1)
    assert invocation("push", "--hold", "/a=b", "-l", "web").hold == MaxUnavailable(1)
    assert invocation(*group, "--hold=5").hold == MaxUnavailable(5)
    assert invocation(*group, "--hold", "--hold=10%").hold == MaxUnavailable(10, percent=True)
    assert invocation("undo", "/a", "--lock=web", "--hold=2").hold == MaxUnavailable(2)
    assert invocation("undo", "/a", "-l", "web", "--undo-on-failure", "--wait") == undone


def test_a_value_that_is_attached_cannot_be_a_word() -> None:
    """If no value is implied either, the value is missing, and the next word is an argument."""
    written = parser.read(["--hold", "5"], OptionNames.of(SUBCOMMAND_BY_NAME["approve"].options))

    assert [option.name for option in written.missing_values] == ["hold"]
    assert written.stray_words == ["5"]


def test_an_approval_can_raise_a_hold() -> None:
    """An approval is of a whole group, or up to a number of its members."""
    raised = least("approve", lock="web", hold=MaxUnavailable(50, percent=True), reason="why")

    assert invocation("approve", "web") == least("approve", lock="web")
    assert invocation("approve", "web", "--hold=50%", "--reason=why") == raised


def test_the_connection_is_that_of_zkexec(tmp_path: Path) -> None:
    """Options and variables of the connection mean the same as for zkexec."""
    secret = tmp_path / "secret"
    secret.write_text("me:secret")
    secret.chmod(0o600)
    typed = invocation(
        "-c", "a,b:1/root", "--connect-timeout=5", "--auth", f"digest:@{secret}", "status"
    )
    found = invocation(
        "status",
        ZKEXEC_CLUSTER="a,b:1/root",
        ZKEXEC_CONNECT_TIMEOUT="5",
        ZKEXEC_AUTH=f"digest:@{secret}",
    )

    assert typed == found
    assert typed.connection.servers == (("a", 2181), ("b", 1))
    assert (typed.connection.hosts_text, typed.connection.chroot) == ("a,b:1/root", "/root")
    assert typed.connection.connect_timeout_s == 5
    assert [each.user for each in typed.connection.access.credentials] == ["me"]


def test_the_acl_is_that_of_a_push() -> None:
    """The ACL of what a push creates comes from --acl, or from its variable."""
    own = AclEntry("auth", "", "cdrwa")
    typed = invocation("push", "/a=b", "--acl=creator", ZKEXEC_AUTH="digest:a:b")

    assert typed.connection.access.acl == (own,)
    assert invocation("push", "/a=b", ZKEXEC_ACL="creator", ZKEXEC_AUTH="digest:a:b") == typed
    assert invocation("status", ZKEXEC_ACL="creator") == least("status")
    assert "add --auth or --tls-cert" in mistakes("push", "/a=b", "--acl=creator")


@pytest.mark.parametrize("subcommand", SUBCOMMANDS, ids=lambda subcommand: subcommand.name)
def test_options_can_be_anywhere(subcommand: object) -> None:
    """Options can be before the subcommand, behind it, and between its arguments."""
    name = getattr(subcommand, "name", "")
    words = [name, *LEAST[name]]
    if getattr(subcommand, "needs_cluster", True):
        expected = invocation(*words, "--cluster", "zk:1")
        for position in range(len(words) - 2 * ("--reason" in words) + 1):
            assert invocation(*words[:position], "--cluster", "zk:1", *words[position:]) == expected


def test_words_behind_two_dashes_are_arguments() -> None:
    """Behind -- nothing is an option, so that names can begin with a dash."""
    assert invocation("wait", "--", "-web").lock == "-web"


@pytest.mark.parametrize("name", LEAST)
def test_subcommands_have_no_variables(name: str) -> None:
    """Only the variables of the connection, the ACL and the author change an invocation."""
    known = {option.variable for option in CONNECTION} | {"ZKEXEC_BY", "ZKEXEC_ACL"}
    environment = {
        f"ZKEXEC_{option.replace('-', '_').upper()}": "1" for option in OPTION_NAMES.by_name
    }
    others = {name: text for name, text in environment.items() if name not in known}

    assert invocation(name, *LEAST[name], **others) == invocation(name, *LEAST[name])


def test_who_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --by it is the user and the host, under sudo also the user who called it."""
    monkeypatch.delenv("HOME", raising=False)
    host = os.uname().nodename

    assert author({"SUDO_USER": "alice"}) == f"alice ({getpass.getuser()})@{host}"
    assert author({"SUDO_USER": "a\x1b"}) == author({}) == f"{getpass.getuser()}@{host}"
    assert invocation("retry", "web", ZKEXEC_BY="bob").by == "bob"
    assert invocation("retry", "web", "--by", "eve", ZKEXEC_BY="bob").by == "eve"


NEEDS = "needs --lock NAME and --wait, to notice the failure"
ONE_SLASH = "has a slash on one side only: write /a/=b/ for a tree, /a=b for a file"
TEXT = "is not one printable line of at most 1000 characters"
OLD_TREE = (
    "names a revision, and pull writes only the present tree: write /a/b/=x/, perhaps after "
    "zkexecctl undo /a/b/ --to 2 (zkexecctl show /a/b/@2 lists its files)"
)
HISTORY = "is not a NAME: /zkexec/.history is for pushed contents"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("wait", "wait needs NAME"),
        ("diff", "diff needs ZK_PATH; diff needs N"),
        ("push", "push needs ZK_PATH=FILE ..."),
        ("wait a b", "unexpected argument 'b': usage is zkexecctl wait NAME"),
        ("dev x", "unexpected argument 'x': usage is zkexecctl dev"),
        ("wait a --force", "unknown option --force (zkexecctl wait --help lists all)"),
        ("dev -c a", "unknown option --cluster (zkexecctl dev --help lists all)"),
        ("delete -l g", "--lock: the group is an argument of delete: write zkexecctl delete g"),
        ("status -l g", "--lock: the group is an argument of status: write zkexecctl status g"),
        (
            "forget m1 -l g",
            "--lock: the group is an argument of forget: write zkexecctl forget g m",
        ),
        (
            "undo g",
            "ZK_PATH: 'g' needs a znode path that starts with /: write /g (zkexecctl status",
        ),
        ("push --lokc web /a=b", "unknown option --lokc (did you mean --lock?)"),
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
        ("push /a=b /a=c", "ZK_PATH: '/a' is given twice"),
        ("undo /a /b /a", "ZK_PATH: '/a' is given twice"),
        ("push /a=- /b=-", "ZK_PATH=FILE: only one FILE can be - (stdin)"),
        (
            "push /a/=b",
            f"ZK_PATH=FILE: '/a/=b' {ONE_SLASH}",
        ),
        (
            "push /a=b/",
            f"ZK_PATH=FILE: '/a=b/' {ONE_SLASH}",
        ),
        ("push /=b/", "ZK_PATH=FILE: '/=b/' is the tree of all znodes: write the ZK_PATH of a"),
        ("push //=b/", "ZK_PATH=FILE: '//=b/' is the tree of all znodes: write the ZK_PATH of a"),
        ("show //", "ZK_PATH[@N]: '//' is the tree of all znodes: write the ZK_PATH of a tree be"),
        ("show //@1", "ZK_PATH[@N]: '//@1' is the tree of all znodes: write the ZK_PATH of a tre"),
        ("undo //", "ZK_PATH: '//' is the tree of all znodes: write the ZK_PATH of a tree below /"),
        ("push /zkexec/=b/", "ZK_PATH=FILE: '/zkexec/=b/' contains znodes of zkexec itself: "),
        ("push /zkexec/web/state=b", "ZK_PATH=FILE: '/zkexec/web/state=b' is a znode of zkexec it"),
        ("push /zkexec=b", "ZK_PATH=FILE: '/zkexec=b' is a znode of zkexec itself: write a ZK_PAT"),
        ("undo /zkexec/.history/", "ZK_PATH: '/zkexec/.history/' contains znodes of zkexec itsel"),
        ("history /zkexec/web/", "ZK_PATH: '/zkexec/web/' contains znodes of zkexec itself: write"),
        ("push /a/=b/ -l /a/web", "ZK_PATH: '/a/' contains znodes of the group /a/web: write the"),
        ("undo /a/ -l /a", "ZK_PATH: '/a/' contains znodes of the group /a: write the ZK_PATH of"),
        ("push /a/=b/ /a/c=d", "ZK_PATH: '/a/c' is part of '/a/': write them one after the other"),
        ("push /a=b /a/=d/", "ZK_PATH: '/a' is part of '/a/': write them one after the other"),
        ("undo /a/ /a/b/", "ZK_PATH: '/a/b/' is part of '/a/': write them one after the other"),
        ("push /a//=b/", "ZK_PATH=FILE: '/a//=b/' needs a znode path without empty, . or .. parts"),
        ("pull /a=b", "ZK_PATH/=DIR/: '/a=b' needs both slashes: write /a/=b/"),
        ("pull /a/=b", "ZK_PATH/=DIR/: '/a/=b' needs both slashes: write /a/=b/"),
        ("pull /a/", "ZK_PATH/=DIR/: '/a/' is not of the form ZK_PATH/=DIR/"),
        ("pull /=b/", "ZK_PATH/=DIR/: '/=b/' is the tree of all znodes: write the ZK_PATH of a"),
        ("pull //=b/", "ZK_PATH/=DIR/: '//=b/' is the tree of all znodes: write the ZK_PATH of a"),
        ("pull /a/b/@2=x/", f"ZK_PATH/=DIR/: '/a/b/@2=x/' {OLD_TREE}"),
        ("pull /a/b@2=x/", f"ZK_PATH/=DIR/: '/a/b@2=x/' {OLD_TREE}"),
        ("pull /@2=x/", "ZK_PATH/=DIR/: '/@2=x/' needs both slashes: write /@2/=x/"),
        ("pull /a/=/etc/", "ZK_PATH/=DIR/: '/a/=/etc/' names a folder that is not empty: write"),
        ("push /a=b --wait", "--wait needs --lock NAME, the group to wait for"),
        ("push /a=b --timeout 1", "--timeout needs --wait"),
        ("push /a=b --hold", "--hold needs --lock NAME, the group to hold"),
        (
            "push /a=b -l web --hold=0",
            "--hold: '0' is not a number of members such as 2, or a perc",
        ),
        ("push /a=b -l web --hold=101%", "--hold: '101%' is not a percentage from 1% to 100%"),
        ("push /a=b -l web --hold=9%/zone", "--hold: '9%/zone' is not a number of members such as"),
        (
            "push /a=b -l web --hold 5%",
            "--hold: the value has to be attached: write --hold=5%; ZK_PATH=FILE: '5%' is not of ",
        ),
        (
            "undo /a -l web --hold 5",
            "--hold: the value has to be attached: write --hold=5; ZK_PATH: '5' needs a znode path",
        ),
        ("push /a=b --hold -l .history", f"--lock: '.history' {HISTORY}"),
        ("push /a=b -l web --undo-on-failure", f"--undo-on-failure {NEEDS}"),
        ("undo /a --undo-on-failure", f"--undo-on-failure {NEEDS}"),
        ("approve", "approve needs NAME"),
        ("approve web --hold", "--hold: the value is missing: write --hold=N[%]"),
        (
            "approve web --hold 5",
            "--hold: the value is missing: write --hold=N[%]; unexpected argument '5': usage is ",
        ),
        ("approve 5 --hold", "--hold: the value is missing: write --hold=N[%]"),
        ("approve web --hold=0", "--hold: '0' is not a number of members such as 2, or a percenta"),
        ("pause web --reason=x --hold", "unknown option --hold (zkexecctl pause --help lists"),
        ("push /a=b --check=", "--check: '' contains no command"),
        ("undo /a /b --to 3", "--to takes one ZK_PATH, not 2"),
        ("undo /a --to x", "--to: 'x' is not a revision such as 3"),
        ("diff /a -1", "unknown option -1 (zkexecctl diff --help lists all); "),
        ("diff /a x", "N: 'x' is not a revision such as 3"),
        ("show a@3", "ZK_PATH[@N]: 'a@3' needs a znode path that starts with /"),
        ("status --until-done", "--until-done needs the NAME of a group"),
        ("status --all", "--all needs the NAME of a group"),
        ("pause a", "pause needs --reason TEXT"),
        ("pause a --reason", "--reason: the value is missing: write --reason TEXT"),
        ("pause a --reason=", f"--reason: '' {TEXT}"),
        ("pause a --reason=\t", f"--reason: '\\t' {TEXT}"),
        ("dev --port 0", "--port: '0' is not a number from 1 to 65535"),
        ("dev --ensemble 10", "--ensemble: '10' is not a number from 1 to 9"),
        (
            "dev --port 65535 --ensemble 2",
            "--port: 2 servers need ports 65535 and up, but 65535 is the last port",
        ),
    ],
)
def test_mistakes(words: str, line: str) -> None:
    """A mistake names the option or argument, what is wrong and what to write instead."""
    found = mistakes(*words.split(" "))

    assert found.startswith(line)
    if not line.endswith("; "):
        assert found.count("; ") == line.count("; ")


def test_texts_have_a_limit() -> None:
    """A text of 1000 characters is accepted, a longer one is refused, and it is not shown whole."""
    assert invocation("retry", "web", "--reason", "x" * 1000).reason == "x" * 1000
    assert len(mistakes("retry", "web", "--reason", "x" * 1001)) < 500


def test_all_mistakes_are_reported_together() -> None:
    """Several mistakes are one message, each under the name of its option or argument."""
    line = mistakes("push", "a=b", "--wait", "--frob", "--to=3", ZKEXEC_CLUSTER=":1")

    assert line == (
        "unknown option --frob (zkexecctl push --help lists all); "
        "unknown option --to (zkexecctl push --help lists all); "
        "ZK_PATH=FILE: 'a=b' needs a znode path that starts with /: write /a=b; "
        "ZKEXEC_CLUSTER: ':1' has an empty host: write HOST:PORT,...; "
        "--wait needs --lock NAME, the group to wait for"
    )


def test_secrets_are_not_shown() -> None:
    """A wrong credential is not shown in the message."""
    assert "secret" not in mistakes("status", "--auth", "digest:me:secret")


def test_options_have_one_form() -> None:
    """An option takes a value with every subcommand or with none, so that words can be parsed."""
    for subcommand in SUBCOMMANDS:
        for option in subcommand.options:
            same = OPTION_NAMES.by_name[option.name]
            assert (option.takes_word, option.is_flag) == (same.takes_word, same.is_flag)
            assert option.short == same.short
