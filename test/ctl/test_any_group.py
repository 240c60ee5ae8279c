"""Whatever is in the znodes of groups: `status` shows it, on any terminal, and `wait` goes on."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from support.group_samples import START, parsed
from support.rubbish import (
    CARDS,
    ENTRIES,
    NAMES,
    QUEUED,
    RECORDS,
    RUBBISH,
    SUMMARIES,
    TRIALS,
    examples,
    in_bytes,
)
from zkexec.ctl.status import phrases as sentences
from zkexec.ctl.status.change_lines import group_changes, summary_changes
from zkexec.ctl.status.group_reader import GroupRead
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.render import render_group, render_overview
from zkexec.ctl.status.status_json import status_json
from zkexec.ctl.status.wait_decision import WaitDecision
from zkexec.ctl.terminal.table import Frame
from zkexec.ctl.terminal.text_width import cells
from zkexec.resources import read_resource
from zkexec.znode_paths import check_zk_path
from zkexec.zookeeper.errors import NoNodeError
from zkexec.zookeeper.requests import Children, Dialogue, Exists, Get
from zkexec.zookeeper.values import Stat

SCHEMA = json.loads(read_resource("zkexec/status.schema.json"))
BASE = "/zkexec/g"
NOW = START + 40
QUICK = examples(120)
CONTENTS = st.one_of(
    RECORDS.map(in_bytes), CARDS.map(in_bytes), st.sampled_from([*RUBBISH.values()])
)
OWNERS = st.sampled_from([0, 1, 2**63 - 1, -1])


class Tree:
    """Znodes, that answer as a server does."""

    def __init__(self, znodes: Mapping[str, tuple[bytes, int]]) -> None:
        """Hold contents and owners by path, and what has to be above them."""
        self._znodes = dict(znodes)
        for path in znodes:
            above = path.rpartition("/")[0]
            while above:
                self._znodes.setdefault(above, (b"", 0))
                above = above.rpartition("/")[0]

    def run(self, steps: Dialogue) -> Any:
        """CompletedRun all requests of a generator; return what it returns."""
        outcomes = None
        while True:
            try:
                requests = steps.send(outcomes) if outcomes is not None else next(steps)
            except StopIteration as end:
                return end.value
            outcomes = [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        found = self._znodes.get(request.path)
        if found is None:
            return None if isinstance(request, Exists) else NoNodeError()
        content, owner = found
        stat = Stat(5, 7, 1000, 2000, 3, 0, 0, owner, len(content), 0, 7)
        if isinstance(request, Children):
            below = f"{request.path}/"
            names = [
                p.removeprefix(below) for p in self._znodes if p.rpartition("/")[0] + "/" == below
            ]
            return tuple(names), stat
        return (content, stat) if isinstance(request, Get) else stat


def plain(_style: str, text: str) -> str:
    """No colours."""
    return text


def seen(tree: Tree) -> list[GroupStatus]:
    """All groups of the tree, and the one that was named; the list of all is drawn as well."""
    groups = []
    for lock in ("", "g"):
        read = GroupRead("", {}, lambda: True, watching=False)
        bases = tree.run(read.groups(lock))
        tree.run(read.members(bases))
        groups += [read.status(*each) for each in bases.items()]
        tree.run(read.numbers(bases))
        summaries = [read.summary(*each) for each in bases.items()]
        for width in (None, 20, 80):
            check_lines(render_overview(summaries, NOW, Frame(plain, width, 24)), width)
        check_lines(summary_changes([], summaries, NOW), None)
    return groups


def check_lines(lines: Sequence[str], width: int | None) -> None:
    """Each line has to be one that a person can read."""
    for line in lines:
        assert line.isprintable()
        assert len(line) < 20_000
        assert width is None or cells(line) <= width


def show(groups: list[GroupStatus]) -> None:
    """Do all that is ever done with them; each line has to be one that a person can read."""
    for width in (None, 20, 80):
        height = None if width is None else 24
        for one in groups:
            check_lines(render_group(one, NOW, Frame(plain, width, height)), width)
    Draft202012Validator(SCHEMA).validate(parsed(status_json(groups, NOW)))
    for group in groups:
        check_lines(group_changes(GroupStatus(name="g", base=BASE), group, NOW), None)
        WaitDecision().decide(group, NOW, 1.0)
        sentences.waits_for(group)
        sentences.headline(group, NOW)


@QUICK
@given(
    st.dictionaries(NAMES, st.tuples(CONTENTS, OWNERS), max_size=3),
    st.dictionaries(NAMES, st.tuples(CONTENTS, OWNERS), max_size=3),
    st.dictionaries(NAMES, st.tuples(CONTENTS, OWNERS), max_size=2),
    st.dictionaries(NAMES, st.tuples(CONTENTS, OWNERS), max_size=2),
)
def test_any_name_may_be_below_any_znode(
    members: Mapping[str, Any],
    queue: Mapping[str, Any],
    beside: Mapping[str, Any],
    above: Mapping[str, Any],
) -> None:
    """Below members, the queue, the group and /zkexec: nothing of that ends `status`."""
    znodes: dict[str, tuple[bytes, int]] = {f"{BASE}/state": (b"", 0), f"{BASE}/members": (b"", 0)}
    for parent, names in (
        (f"{BASE}/members", members),
        (f"{BASE}/queue", queue),
        (BASE, beside),
        ("/zkexec", above),
        ("/zkexec/.history", above),
    ):
        znodes |= {f"{parent}/{name}": found for name, found in names.items()}
    groups = seen(Tree(znodes))
    alive = {name for name, (_, owner) in members.items() if owner}
    assert all(set(group.members) == alive for group in groups if group.base == BASE)
    show(groups)


@QUICK
@given(
    st.one_of(RECORDS.map(in_bytes), st.sampled_from([*RUBBISH.values()])),
    st.dictionaries(
        st.sampled_from(["m1", "m2", "m3"]), st.tuples(CARDS.map(in_bytes), OWNERS), max_size=3
    ),
    st.dictionaries(
        st.sampled_from(["m1", "m2", "m9"]), ENTRIES.map(in_bytes) | CONTENTS, max_size=3
    ),
    st.lists(QUEUED.map(in_bytes) | CONTENTS, max_size=2),
    CONTENTS,
)
def test_any_record_is_shown(
    record: bytes,
    members: Mapping[str, tuple[bytes, int]],
    in_flight: Mapping[str, bytes],
    queue: Sequence[bytes],
    restart: bytes,
) -> None:
    """Any record, with any statuses, entries, queue nodes and restarts, is shown, or why not."""
    znodes = {
        f"{BASE}/state": (record, 0),
        f"{BASE}/members": (b"", 0),
        f"{BASE}/restart": (restart, 0),
        "/app/first": (b"x", 0),
        **{f"{BASE}/queue/q-{n:010}": (content, 7) for n, content in enumerate(queue)},
        **{f"{BASE}/in_flight/{name}": (content, 0) for name, content in in_flight.items()},
        **{f"{BASE}/members/{name}": found for name, found in members.items()},
    }
    groups = seen(Tree(znodes))
    assert groups
    for group in groups:
        assert group.error or set(group.record.in_flight) == set(in_flight)
    show(groups)


@QUICK
@given(
    RECORDS,
    st.lists(TRIALS, max_size=4),
    SUMMARIES.map(in_bytes) | CONTENTS,
    CONTENTS,
    st.lists(NAMES, max_size=2),
)
def test_anything_below_the_versions_is_shown(
    record: Mapping[str, Any],
    trials: Sequence[str],
    summary: bytes,
    failure: bytes,
    unavailable: Sequence[str],
) -> None:
    """Any failure, lost turn and summary of a version is shown, or why the record is not known."""
    znodes = {
        f"{BASE}/state": (in_bytes(record), 0),
        f"{BASE}/members/m1": (b"", 7),
        **{f"{BASE}/unavailable/{name}": (b"", 7) for name in unavailable},
    }
    for digest in record["versions"]:
        if is_name(digest):
            znodes[f"{BASE}/versions/{digest}"] = (summary, 0)
            znodes |= {f"{BASE}/versions/{digest}/{name}": (failure, 0) for name in trials}
    groups = seen(Tree(znodes))
    assert groups
    show(groups)


def is_name(text: str) -> bool:
    """Whether this can be the name of a znode."""
    try:
        check_zk_path(f"/{text}")
    except ValueError:
        return False
    return "/" not in text
