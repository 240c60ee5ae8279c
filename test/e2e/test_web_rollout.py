"""A rollout as an operator follows it in a browser: a good push, a bad one, an undo, and faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.group_samples import GroupZnodes
from support.page_browser import PageBrowser, page_browser
from support.sandbox import Sandbox
from support.served_pages import ServedPages
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBrowser]:
    """One browser for all tests of this module."""
    with page_browser(tmp_path_factory.mktemp("profile")) as one:
        one.draw()
        yield one


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def network_errors(chrome: PageBrowser) -> list[str]:
    """Return what the page complains of, which is only that the network failed."""
    found = chrome.complaints()
    assert all("net::ERR_" in text for text in found), found
    return found


def test_a_rollout_its_failure_and_its_undo(
    chrome: PageBrowser, fleet: Fleet, zookeeper: Server, tmp_path: Path
) -> None:
    """One page shows, without a new load, each turn, the failure with its ways out, and the end."""
    fleet.launch(3)
    zkexecctl = Zkexecctl(zookeeper.hosts, tmp_path, "--by=alice")
    znode = fleet.znodes[0]
    with ServedPages(zookeeper.hosts) as served:
        chrome.open(served.group(fleet.lock))
        chrome.until_live()
        chrome.run("window.loaded = 'once'")
        zkexecctl.push(znode, b"gated 1", "--message=more cache")
        chrome.until_text("in its turn", "#zones")
        chrome.until_text("more cache", "#summary")
        fleet.open_gate()
        fleet.at_rest("gated 1")
        chrome.until_text("complete", "#summary")
        zkexecctl.push(znode, b"exit 2", "--message=more workers")
        failed = fleet.failing("exit 2")
        chrome.until_text(f"undo {znode}", "#next")
        assert failed.name in chrome.text("#members")
        assert "failed" in chrome.text("#summary")
        zkexecctl.does("undo", znode, "--yes")
        fleet.at_rest("gated 1")
        chrome.until_text("complete", "#summary")
        assert chrome.text("#next") == ""
        assert "undo to @2" in chrome.text("#history")
        assert chrome.run("return window.loaded") == "once"
    chrome.open("about:blank")
    network_errors(chrome)


def test_a_server_that_goes_away_and_comes_back(
    chrome: PageBrowser, client: KazooClient, zookeeper: Server, root: str
) -> None:
    """A banner shows that the page is not live, and goes when it shows the present state again."""
    group = GroupZnodes(client, f"{root}/web", f"{root}/app")
    group.show("m1")
    with ServedPages(zookeeper.hosts) as served:
        chrome.open(served.group(group.lock))
        chrome.until_live()
        assert not chrome.find("#lost").is_displayed()
        served.stop()
        chrome.until(lambda: chrome.find("#lost").is_displayed(), "the banner")
        group.show("m2", phase="blocked", reason="no space left")
        served.start_again()
        chrome.until_text("no space left", "#members")
        chrome.until(lambda: not chrome.find("#lost").is_displayed(), "no banner")
        chrome.open("about:blank")
    assert network_errors(chrome)


def test_a_cluster_that_goes_away_and_comes_back(
    chrome: PageBrowser, own_zookeeper: Server
) -> None:
    """While the cluster is away the page shows the last known status, and since when."""
    client = KazooClient(hosts=own_zookeeper.hosts, timeout=30.0)
    client.start(timeout=30.0)
    client.create("/app")
    group = GroupZnodes(client, "web", "/app/first")
    group.show("m1")
    with ServedPages(own_zookeeper.hosts) as served:
        chrome.open(served.group("web"))
        chrome.until_live()
        group.show("m2")
        chrome.until_text("m2", "#zones")
        assert chrome.text("#banner") == ""
        own_zookeeper.stop()
        chrome.until_text("last known status", "#banner")
        assert not chrome.find("#live").is_displayed()
        assert "m1" in chrome.text("#zones")
        own_zookeeper.start()
        chrome.until(lambda: not chrome.text("#banner"), "no banner")
        chrome.open("about:blank")
    client.stop()
    client.close()
    assert network_errors(chrome) == []
