"""The units of systemd and the files of settings: well formed, safe, and understood by zkexec."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from support.web_server import TOKEN, token_file
from zkexec.cli import parser
from zkexec.cli.parser import read
from zkexec.cli.settings import Settings, resolve_settings, unknown_variables
from zkexec.core.policy import Notify
from zkexec.core.service_state import ending_limit_s
from zkexec.core.step import Step
from zkexec.ctl.arguments import read_invocation
from zkexec.ctl.subcommands import OPTION_NAMES, SUBCOMMAND_BY_NAME
from zkexec.frozen import replace

ROOT = Path(__file__).resolve().parent.parent
SHARE = ROOT / "share"
UNITS = sorted((SHARE / "systemd" / "system").glob("*.service"))
OF_MEMBERS = [unit for unit in UNITS if "@" in unit.name]
HARDENED = [unit for unit in UNITS if unit.name != "zkexec@.service"]
MOST_EXPOSED = 20
"""Tenths of the exposure level; that of a service without any restriction is 96."""
SERVICE_PAGE = ROOT / "docs" / "service.md"
WEB_PAGE = ROOT / "docs" / "web.md"

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd is not installed"
)
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
each_of_members = pytest.mark.parametrize("unit", OF_MEMBERS, ids=lambda unit: unit.name)


def analyze(*words: str) -> tuple[int, str]:
    """Run systemd-analyze; the status, and all that it prints."""
    run = subprocess.run(
        ["systemd-analyze", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return run.returncode, run.stdout


def setting_of(unit: Path, name: str) -> str:
    """The last value of a setting; "" if there is none."""
    values = re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    return str(values[-1]) if values else ""


def variables_of(text: str) -> dict[str, str]:
    """Read a file of settings, as far as these files use what systemd understands."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            (found[name],) = shlex.split(value) or [""]
    return found


def settings_of(text: str) -> Settings:
    """What zkexec makes of such a file; a mistake or an unknown name is an error."""
    environment = variables_of(text)
    assert unknown_variables(environment) == []
    return resolve_settings(read([]), environment)


def blocks_of_page() -> tuple[str, str]:
    """The file of settings and the unit that the page shows."""
    page = SERVICE_PAGE.read_text(encoding="utf-8")
    settings, unit = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    return settings, unit


def test_there_are_units() -> None:
    """The tests below have something to test."""
    names = ["zkexec-exporter", "zkexec-hardened@", "zkexec-web", "zkexec@"]
    assert [unit.stem for unit in UNITS] == names


@needs_systemd
@each_unit
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    """Each line of each unit is understood."""
    text = unit.read_text(encoding="utf-8")
    assert re.search(r"^ExecStart=/usr/bin/zkexec", text, re.MULTILINE)
    # A program that exists on every host stands for one that may not be installed.
    text = re.sub(r"/usr/bin/zkexec(ctl)?", "/bin/true", text)
    file = tmp_path / unit.name.replace("@", "@web")
    file.write_text(text, encoding="utf-8")
    _, printed = analyze("verify", "--man=no", str(file))
    assert [line for line in printed.splitlines() if unit.stem.rstrip("@") in line] == []
    file.write_text(f"{text}\n[Service]\nKillMood=mixed\n", encoding="utf-8")
    assert "KillMood" in analyze("verify", "--man=no", str(file))[1]


@needs_systemd
@pytest.mark.parametrize("unit", HARDENED, ids=lambda unit: unit.name)
def test_a_hardened_unit_is_exposed_to_little(unit: Path, tmp_path: Path) -> None:
    """systemd's own measure of what a service can do is low, which it is not without hardening."""
    words = ("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager")
    status, printed = analyze(*words, str(unit))
    assert status == 0, printed
    bare = tmp_path / unit.name
    bare.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    assert analyze(*words, str(bare))[0] == 1


@each_of_members
def test_a_unit_keeps_what_the_documentation_promises(unit: Path) -> None:
    """It waits until the command is healthy, is never given up, and keeps its folders apart."""
    promised = {
        "Type": "notify",
        "EnvironmentFile": "/etc/zkexec/%i.env",
        "ExecStart": "/usr/bin/zkexec",
        "StateDirectory": "zkexec/%i",
        "RuntimeDirectory": "zkexec/%i",
        "StartLimitIntervalSec": "0",
        "KillMode": "mixed",
        "Restart": "always",
    }
    assert {name: setting_of(unit, name) for name in promised} == promised
    assert "Environment=ZKEXEC_NOTIFY=zkexec\n" in unit.read_text(encoding="utf-8")


@each_of_members
def test_the_time_of_a_stop_is_enough_for_the_defaults(unit: Path) -> None:
    """systemd kills nothing that zkexec would have ended by itself."""
    policy = settings_of("ZKEXEC_EXEC=true\nZKEXEC_ALERT=true\nZKEXEC_PRE_STOP=true\n").policy
    assert policy.step_limits[Step.PRE_STOP] == 30
    assert ending_limit_s(policy) < int(setting_of(unit, "TimeoutStopSec"))
    longer = replace(policy, kill_timeout_s=120.0)
    assert ending_limit_s(longer) > int(setting_of(unit, "TimeoutStopSec"))


def test_the_example_of_settings_is_valid() -> None:
    """zkexec understands the file that is there to begin with."""
    settings = settings_of((SHARE / "zkexec" / "example.env").read_text(encoding="utf-8"))
    assert settings.warnings == ()
    assert settings.lock == "web"
    assert settings.command.argv == (b"nginx", b"-g", b"daemon off;")


def test_the_settings_of_the_page_are_valid() -> None:
    """The file that the page shows can be copied; the options that the unit sets are ones, too."""
    block, _ = blocks_of_page()
    settings = settings_of(f"{block}ZKEXEC_NOTIFY=zkexec\nZKEXEC_MEMBER_ID=web1-web\n")
    assert settings.policy.notify is Notify.ZKEXEC
    assert (settings.lock, settings.member_id) == ("web", "web1-web")


@needs_systemd
def test_the_unit_of_the_page_is_well_formed(tmp_path: Path) -> None:
    """systemd finds nothing wrong with it."""
    _, unit = blocks_of_page()
    # Programs that exist on every host stand for those of the page.
    unit = re.sub(r"/usr/local/bin/\w+", "/bin/true", unit)
    assert "ExecStart=/bin/true" in unit
    file = tmp_path / "app.service"
    file.write_text(unit, encoding="utf-8")
    _, printed = analyze("verify", "--man=no", str(file))
    assert [line for line in printed.splitlines() if file.name in line] == []


@pytest.mark.parametrize("name", ["web", "exporter"])
def test_a_server_is_configured_without_a_change_of_its_unit(name: str) -> None:
    """Options come from the file of settings, and the token from a file that root alone reads."""
    unit = SHARE / "systemd" / "system" / f"zkexec-{name}.service"
    promised = {
        "EnvironmentFile": "-/etc/zkexec/zkexecctl.env",
        "LoadCredential": f"token:/etc/zkexec/{name}.token",
        "ExecStart": f"/usr/bin/zkexecctl {name} ${name.upper()}_OPTIONS",
        "DynamicUser": "yes",
    }
    assert {setting: setting_of(unit, setting) for setting in promised} == promised
    assert setting_of(unit, "SetCredential") == "token:none"
    text = unit.read_text(encoding="utf-8")
    assert text.index(f"Environment={name.upper()}_OPTIONS=\n") < text.index("EnvironmentFile=")


def test_the_settings_of_the_page_of_the_server_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that the page shows can be copied; its token is the one that systemd hands over."""
    [block] = re.findall(r"```ini\n(.*?)```", WEB_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    given = variables_of(block)
    words = shlex.split(given["WEB_OPTIONS"])
    at = words.index("--token") + 1
    assert words[at] == "@/run/credentials/zkexec-web.service/token"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    words[at] = token_file(tmp_path, mode=0o440)
    written = parser.read(["web", *words], OPTION_NAMES)
    found = read_invocation(SUBCOMMAND_BY_NAME["web"], written, given)
    assert found.connection.hosts_text == given["ZKEXEC_CLUSTER"]
    assert found.serving is not None
    assert (found.serving.token, found.serving.has_actions) == (TOKEN, True)
