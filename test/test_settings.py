"""The settings: one frozen value, or one line with all mistakes.

Nothing here starts a process; tables contain the values that an option accepts and refuses.
"""

import os
import signal
from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.converters import action_rule
from zkexec.cli.options import OPTIONS, Option
from zkexec.cli.security import Access
from zkexec.cli.settings import LogFormat, Settings, UsageError, Verbosity, resolve_settings
from zkexec.cli.shell_command import parse
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import MaxFailed, MaxUnavailable, OnFailure, Policy, StartPolicy
from zkexec.frozen import replace


def settings(*words: str, **environment: str) -> Settings:
    """What zkexec would do for a command line, to which a command is added, and variables."""
    return resolve_settings(parser.read([*words, "--exec", "run me"]), environment)


def mistakes(*words: str, **environment: str) -> str:
    """The line that a wrong command line, to which a command is added, gets."""
    with pytest.raises(UsageError) as caught:
        settings(*words, **environment)
    return str(caught.value)


def test_the_defaults_are_those_of_the_contract() -> None:
    """With nothing but a command, everything is as the contract says in brackets."""
    assert settings() == Settings(
        command=settings().command,
        hosts_text="localhost:2181",
        servers=(("localhost", 2181),),
        chroot="",
        policy=Policy(on_change=(action_rule("restart"),), rearm_s=60),
        health=None,
        alert=None,
        verbosity=Verbosity.NORMAL,
        log_format=LogFormat.TEXT,
        subreaper=False,
        lock="",
        member_id="",
        access=Access(),
        check_targets=(),
        template_timeout_s=10,
        state_dir="",
        pristine=False,
        keep_stderr=False,
        metrics_file="",
    )


def test_every_option_reaches_the_settings(tmp_path: Path) -> None:
    """Each option changes its value; those of changes and of inputs have their own files."""
    words = f"""
        -c one:1,two:2/root -m {tmp_path}/a=/a --mirror={tmp_path}/b=/b -H check -d 1 -i2
        --health-timeout 3 --subreaper -a alarm --alert-interval 4 --alert-recovery --start=cached
        --allow-empty --connect-timeout 5 --session-timeout 6 --settle .5 --kill-signal USR1
        --kill-timeout 7.5 -v --log-format json --keep-stderr
        -l group/a --max-unavailable 25% --min-healthy 8 --on-failure revert --member-id me
    """.split()
    given = settings(*words)

    assert given.policy == Policy(
        inputs=InputOptions(mirrors=(Mirror(f"{tmp_path}/a", "/a"), Mirror(f"{tmp_path}/b", "/b"))),
        start=StartPolicy.CACHED,
        allow_empty=True,
        connect_timeout_s=5,
        session_timeout_s=6,
        settle_s=0.5,
        kill_signal=signal.SIGUSR1,
        kill_timeout_s=7.5,
        checks_health=True,
        health_delay_s=1,
        health_interval_s=2,
        health_timeout_s=3,
        raises_alerts=True,
        alert_interval_s=4,
        alert_recovery=True,
        in_group=True,
        restart_path="/zkexec/group/a/restart",
        max_unavailable=MaxUnavailable(25, percent=True),
        min_healthy_s=8,
        on_failure=OnFailure.REVERT,
        on_change=(action_rule("restart"),),
        rearm_s=60,
    )
    assert (given.lock, given.member_id, given.hosts_text) == ("group/a", "me", "one:1,two:2/root")
    assert (given.servers, given.chroot) == ((("one", 1), ("two", 2)), "/root")
    assert (given.health, given.alert) == (parse("check"), parse("alarm"))
    assert (given.verbosity, given.log_format) == (Verbosity.VERBOSE, LogFormat.JSON)
    assert (given.subreaper, given.keep_stderr, given.command.argv[0]) == (True, True, b"run")


def test_the_options_of_wide_rollouts_reach_the_settings() -> None:
    """What limits a rollout of many members is part of the policy."""
    words = ["-l", "a", "--max-unavailable", "25%/zone", "--max-failed", "3%", "--zone", "rack1"]

    assert settings(*words).policy == replace(
        settings("-l", "a").policy,
        max_unavailable=MaxUnavailable(25, percent=True, per_zone=True),
        max_failed=MaxFailed(3, percent=True),
        zone="rack1",
    )


MIRRORED = ("--mirror=x=/a",)
RELOADING = (*MIRRORED, "--on-change=reload")
NEEDED = {
    "check": MIRRORED,
    "check-timeout": (*MIRRORED, "--check=x"),
    "on-change": MIRRORED,
    "reload-signal": (*RELOADING, "--check=x"),
    "reload": RELOADING,
    "reload-timeout": (*RELOADING, "--reload=x"),
    "pre-stop-timeout": ("--pre-stop=x",),
    "post-healthy-timeout": ("--post-healthy=x",),
    "health-interval": ("--health=x",),
    "health-timeout": ("--health=x",),
    "alert-interval": ("--alert=x",),
}
"""What an option needs beside it, to have an effect and to be no mistake."""


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_default_can_be_typed(option: Option) -> None:
    """What the help shows in brackets is a value that the option accepts, and changes nothing."""
    if option.default:
        words = ["--lock", "x", *NEEDED.get(option.name, ())]
        plain = settings(*words)
        assert settings(*words, f"--{option.name}", option.default) == plain
        assert settings(*words, **{option.variable: option.default}) == plain


SECONDS = "is not a number of seconds, such as 30 or 0.5"
MIRROR = "is not of the form LOCAL_PATH=ZK_PATH"
A_DIRECTORY = "names a directory: write the LOCAL_PATH of a file, or DIR/=ZK_PATH/ for a tree"
ONE_SLASH = (
    "has a slash at one end only: write DIR/=ZK_PATH/ for a tree, or LOCAL_PATH=ZK_PATH for a file"
)
ZNODE = "needs a znode path"
IPV6 = "IPv6 address"
COMMANDS = [option.name for option in OPTIONS if option.metavar == "COMMAND"]
TIMES = [option.name for option in OPTIONS if option.metavar in ("SECONDS", "INTERVAL")]

REFUSED = [
    *((name, text, SECONDS) for name in TIMES for text in ("soon", "-1", "nan", "")),
    *(
        ("settle", text, SECONDS)
        for text in ("inf", "1e3", "+1", "1s", " 1", "1_0", "1.", ".", "²")
    ),
    ("settle", "9" * 400, "is not between 0 and 1000000000 seconds"),
    ("connect-timeout", "0", "is not between 0.1 and"),
    ("health-timeout", "0", "is not between 0.1 and"),
    *(
        (f"{name}-timeout", "0", "is not between 0.1 and")
        for name in ("check", "pre-stop", "reload", "post-healthy")
    ),
    *(
        (
            "reload-signal",
            text,
            "reloads no program: write a signal that it can handle, such as HUP",
        )
        for text in ("KILL", "SIGKILL", "9", "STOP", "sigstop", "19")
    ),
    ("reload-signal", "HUPP", "is not a signal: write a name or a number, such as TERM or 15"),
    ("session-timeout", "0.5", "is not between 1 and 3600 seconds"),
    ("session-timeout", "3601", "is not between 1 and 3600 seconds"),
    *(
        ("kill-signal", text, "is not a signal: write a name or a number, such as TERM or 15")
        for text in ("", "FOO", "SIG", "SIGSIGTERM", "0", "65", "-9", "015", "SIG_DFL")
    ),
    *(("cluster", text, "has an empty host") for text in ("", ",", "a,,b", ":1", "a,")),
    *(
        ("cluster", text, "has an invalid port: write one from 1 to 65535")
        for text in ("a:", "a:0", "a:65536", "a:x", "a:-1", "a:٣", "a:2181x", "[::1]:0")
    ),
    *(("cluster", text, f"has an {IPV6} without brackets") for text in ("::1", "a:1:2")),
    *(
        ("cluster", text, f"has an invalid {IPV6}: write one such as [::1]:2181")
        for text in ("[::1", "[]", "[a]:1", "[::1]2181", "[fe80::1%]", "[::é]")
    ),
    *(("cluster", text, "has an invalid host name") for text in ("a b", "a@b:1", "a;b", "a\x01")),
    (
        "cluster",
        "http://a:2181",
        "is a URL: write HOST:PORT,.../CHROOT, without http:// or the like",
    ),
    ("cluster", "a:1/b,c:2/b", "has hosts behind the chroot: write it once, at the end"),
    *(("cluster", f"a{text}", ZNODE) for text in ("/b/", "//b", "/b//c", "/../b", "/b\x01")),
    *(("mirror", text, MIRROR) for text in ("", "a", "=/a", "a\0b=/a")),
    *(
        ("mirror", f"f={text}", f"{ZNODE} that starts with /")
        for text in ("", "a", "a/b", "./a", "=/a")
    ),
    *(
        ("mirror", f"f={text}", f"{ZNODE} without empty, . or .. parts")
        for text in ("//a", "/a//b", "/.", "/a/..", "/./a", "/a/../b")
    ),
    ("mirror", "f=/", "names / itself: write a ZK_PATH below it"),
    *(("mirror", text, ONE_SLASH) for text in ("f=/a/", "f=//", "f/=/a", "/=/a", "f/.=/a/")),
    *(
        ("mirror", f"f=/a{text}", f"{ZNODE} of printable UTF-8")
        for text in ("\n", "\0", "\x7f", "\x85", "\udcff", "\ue000", "\ufff0")
    ),
    *(("mirror", f"{text}=/a", A_DIRECTORY) for text in (".", "..", "new/.", "a/..", "/usr")),
    ("mirror", "/dev/null=/a", "names a special file"),
    ("start", "stale", "is unknown: write fresh, wait or cached"),
    ("log-format", "xml", "is unknown: write text or json"),
    *((name, "", "contains no command") for name in COMMANDS),
    *((name, " \t\n", "contains no command") for name in COMMANDS),
    *((name, "a 'b", "has a ' quote that is not closed") for name in COMMANDS),
    *(
        (
            "on-change",
            text,
            "has an unknown action: write [PATH=]ACTION with restart, reload or none",
        )
        for text in ("", "relod", "RELOAD", "x=", "x=relod", "reload=x", "reload ", "=")
    ),
    ("on-change", "=reload", "has an empty PATH: write reload, or PATH=reload"),
    *(("lock", text, "is not a NAME") for text in ("", "/")),
    ("lock", "/zkexec", "is not a NAME: all groups are below /zkexec"),
    *(
        ("lock", text, "needs a NAME without empty, . or .. parts and without / at its end")
        for text in ("a//b", "//a", "a/", "/a/", ".", "..", "a/../b", "/./a")
    ),
    *(
        ("lock", text, "is not a NAME: /zkexec/.history is for pushed contents")
        for text in (".history", ".history/a", "/zkexec/.history", "/zkexec/.history/a")
    ),
    *(
        ("lock", text, "needs a NAME of printable UTF-8 characters")
        for text in ("a\n", "\0", "/\x7f", "\udcff")
    ),
    *(
        (
            "max-unavailable",
            text,
            "is not a number of members such as 2, or a percentage such as 25%",
        )
        for text in ("", "0", "-1", "0%", "%", "1.5", "a", "1%%", " 1", "٣", "9" * 10)
    ),
    *(
        ("max-unavailable", text, "is not a number of members such as 2, or a percentage")
        for text in ("5/zone", "%/zone", "0%/zone", "5%/zones", "5%zone", "5%/zone/zone", "/zone")
    ),
    *(
        ("max-unavailable", text, "is not a percentage from 1% to 100%")
        for text in ("101%", "101%/zone")
    ),
    *(
        ("max-failed", text, "is not a number of members such as 2, or a percentage such as 5%")
        for text in ("", "-1", "%", "1.5", "a", "1%%", " 1", "٣", "9" * 10, "5%/zone")
    ),
    ("max-failed", "101%", "is not a percentage from 0% to 100%"),
    *(
        ("zone", text, "is not a NAME: write 1 to 100 bytes without /")
        for text in ("", "a/b", "/", "x" * 101, "ü" * 51)
    ),
    *(
        ("zone", text, "is not a NAME: write printable UTF-8 characters, not . or ..")
        for text in (".", "..", "a\tb", "\udcff")
    ),
    ("on-failure", "stop", "is unknown: write pause or revert"),
    *(
        ("member-id", text, "is not an ID: write 1 to 200 characters without /")
        for text in ("", "a/b", "/", "x" * 201)
    ),
    *(
        ("member-id", text, "is not an ID: write printable UTF-8 characters, not . or ..")
        for text in (".", "..", "a\tb", "\udcff")
    ),
]


@pytest.mark.parametrize(("name", "text", "expected"), REFUSED)
def test_a_wrong_value_is_named_by_its_option(name: str, text: str, expected: str) -> None:
    """A wrong value gets one sentence: the option, the value, what is wrong with it."""
    words = ["--exec=x", "--lock=x", *NEEDED.get(name, ()), f"--{name}={text}"]
    with pytest.raises(UsageError) as caught:
        resolve_settings(parser.read(words), {})
    line = str(caught.value)

    assert f" {expected}" in line
    assert "; " not in line
    assert line.isprintable()
    if len(text) < 100:
        assert line.startswith(f"--{name}: {text!r} {expected}")


@pytest.mark.parametrize(
    ("text", "servers", "chroot"),
    [
        ("a", (("a", 2181),), ""),
        ("a:1,b,c:65535", (("a", 1), ("b", 2181), ("c", 65535)), ""),
        ("a:1, b:2", (("a", 1), ("b", 2)), ""),
        ("10.0.0.1:1/", (("10.0.0.1", 1),), ""),
        ("zk_1-a.b/x/y", (("zk_1-a.b", 2181),), "/x/y"),
        ("[::1]:1,[fe80::1%eth0]", (("::1", 1), ("fe80::1%eth0", 2181)), ""),
    ],
)
def test_clusters(text: str, servers: tuple[tuple[str, int], ...], chroot: str) -> None:
    """Hosts, ports, IPv6 addresses and a chroot are read as ZooKeeper's own clients do."""
    given = settings("-c", text)

    assert (given.hosts_text, given.servers, given.chroot) == (text, servers, chroot)


@pytest.mark.parametrize("text", ["TERM", "SIGTERM", "term", "sigterm", "15"])
def test_signals_have_names_and_numbers(text: str) -> None:
    """A signal is known by its name, with or without SIG, and by its number."""
    assert settings("--kill-signal", text).policy.kill_signal == signal.SIGTERM


def test_real_time_signals_are_known_by_number() -> None:
    """A real-time signal, as systemd in a container wants it, can be given as a number."""
    assert settings("--kill-signal", "37").policy.kill_signal == 37


def mirrored(*words: str, **environment: str) -> list[tuple[str, str]]:
    """The pairs of local and znode paths that a command line asks for."""
    mirrors = settings(*words, **environment).policy.inputs.mirrors
    return [(mirror.local_path, mirror.zk_path) for mirror in mirrors]


def test_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative LOCAL_PATH belongs to the working directory at the start."""
    monkeypatch.chdir(tmp_path)

    assert mirrored("-m", "./x//y=/a=b", "-m", "../z=/c") == [
        (f"{tmp_path}/x/y", "/a=b"),
        (f"{tmp_path}/../z", "/c"),
    ]


def test_without_a_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the working directory was removed, only absolute targets can be named."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert mirrored("-m", f"{tmp_path}/x=/a") == [(f"{tmp_path}/x", "/a")]
    assert mistakes("-m", "x=/a").startswith("--mirror: 'x=/a' needs a LOCAL_PATH that starts with")


def test_one_znode_may_have_two_files(tmp_path: Path) -> None:
    """The same znode can be mirrored to two files, also where one is a dangling symlink."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    assert len(mirrored("-m", f"{tmp_path}/x=/a", "-m", f"{tmp_path}/link=/a")) == 2


@pytest.mark.parametrize(
    ("first", "second", "got"),
    [
        ("x", "x", "are the same file: "),
        ("x", "./x", "are the same file: "),
        ("x", "y/../x", "are the same file: "),
        ("x", "link/x", "are the same file: "),
        ("new", "alias", "are the same file: "),
        ("x", "x/y", ": a file cannot be inside a file, so "),
        (
            "link/x/y",
            "x",
            ": a file cannot be inside a file, so ",
        ),
    ],
)
def test_two_mirrors_never_share_a_file(
    first: str, second: str, got: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that is named twice is a mistake, however it is spelled."""
    (tmp_path / "link").symlink_to(".")
    (tmp_path / "alias").symlink_to("new")
    monkeypatch.chdir(tmp_path)
    line = mistakes("-m", f"{first}=/a", "-m", f"{second}=/b")

    assert line.startswith("--mirror: ")
    assert line.endswith(f"{got}write another path for one of them")
    assert line.count(str(tmp_path)) == 2


def test_looking_at_targets_creates_nothing(tmp_path: Path) -> None:
    """Reading the settings writes nothing, whether they are right or wrong."""
    mirrored("-m", f"{tmp_path}/deep/x=/a")
    mistakes("-m", f"{tmp_path}/deep/x=a")

    assert os.listdir(tmp_path) == []


def test_all_mistakes_are_one_message() -> None:
    """Several mistakes are one message, each under the name of its option or variable."""
    line = mistakes("-i", "soon", "-c", ":1", "--frob", ZKEXEC_SETTLE="x", ZKEXEC_MIRROR="'a")

    assert line == (
        "unknown option --frob (zkexec --help lists all); "
        'ZKEXEC_MIRROR: "\'a" has a quote that is not closed; '
        f"ZKEXEC_SETTLE: 'x' {SECONDS}; "
        f"--health-interval: 'soon' {SECONDS}; "
        "--cluster: ':1' has an empty host: write HOST:PORT,..."
    )


def test_options_of_absent_commands_are_harmless() -> None:
    """Times and limits of commands are accepted without these commands, each with a warning."""
    limits = ("check", "pre-stop", "reload", "post-healthy")
    words = [word for name in limits for word in (f"--{name}-timeout", "1")]
    given = settings("-d", "1", "-i", "1", "--alert-interval", "1", "--alert-recovery", *words)

    pairs = [*((f"{name}-timeout", name) for name in limits), ("health-interval", "health")]
    pairs += [("alert-interval", "alert"), ("alert-recovery", "alert")]
    assert given.warnings == tuple(
        f"--{option} has no effect without --{name}: add --{name} COMMAND" for option, name in pairs
    )

    assert (given.policy.checks_health, given.policy.raises_alerts) == (False, False)
    assert (given.policy.step_limits, given.step_commands) == ({}, {})


@pytest.mark.parametrize("name", ["a", "a/b", "/a", "/.history", "grüße", "a b", "..."])
def test_names_of_groups(name: str) -> None:
    """A NAME is kept as it is written, with or without a slash at its beginning."""
    assert settings("-l", name).lock == name


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1", MaxUnavailable(1)),
        ("12", MaxUnavailable(12)),
        ("1%", MaxUnavailable(1, True)),
        ("100%", MaxUnavailable(100, True)),
        ("25%/zone", MaxUnavailable(25, True, True)),
    ],
)
def test_max_unavailable(text: str, limit: MaxUnavailable) -> None:
    """Max unavailable is a number of members, or a percentage of the group's or a zone's."""
    given = settings("-l", "x", "--zone", "z", "--max-unavailable", text)

    assert given.policy.max_unavailable == limit
    assert str(limit) == text


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0", MaxFailed()),
        ("12", MaxFailed(12)),
        ("0%", MaxFailed(0, True)),
        ("100%", MaxFailed(100, True)),
    ],
)
def test_max_failed(text: str, limit: MaxFailed) -> None:
    """Max failed is a number of members or a percentage of them, and can be none."""
    assert settings("-l", "x", "--max-failed", text).policy.max_failed == limit
    assert str(limit) == text


@pytest.mark.parametrize("name", ["a", "rack 1", "...", "x" * 100, "ü" * 50])
def test_names_of_zones(name: str) -> None:
    """The NAME of a zone has at most 100 bytes, and is kept as it is written."""
    assert settings("-l", "x", "--zone", name).policy.zone == name


@pytest.mark.parametrize(
    ("words", "variables", "label"),
    [
        (["--max-unavailable=5%/zone"], {}, "--max-unavailable"),
        ([], {"ZKEXEC_MAX_UNAVAILABLE": "5%/zone"}, "ZKEXEC_MAX_UNAVAILABLE"),
    ],
)
def test_a_percentage_of_a_zone_needs_one(
    words: list[str], variables: dict[str, str], label: str
) -> None:
    """In a group, N%/zone without a zone is a mistake, wherever both come from."""
    line = mistakes("-l", "x", *words, **variables)

    assert line == f"{label}: 5%/zone counts the members of a zone: add --zone NAME"
    assert settings("-l", "x", *words, ZKEXEC_ZONE="z", **variables).policy.zone == "z"
    assert mistakes("-l", "x", *words, "--zone", **variables) == (
        "--zone: the value is missing: write --zone NAME"
    )


def test_a_percentage_of_a_zone_is_ignored_without_a_group() -> None:
    """The variables of a fleet mean nothing without a lock, and are no mistake."""
    given = settings(ZKEXEC_MAX_UNAVAILABLE="5%/zone")

    assert not given.policy.in_group


GROUP_OPTIONS = {
    "max-unavailable": "2",
    "max-failed": "1",
    "zone": "rack1",
    "min-healthy": "3",
    "on-failure": "revert",
    "member-id": "me",
}


@pytest.mark.parametrize(("name", "text"), GROUP_OPTIONS.items())
def test_options_of_a_group_need_one(name: str, text: str) -> None:
    """What is typed about turns makes no sense without a lock."""
    assert (
        mistakes(f"--{name}", text) == f"--{name}: has a meaning only in a group: add --lock NAME"
    )


@pytest.mark.parametrize(("name", "text"), GROUP_OPTIONS.items())
def test_variables_of_a_group_need_none(name: str, text: str) -> None:
    """The environment of a whole fleet may speak of turns where there is no lock."""
    given = settings(**{f"ZKEXEC_{name.upper().replace('-', '_')}": text})

    assert not given.policy.in_group
    assert (given.lock, given.member_id) == ("", "")


def test_a_lock_from_the_environment_is_one() -> None:
    """The lock of a fleet can come from its environment, and be what typed options need."""
    given = settings("--min-healthy", "0", ZKEXEC_LOCK="fleet", ZKEXEC_MEMBER_ID="me")

    assert (given.lock, given.member_id) == ("fleet", "me")
    assert (given.policy.in_group, given.policy.min_healthy_s) == (True, 0)


def test_a_group_without_its_name() -> None:
    """A lock whose name was forgotten is one mistake, and not one for each other option."""
    line = mistakes("--min-healthy", "1", "--lock")

    assert line == "--lock: the value is missing: write --lock NAME"


@pytest.mark.parametrize(
    ("words", "variables"),
    [(["-d", "0"], {}), ([], {"ZKEXEC_HEALTH_DELAY": "0.0"})],
)
def test_a_restart_needs_time_to_become_healthy(
    words: list[str], variables: dict[str, str]
) -> None:
    """In a group with a health check, no time at all until it succeeds is a mistake."""
    line = mistakes("-l", "x", "-H", "true", *words, **variables)

    assert "with --lock, write more than 0" in line
    assert settings("-l", "x", *words, **variables).policy.health_delay_s == 0
    assert settings("-H", "true", *words, **variables).policy.health_delay_s == 0


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("--lok=x", "unknown option --lok (did you mean --lock?)"),
        ("--max-unavaliable", "unknown option --max-unavaliable (did you mean --max-unavailable?)"),
        ("-x", "unknown option -x (zkexec --help lists all)"),
        ("--a b", "unknown option '--a b' (zkexec --help lists all)"),
        ("--silent=no", "--silent: takes no value: remove 'no'"),
        ("z", "unexpected argument 'z': the command goes after --"),
    ],
)
def test_a_wrong_word_gets_a_suggestion(word: str, line: str) -> None:
    """A word that is no option is answered with what to type instead."""
    assert mistakes(word) == line


def test_an_unknown_variable_is_a_warning() -> None:
    """A ZKEXEC_ variable that no option reads is a warning that suggests the nearest one."""
    variables = {"ZKEXEC_MIRORR": "x", "ZKEXEC_FROB": "", "ZKEXEC_BY": "me", "ZKEXEC_LOCK": "a"}
    assert settings(**variables).warnings == (
        "unknown variable ZKEXEC_FROB (zkexec --help lists all)",
        "unknown variable ZKEXEC_MIRORR (did you mean ZKEXEC_MIRROR?)",
    )
    assert settings(ZKEXEC_EVENT="x", ZKEXEC_PID="1", OTHER="y").warnings == ()
