"""The command lines of `zkexecctl web` and `exporter`: what is read, and what is a mistake."""

from pathlib import Path

import pytest

from support.web_server import TOKEN, token_file
from zkexec.cli import parser
from zkexec.ctl.arguments import read_invocation
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.serving_options import ListenAddress, ServingOptions
from zkexec.ctl.subcommands import OPTION_NAMES, SUBCOMMAND_BY_NAME


def options(*words: str) -> ServingOptions:
    """The options of a command line."""
    written = parser.read(words, OPTION_NAMES)
    found = read_invocation(SUBCOMMAND_BY_NAME[words[0]], written, {}).serving
    assert found is not None
    return found


def mistakes(*words: str) -> str:
    """The line that a wrong command line gets."""
    with pytest.raises(SubcommandError) as caught:
        options(*words)
    assert caught.value.status == 2
    return str(caught.value)


def test_each_server_has_its_port() -> None:
    """Without options both listen on this machine alone, read-only."""
    assert options("web") == ServingOptions(listen=ListenAddress("127.0.0.1", 8907))
    assert options("exporter") == ServingOptions(listen=ListenAddress("127.0.0.1", 9907))
    assert options("exporter", "--no-members").has_members is False


def test_all_options_are_read(tmp_path: Path) -> None:
    """Each option is in the value, names and addresses in one form."""
    found = options(
        *("web", "--listen=[::]:80", f"--token={token_file(tmp_path)}", "--actions"),
        *("--host=Ops.Example.org", "--host=b", "--behind-tls", "--user-header=X-User"),
        *("--trusted-proxy=10.0.0.1", "--trusted-proxy=0:0::1"),
    )

    assert found == ServingOptions(
        listen=ListenAddress("::", 80),
        has_actions=True,
        token=TOKEN,
        hosts=("ops.example.org", "b"),
        is_behind_tls=True,
        user_header="x-user",
        trusted_proxies=("10.0.0.1", "::1"),
    )
    assert TOKEN not in repr(found)
    assert found.listen.netloc == "[::]:80"


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [("127.0.0.1:0", True), ("127.9.9.9:1", True), ("localhost:1", True), ("[::1]:1", True)],
)
def test_loopback_needs_no_token(text: str, is_loopback: bool) -> None:
    """What only this machine can reach needs no token."""
    assert options("web", f"--listen={text}").listen.is_loopback is is_loopback


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "192.0.2.1:8907", "[2001:db8::1]:1"])
def test_more_than_loopback_needs_a_token(text: str, tmp_path: Path) -> None:
    """What others can reach is guarded by a token, reading as well."""
    for subcommand in ("web", "exporter"):
        assert "add --token @FILE" in mistakes(subcommand, f"--listen={text}")
        found = options(subcommand, f"--listen={text}", f"--token={token_file(tmp_path)}")
        assert found.is_reading_guarded


def test_when_reading_is_guarded(tmp_path: Path) -> None:
    """On this machine a token for actions leaves reading open, and behind TLS it does not."""
    token = f"--token={token_file(tmp_path)}"

    assert not options("web").is_reading_guarded
    assert options("web", token).is_reading_guarded
    assert not options("web", token, "--actions").is_reading_guarded
    assert options("web", token, "--actions", "--behind-tls").is_reading_guarded


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_token_is_private(tmp_path: Path, mode: int) -> None:
    """A file that others may use is refused, with the command that mends it."""
    assert "chmod 600" in mistakes("web", f"--token={token_file(tmp_path, mode=mode)}")


def test_a_stricter_mode_is_right(tmp_path: Path) -> None:
    """A file that can only be read is as good."""
    assert options("web", f"--token={token_file(tmp_path, mode=0o400)}").token == TOKEN


def test_a_credential_of_systemd_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode shows the permission of its user as that of a group; systemd keeps others out."""
    word = f"--token={token_file(tmp_path, mode=0o440)}"
    assert "chmod 600" in mistakes("web", word)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert options("web", word).token == TOKEN


@pytest.mark.parametrize("text", ["x" * 31, "", "x" * 40 + " y", "ä" * 40, "x" * 40 + "\nx"])
def test_a_token_is_long_and_printable(tmp_path: Path, text: str) -> None:
    """A short token, or one that no header can contain, is refused, and not shown."""
    line = mistakes("web", f"--token={token_file(tmp_path, text)}")

    assert line.count("\n") == 0
    assert not text or text not in line


def test_a_typed_token_is_not_shown_again() -> None:
    """A token on the command line is refused; the message does not contain it."""
    line = mistakes("web", f"--token={TOKEN}")

    assert "write @FILE" in line
    assert TOKEN not in line


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--listen=8907",), "ADDRESS:PORT"),
        (("--listen=example.org:80",), "is not an IP address"),
        (("--listen=::1:80",), "in brackets"),
        (("--listen=[127.0.0.1]:80",), "in brackets"),
        (("--listen=127.0.0.1:65536",), "ADDRESS:PORT"),
        (("--token=@/none/such",), "cannot be read"),
        (("--token=@/dev/null",), "regular file"),
        (("--actions",), "--actions needs --token @FILE"),
        (("--host=a:80",), "without a port"),
        (("--host=",), "--host"),
        (("--user-header=X-User",), "--user-header needs --trusted-proxy"),
        (("--user-header=Cookie", "--trusted-proxy=::1"), "is set by every browser"),
        (("--user-header=sec-fetch-site", "--trusted-proxy=::1"), "is set by every browser"),
        (("--trusted-proxy=proxy", "--user-header=X"), "is not an IP address"),
        (("--user-header=X User", "--trusted-proxy=::1"), "is not the name of a header"),
    ],
)
def test_mistakes_are_named(words: tuple[str, ...], text: str) -> None:
    """Each mistake is named with the option, and with what to write instead."""
    assert text in mistakes("web", *words)


def test_the_exporter_has_no_actions() -> None:
    """An option of the page is unknown to the exporter."""
    for option in ("--actions", "--behind-tls", "--user-header=X", "--trusted-proxy=::1"):
        assert "unknown option" in mistakes("exporter", option)
