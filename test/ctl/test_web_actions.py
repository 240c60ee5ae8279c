"""The actions of `zkexecctl web`: who may do them, what is recorded, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.security import ACL, Id, Permissions

from support.group_samples import NEW, GroupZnodes, entry, failed_on
from support.program import Program
from support.record_znodes_samples import read_record
from support.waiting import until
from support.web_server import Browser, WebServer, hidden, token_file, words
from support.zookeeper import Server
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import AuditEntry, EntryPhase, Hold, Pause, RolloutRecord
from zkexec.frozen import replace

PAUSED = RolloutRecord(paused=Pause("bob", "the night"))


@pytest.fixture(scope="module")
def server(zookeeper: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server of this module that allows actions; reading is open."""
    token = f"--token={token_file(tmp_path_factory.mktemp('token'))}"
    with Program(*words("web", zookeeper.hosts, "--actions", token)) as program:
        yield WebServer(program)


@pytest.fixture
def operator(server: WebServer) -> Browser:
    """A browser that has logged in."""
    browser = server.browser()
    assert browser.log_in().status == 303
    return browser


def last(group: GroupZnodes) -> AuditEntry:
    """The newest audit entry."""
    return record(group).audit[-1]


def record(group: GroupZnodes) -> RolloutRecord:
    """The record of a group."""
    return read_record(group.client, group.base)


def test_reading_is_open_and_acting_is_not(server: WebServer, group: GroupZnodes) -> None:
    """On this machine everybody reads; the form of an action leads to the login and back."""
    browser, page = server.browser(), f"/groups/{group.lock}/pause"

    assert browser.get("/").status == 200
    answer = browser.get(page)
    assert answer.status == 303
    assert answer.headers["location"] == f"/login?next={page}"
    assert browser.post(page, {"by": "anna", "reason": "why"}).status == 403
    assert record(group).paused is None


def test_a_pause_is_recorded_with_who_and_why(operator: Browser, group: GroupZnodes) -> None:
    """What was typed is in the record, and the next page shows once what was done."""
    group.show("m1")

    answer = operator.act(group.lock, "pause", by="anna <b>", reason="the database moves")

    assert answer.status == 303
    assert answer.headers["location"] == f"/groups/{group.lock}"
    found = record(group).paused
    assert found is not None
    assert (found.by, found.reason) == ("anna <b>", "the database moves")
    done = "paused: no member is admitted"
    assert done in operator.get(f"/groups/{group.lock}").text
    assert done not in operator.get(f"/groups/{group.lock}").text


def test_each_action_is_done(operator: Browser, group: GroupZnodes) -> None:
    """Resume, restart, approve, retry and forget do what zkexecctl does."""
    group.show("m1")
    group.decide(PAUSED)
    assert operator.act(group.lock, "resume").status == 303
    assert last(group).operation == "resume"

    assert operator.act(group.lock, "restart").status == 303
    assert last(group).operation == "restart"

    hold = Hold(MaxUnavailable(1), "bob", "try it")
    group.decide(replace(record(group), hold=hold))
    assert operator.act(group.lock, "approve", hold="2").status == 303
    assert operator.act(group.lock, "approve").status == 303
    assert record(group).hold is None

    group.decide(RolloutRecord(versions=failed_on("m1")))
    group.show("m1", phase="failed", wanted=NEW)
    assert operator.act(group.lock, "retry").status == 303
    assert last(group).operation == "retry"

    group.decide(RolloutRecord(in_flight={"m9": entry(EntryPhase.FAILED)}))
    assert operator.act(group.lock, "forget", member="m9").status == 409
    page = f"/groups/{group.lock}/forget?member=m9"
    form = operator.get(page)
    fields = {**hidden(form), "by": "anna", "reason": "burnt down", "member": form.field("member")}
    assert operator.post(f"/groups/{group.lock}/forget", fields).status == 303
    assert (last(group).operation, last(group).member) == ("forget", "m9")


def test_a_living_member_is_forgotten_only_by_force(operator: Browser, group: GroupZnodes) -> None:
    """The turn of a living member is ended only if that was ticked."""
    group.show("m1", phase="stopping", wanted=NEW)
    group.decide(RolloutRecord(in_flight={"m1": entry()}))
    page = f"/groups/{group.lock}/forget"
    form = operator.get(f"{page}?member=m1")
    fields = {**hidden(form), "by": "anna", "reason": "why", "member": "m1"}

    refused = operator.post(page, fields)
    assert refused.status == 409
    assert "alive" in refused.text
    assert operator.post(page, {**fields, "force": "yes"}).status == 303


def test_a_changed_record_is_a_refusal(operator: Browser, group: GroupZnodes) -> None:
    """If another operator acts after the form was shown, it is shown again, with the new record."""
    group.show("m1")
    page = f"/groups/{group.lock}/restart"
    form = operator.get(page)
    other = AuditEntry("resume", "bob", "why", "t", at=1.0)
    group.decide(replace(record(group), audit=(other,)))
    fields = {**hidden(form), "by": "anna", "reason": "why"}

    refused = operator.post(page, fields)

    assert refused.status == 409
    assert "has changed" in refused.text
    assert last(group).by == "bob"
    assert operator.post(page, {**fields, **hidden(refused)}).status == 303


def test_an_admission_is_no_change(operator: Browser, group: GroupZnodes) -> None:
    """During a rollout the record changes all the time, and a pause is still possible."""
    group.show("m1")
    page = f"/groups/{group.lock}/pause"
    form = operator.get(page)
    group.decide(replace(record(group), last_admitted=7, in_flight={"m1": entry()}))

    assert operator.post(page, {**hidden(form), "by": "anna", "reason": "why"}).status == 303


def test_a_form_is_done_once(operator: Browser, group: GroupZnodes) -> None:
    """A form that is sent twice does nothing the second time."""
    group.show("m1")
    page = f"/groups/{group.lock}/restart"
    fields = {**hidden(operator.get(page)), "by": "anna", "reason": "why"}

    assert operator.post(page, fields).status == 303
    assert operator.post(page, fields).status == 409
    assert len(record(group).audit) == 1


def test_an_action_that_makes_no_sense_is_refused(operator: Browser, group: GroupZnodes) -> None:
    """The form is shown again, with the reason that zkexecctl would print and what was typed."""
    answer = operator.act(group.lock, "resume", reason="let it <i>go</i>")

    assert answer.status == 409
    assert "not paused" in answer.text
    assert answer.field("reason") == "let it <i>go</i>"
    assert "<i>" not in answer.text
    assert operator.act(group.lock, "approve").status == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"reason": ""},
        {"by": " "},
        {"reason": "two\nlines"},
        {"by": "x" * 1001},
        {"record": ""},
    ],
)
def test_wrong_fields_are_named(
    operator: Browser, group: GroupZnodes, wrong: dict[str, str]
) -> None:
    """Without who, why or a record nothing is done."""
    answer = operator.act(group.lock, "pause", **wrong)

    assert answer.status == 422
    assert record(group).paused is None


def test_wrong_values_are_named(operator: Browser, group: GroupZnodes) -> None:
    """A hold that is no number, and a member that is none, are mistakes."""
    assert operator.act(group.lock, "approve", hold="many").status == 422
    assert operator.act(group.lock, "forget", member="").status == 422
    assert operator.act(group.lock, "forget", member="a/b").status == 422


def test_a_form_of_a_foreign_page_is_refused(operator: Browser, group: GroupZnodes) -> None:
    """Another origin, no origin, another session's form or none at all: nothing is done."""
    page = f"/groups/{group.lock}/pause"
    fields = {**hidden(operator.get(page)), "by": "anna", "reason": "why"}

    for origin in ("http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"):
        assert operator.post(page, fields, Origin=origin).status == 403
    without = {name: value for name, value in fields.items() if name != "csrf"}
    assert operator.post(page, without).status == 403
    assert operator.post(page, {**fields, "csrf": fields["csrf"][::-1]}).status == 403
    content = "&".join(f"{name}={value}" for name, value in fields.items())
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert operator.request("POST", page, content, form).status == 403
    assert record(group).paused is None

    own = {**form, "Sec-Fetch-Site": "same-origin"}
    assert operator.request("POST", page, content, own).status == 303


def test_the_user_of_a_proxy_is_recorded(
    zookeeper: Server, tmp_path: Path, group: GroupZnodes
) -> None:
    """The user that the proxy names is recorded, whatever the form contains."""
    options = ("--actions", f"--token={token_file(tmp_path)}", "--user-header=X-Remote-User")
    proxy = "--trusted-proxy=127.0.0.1"
    with Program(*words("web", zookeeper.hosts, *options, proxy)) as program:
        browser = WebServer(program).browser(**{"X-Remote-User": "carol"})
        browser.log_in()

        assert browser.act(group.lock, "pause", by="anna").status == 303
        found = record(group).paused
        assert found is not None
        assert found.by == "carol"


def test_a_missing_permission_is_named(operator: Browser, group: GroupZnodes) -> None:
    """If the server may not write the record, the page names it, and nothing is done."""
    group.show("m1")
    state = f"{group.base}/state"
    readable = ACL(Permissions.READ, Id("world", "anyone"))
    group.client.set_acls(state, [readable])

    answer = operator.act(group.lock, "pause")

    assert answer.status == 502
    assert f"{state}: " in answer.text
    assert record(group).paused is None


def test_an_action_on_no_group_is_refused(operator: Browser) -> None:
    """The form of a group that does not exist is an error, and so is an unknown action."""
    assert operator.get("/groups/none-such/pause").status == 404
    assert operator.get("/groups/none-such/explode").status == 303
    assert operator.post("/groups/none-such/explode", {}).status == 405


def test_links_to_actions_are_for_operators(
    server: WebServer, operator: Browser, group: GroupZnodes
) -> None:
    """The page of a group leads to the forms, and has none itself but the logout."""
    group.show("m1")
    until(lambda: server.browser().get(f"/groups/{group.lock}").status == 200, "it is there")

    assert f'href="/groups/{group.lock}/pause"' in operator.get(f"/groups/{group.lock}").text
    assert "<form" not in server.browser().get(f"/groups/{group.lock}").text
