"""`zkexecctl web`: the pages, the JSON and the changes that browsers get, on a real server.

The groups are written by hand, so that each moment of a rollout can be shown.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.group_samples import NEW, GroupZnodes
from support.program import Program
from support.waiting import until
from support.web_server import Browser, WebServer, words
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server
from zkexec.core.rollout.record import Pause, RolloutRecord
from zkexec.ctl.web.page_addresses import group_url


@pytest.fixture(scope="module")
def server(zookeeper: Server) -> Iterator[WebServer]:
    """A server of this module, read-only."""
    with Program(*words("web", zookeeper.hosts)) as program:
        one = WebServer(program)
        one.until_connected()
        yield one


@pytest.fixture
def browser(server: WebServer) -> Browser:
    """A browser."""
    return server.browser()


def test_all_groups_are_on_the_first_page(browser: Browser, group: GroupZnodes) -> None:
    """The first page has each group, with a link to its own page."""
    group.show("m1")

    assert browser.get("/").status == 200
    until(lambda: f'href="/groups/{group.lock}"' in browser.get("/").text, "the group is there")


def test_a_group_has_a_page_and_its_status_as_json(browser: Browser, group: GroupZnodes) -> None:
    """The page of a group shows its members, and .json is what `status --json` prints."""
    group.show("m1")
    group.show("m2")

    page, found = browser.get(f"/groups/{group.lock}"), browser.get(f"/groups/{group.lock}.json")

    assert page.status == found.status == 200
    assert "m1" in page.text
    assert found.headers["content-type"] == "application/json"
    assert [one["name"] for one in found.json["groups"][0]["members"]] == ["m1", "m2"]
    assert found.json["disconnected_since"] is None


def test_a_group_that_does_not_exist_is_not_found(browser: Browser) -> None:
    """The page, the JSON and the changes of no group are an error, and no watch is kept."""
    for path in ("/groups/none-such", "/groups/none-such.json", "/events?group=none-such"):
        assert browser.get(path).status == 404
    assert browser.get("/no-such-page").status == 404
    assert browser.get("/groups/").status == 404
    assert browser.get("/groups/%FF").status == 404


@pytest.mark.parametrize("name", ["a b", "a/b", "a.json", "<b>&\"'", "ä-\u202e", "100%2F"])
def test_names_are_quoted(browser: Browser, client: KazooClient, root: str, name: str) -> None:
    """A group has a page, whatever its name is, and the name is never HTML."""
    lock = f"{root[1:]}/{name}"
    GroupZnodes(client, lock, f"{root}/mirrored").show("m1")

    page = browser.get(group_url(lock))

    assert page.status == 200
    assert browser.get(group_url(lock) + ".json").json["groups"][0]["name"] == lock
    until(lambda: group_url(lock) in browser.get("/").text, "the group is in the list")
    assert "<b>&" not in page.text
    assert "\u202e" not in page.text


def test_bare_slashes_lead_to_the_address(browser: Browser, client: KazooClient, root: str) -> None:
    """An address that a person has typed with slashes leads to the right one."""
    lock = f"{root[1:]}/deep"
    GroupZnodes(client, lock, f"{root}/mirrored")

    answer = browser.get(f"/groups/{lock}")

    assert answer.status == 303
    assert answer.headers["location"] == group_url(lock)
    assert browser.get(answer.headers["location"]).status == 200


def test_changes_are_sent_as_they_come(browser: Browser, group: GroupZnodes) -> None:
    """An open page gets the parts that have changed, and only these."""
    group.show("m1")
    with browser.events(f"/events?group={group.lock}") as events:
        name, first = events.next()
        assert name == "fragments"
        assert "banner" in first
        shown = events.fingerprint

        group.show("m2")
        second = events.until("m2")

        assert "banner" not in second
        assert events.fingerprint != shown


def test_a_page_that_shows_the_present_gets_nothing(browser: Browser, group: GroupZnodes) -> None:
    """A browser that names what it shows gets only what comes later, also after a reconnect."""
    group.show("m1")
    with browser.events(f"/events?group={group.lock}") as events:
        events.until("m1")
        shown = events.fingerprint
    with browser.events(f"/events?group={group.lock}", Last_Event_ID=shown) as events:
        group.show("m2")

        assert "m2" in str(events.next())


def test_the_list_of_groups_changes(browser: Browser, client: KazooClient, root: str) -> None:
    """The first page gets a group that is new, and one that is paused."""
    with browser.events("/events") as events:
        events.next()
        group = GroupZnodes(client, f"group-{root[-12:]}", f"{root}/mirrored")
        group.show("m1")
        events.until(group.lock)

        group.decide(RolloutRecord(paused=Pause("anna", "the night")))

        events.until("paused")


def test_a_group_that_is_removed_is_gone(browser: Browser, group: GroupZnodes) -> None:
    """An open page survives the end of its group."""
    group.show("m1")
    with browser.events(f"/events?group={group.lock}") as events:
        events.until("m1")
        group.remove()

        events.until("no such group")
    until(lambda: browser.get(f"/groups/{group.lock}").status == 404, "it is not found any more")


def test_contents_are_never_shown(
    browser: Browser, zookeeper: Server, client: KazooClient, root: str, tmp_path: Path
) -> None:
    """Who pushed what and why is on the page and the content is not."""
    group = GroupZnodes(client, f"group-{root[-12:]}", f"{root}/mirrored")
    ctl = Zkexecctl(zookeeper.hosts, tmp_path)
    ctl.push(group.path, b"the-secret-content", "--by=anna", "--message=more cache")
    group.zxid = client.exists(group.path).mzxid
    group.show("m1", NEW)

    page = browser.get(f"/groups/{group.lock}")

    assert "m1" in page.text
    assert "the-secret-content" not in page.text + browser.get(f"/groups/{group.lock}.json").text


def test_static_files_are_kept_for_ever(browser: Browser) -> None:
    """The address of a style changes with its content, so browsers need not ask again."""
    found = re.search(r'href="(/static/page\.[0-9a-f]+\.css)"', browser.get("/").text)
    assert found is not None
    style = browser.get(found[1])

    assert style.status == 200
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
    for path in ("/static/../base.html", "/static/%2e%2e/web.py", "/static/page.css"):
        assert browser.get(path).status == 404


def test_pages_work_without_scripts(browser: Browser, group: GroupZnodes) -> None:
    """A browser without JavaScript loads the page again by itself."""
    for path in ("/", f"/groups/{group.lock}"):
        assert '<noscript><meta http-equiv="refresh"' in browser.get(path).text


def test_a_head_request_has_no_content(browser: Browser, group: GroupZnodes) -> None:
    """HEAD is answered as GET, also for the changes, which would have no end."""
    for path in ("/", f"/groups/{group.lock}", "/events", "/metrics", "/-/healthy"):
        answer = browser.request("HEAD", path, None, {})
        assert (answer.status, answer.content) == (200, b"")


def test_the_json_is_made_once(browser: Browser, group: GroupZnodes) -> None:
    """While a page is open, all get the same bytes until something changes."""
    group.show("m1")
    with browser.events(f"/events?group={group.lock}") as events:
        events.until("m1")
        group.show("m2")
        events.until("m2")
        first = browser.get(f"/groups/{group.lock}.json").content

        assert json.loads(first)["groups"][0]["total"] == 2
        assert browser.get(f"/groups/{group.lock}.json").content == first
