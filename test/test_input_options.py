"""The options of inputs: trees, templates, variables, and the modes and owners of targets.

Nothing here starts a process; every command line is resolved to settings, or to its mistakes.
"""

import os
import stat
import sys
from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.settings import Settings, UsageError, resolve_settings
from zkexec.core.input_options import InputOptions, Mirror, Template, Variable, VariableTree
from zkexec.core.target_attributes import AttributeRule, TargetAttributes
from zkexec.extras import installing

MIRROR = ("-m", "/t/conf/app.conf=/a")
TREE = ("-m", "/t/tree/=/tree/")
NO_FILES = "there are no files that could change: add --mirror LOCAL_PATH=ZK_PATH"
FORM = "is not of the form LOCAL_PATH=ZK_PATH or LOCAL_PATH=@FILE"
ROOT_ZNODE = "names / itself: write a ZK_PATH below it"
NAME = "has a NAME that no variable can have: write letters, digits and _, and no digit first"
MODE = "has no octal mode: write [PATH=]OCTAL, such as 0640"
BITS = "has a set-id or sticky bit, which no target may have: write up to 0777"
OWNER = "has no owner: write [PATH=]USER[:GROUP], by names or numbers"
NO_TARGET = (
    "names no target: write the LOCAL_PATH or DIR/ of a --mirror or --template, a path below a "
    "DIR/, or a folder above one with / at its end"
)

NO_SLASH = "names a folder without its slash: write"


def settings(*words: str, **environment: str) -> Settings:
    """Return the settings of a command line, to which a command is added, and of variables."""
    return resolve_settings(parser.read([*words, "--exec", "app"]), environment)


def inputs(*words: str, **environment: str) -> InputOptions:
    """Return the inputs that a command line names."""
    return settings(*words, **environment).policy.inputs


def mistakes(*words: str, **environment: str) -> str:
    """Return the line that a wrong command line gets."""
    with pytest.raises(UsageError) as caught:
        settings(*words, **environment)
    return str(caught.value)


def attributes_of(given: Settings) -> TargetAttributes:
    """The modes and owners that are given."""
    assert given.attributes is not None
    return given.attributes


def test_every_option_of_an_input_reaches_the_settings(tmp_path: Path) -> None:
    """Trees, templates, values, variables and what belongs to them are what was typed."""
    text = tmp_path / "t.j2"
    text.write_bytes(b"{{ zk('/v/a') }}\xff")
    words = f"""
        --mirror {tmp_path}/tree/=/tree/ -t {tmp_path}/x=/t=1 --template={tmp_path}/y=@{text}
        --values /v/ --values /w --template-timeout 2.5 --env A=/a=b --env b_1=/b
        --env-tree /e/=app_ --env-tree /f --pristine
        --mode 0640 --owner {tmp_path}/y=0:5 --state-dir {tmp_path}/state
    """
    given = settings(*words.split())

    assert given.policy.inputs == InputOptions(
        mirrors=(Mirror(f"{tmp_path}/tree/", "/tree/"),),
        templates=(
            Template(f"{tmp_path}/x", "/t=1"),
            Template(f"{tmp_path}/y", file=str(text), text=b"{{ zk('/v/a') }}\xff"),
        ),
        values=("/v", "/w"),
        variables=(Variable("A", "/a=b"), Variable("b_1", "/b")),
        variable_trees=(VariableTree("/e", "app_"), VariableTree("/f")),
    )
    assert given.attributes == TargetAttributes(
        (AttributeRule("", mode=0o640), AttributeRule(f"{tmp_path}/y", owner=(0, 5)))
    )
    assert (given.template_timeout_s, given.pristine) == (2.5, True)
    assert given.state_dir == f"{tmp_path}/state"


def test_every_option_of_an_input_has_a_variable() -> None:
    """The variables say what the command line says, with several values separated by blanks."""
    typed = settings(
        *("-m", "/t/a/=/a/", "-m", "/t/b=/b", "-t", "/t/c=/c", "-t", "/t/d e=/d"),
        *("--values", "/v", "--values", "/w", "--template-timeout", "3", "--pristine"),
        *("--env", "A=/x", "--env", "B=/y z", "--env-tree", "/e=E_", "--env-tree", "/f"),
        *("--mode", "600", "--mode", "/t/a/=640", "--owner", "1", "--state-dir", "/t/state"),
    )

    assert typed == settings(
        ZKEXEC_MIRROR="/t/a/=/a/ /t/b=/b",
        ZKEXEC_TEMPLATE="/t/c=/c '/t/d e=/d'",
        ZKEXEC_VALUES="/v\n/w",
        ZKEXEC_TEMPLATE_TIMEOUT="3",
        ZKEXEC_PRISTINE="yes",
        ZKEXEC_ENV="A=/x 'B=/y z'",
        ZKEXEC_ENV_TREE="/e=E_ /f",
        ZKEXEC_MODE="600 /t/a/=640",
        ZKEXEC_OWNER="1",
        ZKEXEC_STATE_DIR="/t/state",
    )


def test_a_check_gets_targets_in_the_order_given() -> None:
    """Mirrors and templates keep their order on the command line; of variables, mirrors first."""
    mixed = ("-t", "/t/1=/a", "-m", "/t/2/=/b/", "-v", "-t", "/t/3=/c", "-m", "/t/4=/d")
    templates_first = {"ZKEXEC_TEMPLATE": "/t/1=/a /t/2=/b", "ZKEXEC_MIRROR": "/t/3=/c"}

    assert settings(*mixed).check_targets == ("/t/1", "/t/2/", "/t/3", "/t/4")
    assert settings(**templates_first).check_targets == ("/t/3", "/t/1", "/t/2")
    assert settings("-t", "/t/1=/a", ZKEXEC_MIRROR="/t/2=/b").check_targets == ("/t/2", "/t/1")
    assert settings("-m", "/t/1=/a", ZKEXEC_TEMPLATE="/t/2=/b").check_targets == ("/t/1", "/t/2")
    assert settings(*MIRROR).check_targets == ("/t/conf/app.conf",)


def test_the_folder_of_a_tree_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DIR is relative to the working directory, need not exist, and keeps its slash."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "link").symlink_to("old")

    for text, path in (("a//b/", "a/b/"), ("./", ""), ("old/", "old/"), ("link/", "link/")):
        assert inputs("-m", f"{text}=/a/").mirrors == (Mirror(f"{tmp_path}/{path}", "/a/"),)
    assert sorted(os.listdir(tmp_path)) == ["link", "old"]


def test_of_two_variables_with_one_name_the_later_counts() -> None:
    """The znode of the earlier one is no input."""
    given = inputs("--env", "A=/a", "--env", "B=/b", "--env", "A=/c")

    assert sorted(each.zk_path for each in given.variables) == ["/b", "/c"]
    assert {each.name: each.zk_path for each in given.variables}["A"] == "/c"


def test_the_text_of_a_template_is_in_no_message(tmp_path: Path) -> None:
    """A text, which can contain secrets, is left out where settings are shown."""
    (tmp_path / "t").write_text("secret text")
    given = settings("-t", f"{tmp_path}/x=@{tmp_path}/t")

    assert given.policy.inputs.templates[0].text == b"secret text"
    assert "secret" not in repr(given)


def test_a_file_of_a_template_is_read_once(tmp_path: Path) -> None:
    """The text is that of the start, up to 1 MiB, from a file, a symbolic link or an empty file."""
    text, link = tmp_path / "t", tmp_path / "link"
    link.symlink_to("t")
    for content in (b"", b"x" * 2**20):
        text.write_bytes(content)
        given = inputs("-t", f"{tmp_path}/x=@{link}")
        text.unlink()
        assert given.templates == (Template(f"{tmp_path}/x", file=str(link), text=content),)


def test_a_relative_file_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template names its file by the full path, so that messages do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").touch()

    assert inputs("-t", "x=@t").templates[0].name == f"{tmp_path}/t"


def test_a_file_that_cannot_be_used_is_a_mistake(tmp_path: Path) -> None:
    """What is missing, no file, a pipe without a writer, or too large is refused at once."""
    (tmp_path / "large").write_bytes(b"x" * (2**20 + 1))
    os.mkfifo(tmp_path / "pipe")
    refused = {
        "none": "names a file that cannot be read (No such file or directory)",
        "large": "names a file of more than 1 MiB: write a smaller template",
        "pipe": "does not name a regular file after the @",
        ".": "does not name a regular file after the @",
    }

    for name, line in refused.items():
        text = f"/t/x=@{tmp_path}/{name}"
        assert mistakes("-t", text) == f"--template: '{text}' {line}"
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


REFUSED = [
    *(("template", text, FORM) for text in ("", "a", "=/a", "a\0=/a")),
    ("template", "/t/x=a", "needs a znode path that starts with /"),
    ("template", "/t/x=", "needs a znode path that starts with /"),
    ("template", "/t/x=@", "has no file after the @: write LOCAL_PATH=@FILE"),
    *(
        ("template", text, "has a slash at an end: a template is one file: write")
        for text in ("x/=/a", "x=/a/", "x/=/a/", "x=@a/", "x=/")
    ),
    ("template", "/usr=/a", "names a directory: write the LOCAL_PATH of a file"),
    ("template", "/dev/null=/a", "names a special file"),
    ("mirror", "x/=a/", "needs a znode path that starts with /"),
    ("mirror", "x/=/", ROOT_ZNODE),
    ("mirror", "/=/a/", "names / itself: write the DIR/ of a folder below it"),
    ("mirror", "/usr/../=/a/", "names / itself: write the DIR/ of a folder below it"),
    ("mirror", "/etc/passwd/=/a/", "names a file: write the DIR/ of a folder, or LOCAL_PATH="),
    ("mirror", "/dev/null/=/a/", "names a file: write the DIR/ of a folder, or LOCAL_PATH="),
    ("mirror", "x/=/a//", "needs a znode path without empty, . or .. parts"),
    ("values", "/", ROOT_ZNODE),
    ("values", "", "needs a znode path that starts with /"),
    ("values", "a/", "needs a znode path that starts with /"),
    ("values", "/a//", "needs a znode path without empty, . or .. parts"),
    *(("template-timeout", text, "is not between 0.1 and") for text in ("0", "0.09", "9" * 20)),
    ("env", "A", "is not of the form NAME=ZK_PATH"),
    *(("env", f"{name}=/a", NAME) for name in ("", "1A", "A-B", "A B", "Ä", "A.B", "A\0")),
    ("env", "A=a", "needs a znode path that starts with /"),
    ("env", "A=/", ROOT_ZNODE),
    ("env", "A=/a/", "names a tree: write NAME=ZK_PATH, or --env-tree ZK_PATH for all below"),
    ("env-tree", "/", ROOT_ZNODE),
    ("env-tree", "/=X", ROOT_ZNODE),
    ("env-tree", "A=/a", "needs a znode path that starts with /"),
    *(
        ("env-tree", f"/a={prefix}", "has a PREFIX with which no name of a variable can begin")
        for prefix in ("1", "9_", "A\0")
    ),
    *(("mode", text, MODE) for text in ("", "8", "0o644", "rw", "-1", " 644", "77777", "٣", "x=")),
    *(("mode", text, BITS) for text in ("4755", "2750", "1777", "01000", "7777")),
    ("mode", "=644", "has an empty PATH: write OCTAL, or PATH=OCTAL"),
    *(("mode", f"{path}=644", NO_TARGET) for path in ("/t/co", "/x/", "644")),
    *(("mode", f"{path}=644", f"{NO_SLASH} {path}/") for path in ("/t/conf", "/t/tree")),
    *(("owner", text, OWNER) for text in ("", ":0", "root:", "/t/tree/=", ":")),
    ("owner", "no-such-user", "has an unknown user, 'no-such-user': write one of this host"),
    ("owner", "a\0b", "has an unknown user, 'a\\x00b': write one of this host, or a number"),
    ("owner", "0:no-such-group", "has an unknown group, 'no-such-group': write one of this host"),
    ("owner", str(2**32 - 1), f"has an unknown user, '{2**32 - 1}': write one of this host"),
    ("owner", "=0", "has an empty PATH: write USER[:GROUP], or PATH=USER[:GROUP]"),
    ("owner", "/t/conf=0", f"{NO_SLASH} /t/conf/"),
    ("state-dir", "", "is not the path of a folder"),
    ("state-dir", "/etc/passwd", "is not a folder: write the path of one"),
]


@pytest.mark.parametrize(("name", "text", "expected"), REFUSED)
def test_a_wrong_value_is_named_by_its_option(name: str, text: str, expected: str) -> None:
    """A wrong value gets one sentence: the option, the value, what is wrong, what to write."""
    needed = ("-t", "/t/other=/t") if name == "values" else ()
    line = mistakes(*MIRROR, *TREE, *needed, f"--{name}={text}")

    assert line.startswith(f"--{name}: {text!r} {expected}")
    assert "; " not in line
    assert line.isprintable()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            "-m x=/a",
            "-t x=/b",
            "'{}/x' and '{}/x' are the same file",
        ),
        (
            "-t x=/a",
            "-m ./x=/b",
            "'{}/x' and '{}/x' are the same file",
        ),
        (
            "-t x=/a",
            "-t y/x=/b",
            "'{}/x' and '{}/y/x' are the same file",
        ),
        (
            "-m d/=/a/",
            "-m y/d/=/b/",
            "'{}/d/' and '{}/y/d/' are the same folder",
        ),
        (
            "-m d/=/a/",
            "-m d=/b",
            "'{}/d/' and '{}/d' are a file and a folder",
        ),
        (
            "-t d=/a",
            "-m d/=/b/",
            "'{}/d' and '{}/d/' are a file and a folder",
        ),
        ("-m d/=/a/", "-m d/x=/b", "'{}/d/x' is inside '{}/d/', the folder of a tree"),
        ("-m d/x/y=/a", "-m d/=/b/", "'{}/d/x/y' is inside '{}/d/', the folder of a tree"),
        ("-m d/=/a/", "-t y/d/x/y=/b", "'{}/y/d/x/y' is inside '{}/d/', the folder of a tree"),
        ("-m d/=/a/", "-m d/e/=/b/", "'{}/d/e/' is inside '{}/d/', the folder of a tree"),
        ("-m d/e/f/=/a/", "-m d/=/b/", "'{}/d/e/f/' is inside '{}/d/', the folder of a tree"),
        (
            "-m x=/a",
            "-m x/d/=/b/",
            "'{}/x' and '{}/x/d/': a folder cannot be inside a file",
        ),
        (
            "-m x/d/=/a/",
            "-m x=/b",
            "'{}/x/d/' and '{}/x': a folder cannot be inside a file",
        ),
        (
            "-t x/y=/a",
            "-m x=/b",
            "'{}/x/y' and '{}/x': a file cannot be inside a file",
        ),
        ("-m ./=/a/", "-m x=/b", "'{}/x' is inside '{}/', the folder of a tree"),
    ],
)
def test_no_target_is_named_twice(
    first: str, second: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two targets that cannot exist beside each other are a mistake, however they are spelled."""
    (tmp_path / "y").symlink_to(".")
    monkeypatch.chdir(tmp_path)
    option = {"-m": "--mirror", "-t": "--template"}[second.partition(" ")[0]]
    line = mistakes(*first.split(), *second.split())

    assert line.startswith(f"{option}: {expected.format(tmp_path, tmp_path)}")
    assert line.endswith(("write another path for one of them", ": write one outside"))
    assert "; " not in line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-t x=@x", "'{}/x' is itself a target"),
        ("-t link=@x", "'{}/x' is itself a target"),
        ("-t x=@link", "'{}/link' is itself a target"),
        ("-t y/d/a=@d/a", "'{}/d/a' is itself a target"),
        ("-t b=@x -m x=/b", "'{}/x' is itself a target"),
        ("-m d/=/b/ -t b=@d/a", "'{}/d/a' is inside '{}/d/', the folder of a tree"),
        ("-m d/=/b/ -t b=@y/d/a", "'{}/y/d/a' is inside '{}/d/', the folder of a tree"),
        ("-m y/d/=/b/ -t b=@d/link", "'{}/d/link' is inside '{}/y/d/', the folder of a tree"),
    ],
)
def test_no_template_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, expected: str
) -> None:
    """A local template is no target and in no tree, also where links hide it."""
    (tmp_path / "d").mkdir()
    for name in ("x", "d/a"):
        (tmp_path / name).write_text("text")
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "d" / "link").symlink_to(tmp_path / "x")
    (tmp_path / "y").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)

    accepted = "-m d/e/=/b/ -t x.conf=@x -t b=@d/a -t c=@link --values /v"
    beside = inputs(*accepted.split())
    assert [template.text for template in beside.templates] == [b"text"] * 3
    line = mistakes(*words.split(), "--values", "/v")
    assert line.startswith(f"--template: the template {expected.replace('{}', str(tmp_path))}")
    assert line.endswith((", or another @FILE", ": write a @FILE outside"))


def test_targets_beside_each_other_are_accepted() -> None:
    """Names that only begin alike, and targets in folders above trees, are no mistakes."""
    words = ("-m", "/t/a/=/a/", "-m", "/t/ab/=/a/", "-m", "/t/a.conf=/b", "-t", "/t/c/a=/c")

    assert settings(*words).check_targets == ("/t/a/", "/t/ab/", "/t/a.conf", "/t/c/a")


def overlap(tree: str, place: str) -> str:
    """Return what is wrong with a tree that meets the znodes of zkexec."""
    return (
        f"'{tree}' overlaps with the znodes of zkexec in {place}: write a tree that neither "
        f"contains {place} nor is inside it"
    )


@pytest.mark.parametrize(
    ("tree", "lock", "place"),
    [
        ("/zkexec", "", "/zkexec"),
        ("/zkexec/web", "web", "/zkexec"),
        ("/zkexec/.history", "", "/zkexec"),
        ("/app", "/app/lock", "/app/lock"),
        ("/app/lock", "/app/lock", "/app/lock"),
        ("/app/lock/members", "/app/lock", "/app/lock"),
    ],
)
def test_no_tree_meets_the_znodes_of_zkexec(tree: str, lock: str, place: str) -> None:
    """No kind of tree contains the znodes of zkexec or of the group, or is among them."""
    words = ("--lock", lock) if lock else ()
    template = ("-t", "/t/x=/x")

    assert mistakes("-m", f"/t/d/={tree}/", *words) == f"--mirror: {overlap(f'{tree}/', place)}"
    assert mistakes(*template, "--values", tree, *words) == (
        f"--values: {overlap(f'{tree}/', place)}"
    )
    assert mistakes(ZKEXEC_ENV_TREE=tree, ZKEXEC_LOCK=lock) == (
        f"ZKEXEC_ENV_TREE: {overlap(f'{tree}/', place)}"
    )


def test_trees_beside_the_znodes_of_zkexec_are_accepted() -> None:
    """A path that only begins alike, and the path of a lock that is not used, are no mistakes."""
    assert inputs("-m", "/t/d/=/zkexec2/", "--lock", "/app/lock").trees == ("/zkexec2",)
    assert inputs("-m", "/t/d/=/app/locks/", "--lock", "/app/lock").trees == ("/app/locks",)
    assert inputs("-m", "/t/d/=/app/").trees == ("/app",)


def test_values_need_a_template() -> None:
    """Values are a mistake if no template reads them; their variable can be a fleet's."""
    line = "--values: has no effect, as there is no template: add --template LOCAL_PATH=ZK_PATH"

    assert mistakes(*MIRROR, "--values", "/v") == line
    assert settings(*MIRROR, ZKEXEC_VALUES="/v") == settings(*MIRROR)
    assert settings(*MIRROR, "--template-timeout", "3").policy == settings(*MIRROR).policy
    assert mistakes("--values", "/v", "--template") == (
        "--template: the value is missing: write --template LOCAL_PATH=ZK_PATH|@FILE"
    )


@pytest.mark.parametrize(("name", "text"), [("mode", "600"), ("owner", "0")])
def test_modes_and_owners_need_files(name: str, text: str) -> None:
    """They are a mistake if there is no target; their variables can be a fleet's."""
    line = f"--{name}: has no effect, as {NO_FILES}"

    assert mistakes(f"--{name}", text) == line
    assert mistakes("--env", "A=/a", f"--{name}", text) == line
    assert settings(**{f"ZKEXEC_{name.upper()}": text}) == settings()
    assert mistakes("--mirror", "x", f"--{name}", f"x={text}") == (
        "--mirror: 'x' is not of the form LOCAL_PATH=ZK_PATH"
    )


def test_modes_are_octal() -> None:
    """A mode is read as chmod reads it, with any number of leading zeros."""
    for text, mode in (("0", 0), ("644", 0o644), ("0644", 0o644), ("00777", 0o777)):
        assert attributes_of(settings(*MIRROR, "--mode", text)).rules == (
            AttributeRule("", mode=mode),
        )


def test_owners_are_names_or_numbers() -> None:
    """A user and a group are known by name and by number; without a group it stays."""
    for text, owner in (
        ("root", (0, -1)),
        ("root:root", (0, 0)),
        ("0:0", (0, 0)),
        ("12345:54321", (12345, 54321)),
        (f"{2**32 - 2}", (2**32 - 2, -1)),
    ):
        assert (
            attributes_of(settings(*MIRROR, "--owner", text)).owner_of("/t/conf/app.conf") == owner
        )


def test_the_longest_path_gives_mode_and_owner() -> None:
    """The longest PATH counts, of two equal ones the last; modes and owners are apart."""
    given = attributes_of(
        settings(
            *MIRROR,
            *TREE,
            *("--mode", "0600", "--mode", "/t/tree/a/=0640", "--mode", "/t/tree/=0644"),
            *("--mode", "/t/tree/a/=0660", "--owner", "/t/tree/a/b=1:2", "--owner", "/t/=3"),
        )
    )

    modes = {"/t/conf/app.conf": 0o600, "/t/tree/x": 0o644, "/t/tree/a/b": 0o660}
    assert {path: given.mode_of(path) for path in modes} == modes
    owners = {"/t/conf/app.conf": (3, -1), "/t/tree/a/b": (1, 2), "/t/tree/a/c": (3, -1)}
    owners["/t/tree/a/b/c"] = (1, 2)
    assert {path: given.owner_of(path) for path in owners} == owners
    assert TargetAttributes().mode_of("/t/x") is None
    assert TargetAttributes().owner_of("/t/x") is None


def test_a_relative_path_of_a_mode_is_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PATH is relative to the working directory, as a LOCAL_PATH is, and split at the last =."""
    monkeypatch.chdir(tmp_path)
    given = settings("-m", "a/=/x=1/", "--mode", "a/b=c=600", "--mode", "./=640")

    assert given.policy.inputs.mirrors == (Mirror(f"{tmp_path}/a/", "/x=1/"),)
    assert attributes_of(given).rules == (
        AttributeRule(f"{tmp_path}/a/b=c", mode=0o600),
        AttributeRule(f"{tmp_path}/", mode=0o640),
    )


def test_templates_need_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages a template is a mistake that says how to install them."""
    line = f"needs jinja2 and pyyaml: {installing('templates')}"
    assert settings("-t", "/t/x=/t").check_targets
    monkeypatch.setattr(sys, "path", [])

    assert mistakes("-t", "/t/x=/t") == f"--template: {line}"
    assert mistakes(ZKEXEC_TEMPLATE="/t/x=/t") == f"ZKEXEC_TEMPLATE: {line}"
    assert settings(*MIRROR, "--env", "A=/a", ZKEXEC_VALUES="/v").check_targets


def test_the_kind_of_inputs_has_all_names_and_no_text(tmp_path: Path) -> None:
    """Two command lines that name other inputs differ; another text in a file is the same."""
    (tmp_path / "t").write_text("one")
    template = ("-t", f"/t/x=@{tmp_path}/t", "--values", "/v")
    others = (
        MIRROR,
        TREE,
        template,
        template[:2],
        ("-t", "/t/x=/t", "--values", "/v"),
        ("--env", "A=/a"),
        ("--env", "B=/a"),
        ("--env-tree", "/a"),
        ("--env-tree", "/a=A"),
    )
    identities = [inputs(*words).identity for words in others]
    before = inputs(*template).identity
    (tmp_path / "t").write_text("two")

    assert len({repr(one) for one in identities}) == len(others)
    assert inputs(*template).identity == before
    assert inputs(*MIRROR).identity == ([("/t/conf/app.conf", "/a")],)
