"""The pages of `zkexecctl web` in a real Chromium, on groups whose znodes the tests write.

After each test no page has complained: no violation of the content security policy, no error and
nothing on the console.
"""

import http.server
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.group_samples import NEW, GroupZnodes
from support.page_browser import DOWN, END, ENTER, HOME, RIGHT, TAB, PageBrowser, page_browser
from support.served_pages import ServedPages
from support.web_server import TOKEN, token_file
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.version_state import VersionState

WIDTHS = (360, 700, 1080, 1600)
CUT_COMMANDS = (
    "[...document.querySelectorAll('.command code')]"
    ".filter((one) => one.scrollWidth > one.clientWidth).length"
)
HOSTILE = (
    "<script>complaints.push('run')</script>",
    "\"><img src=x onerror=complaints.push('run')>",
    "'; rm -rf ~; '",
    "\u202egnp.exe",
    "x" * 255,
)


@pytest.fixture(scope="module")
def chrooted(zookeeper: Server) -> Iterator[KazooClient]:
    """A client in a chroot of this module, so that the page of all groups has only its groups."""
    path = "/test-web-pages"
    client = KazooClient(hosts=zookeeper.hosts, timeout=30.0)
    client.start(timeout=30.0)
    client.create(path)
    client.chroot = path
    client.create("/app")
    yield client
    client.stop()
    client.close()


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBrowser]:
    """One browser for all tests of this module."""
    with page_browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def browser(chrome: PageBrowser) -> Iterator[PageBrowser]:
    """The browser, whose pages have no reason to complain."""
    chrome.draw()
    chrome.driver.delete_all_cookies()
    yield chrome
    assert chrome.complaints() == []


@pytest.fixture(scope="module")
def served(chrooted: KazooClient, zookeeper: Server) -> Iterator[ServedPages]:
    """The pages as they are by default, in which nothing can be changed."""
    with ServedPages(f"{zookeeper.hosts}{chrooted.chroot}") as one:
        yield one


@pytest.fixture(scope="module")
def steered(
    chrooted: KazooClient, zookeeper: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedPages]:
    """The pages with actions, for those who log in."""
    token = f"--token={token_file(tmp_path_factory.mktemp('token'))}"
    with ServedPages(f"{zookeeper.hosts}{chrooted.chroot}", token, "--actions") as one:
        yield one


@contextmanager
def written_group(client: KazooClient, name: str, count: int = 0) -> Iterator[GroupZnodes]:
    """A group with this many members that are up to date."""
    path = f"/app/{name.encode().hex()[:60]}"
    group = GroupZnodes(client, name, path)
    for number in range(count):
        group.show(f"m{number}")
    try:
        yield group
    finally:
        group.remove()
        client.delete(path)


def fail(group: GroupZnodes, name: str, reason: str, waiting: Iterable[str] = ()) -> None:
    """Let a member have failed on the newest version, for which others wait."""
    state = VersionState(group.zxid, "", failed_by=(name,), reason=reason, step="health")
    turn = InFlightEntry("token", NEW, group.zxid, EntryPhase.FAILED)
    for other in waiting:
        group.show(other, phase="waiting", wanted=NEW)
    group.show(name, wanted=NEW, phase="failed", step="health", health="unhealthy", reason=reason)
    group.decide(RolloutRecord(versions={NEW: state}, in_flight={name: turn}))


def log_in(browser: PageBrowser, served: ServedPages) -> None:
    """Log in as an operator would."""
    browser.open(f"{served.url}login?next=%2F")
    browser.press(TOKEN, ENTER)
    browser.until_text("Groups", "h1")


def test_a_change_appears_by_itself(
    browser: PageBrowser, served: ServedPages, chrooted: KazooClient
) -> None:
    """A member that fails is shown and announced without a new load of the page."""
    with written_group(chrooted, "live", 3) as group:
        browser.open(served.group("live"))
        browser.until_live()
        assert "3 of 3" in browser.text("#summary")
        fail(group, "m1", "no licence", ("m0", "m2"))
        browser.until_text("retry live", "#next")
        assert "no licence" in browser.text("#next")
        browser.until_text("live: failed", "#announcements")
        assert browser.driver.title.startswith("failed")


def test_the_last_push_is_in_the_list_of_groups(
    browser: PageBrowser,
    served: ServedPages,
    chrooted: KazooClient,
    zookeeper: Server,
    tmp_path: Path,
) -> None:
    """The page of all groups names the push behind the newest version of a group, by itself."""
    with written_group(chrooted, "pushed", 1) as group:
        browser.open(served.url)
        browser.until_live()
        zkexecctl = Zkexecctl(f"{zookeeper.hosts}{chrooted.chroot}", tmp_path, "--by=alice")
        zkexecctl.push(group.path, b"new", "--message=more cache")
        newest = VersionState(chrooted.exists(group.path).mzxid, "", known_good=True)
        group.decide(RolloutRecord(versions={NEW: newest}))
        browser.until_text(f"{group.path}@2 by alice", "#groups")
        browser.until_text("more cache", "#groups")


def test_an_update_leaves_the_reader_alone(
    browser: PageBrowser, served: ServedPages, chrooted: KazooClient
) -> None:
    """The focus, what was opened and the position on the page survive an update."""
    with written_group(chrooted, "calm", 12) as group:
        fail(group, "m1", "first reason", (f"m{number}" for number in range(2, 12)))
        browser.open(served.group("calm"))
        browser.until_live()
        browser.find("#all-members summary").click()
        browser.run("document.querySelector('.copy').focus(); scrollTo(0, 300)")
        place = "return document.getElementById('members-title').getBoundingClientRect().top"
        focused, top = browser.focused(), browser.run(place)
        group.show("m2", phase="blocked", step="stage", reason="no space left")
        browser.until_text("no space left", "#members")
        assert browser.focused() == focused
        assert abs(browser.run(place) - top) < 2
        assert browser.run("return document.getElementById('all-members').open")


def test_hostile_names_are_only_texts(
    browser: PageBrowser, served: ServedPages, chrooted: KazooClient
) -> None:
    """Names and texts from znodes run nothing, hide nothing, and do not widen the page."""
    with written_group(chrooted, HOSTILE[1]) as group:
        for name in HOSTILE:
            group.show(name.replace("/", "_"), reason=f"{name}\nline two", phase="blocked")
        fail(group, HOSTILE[2], f"{HOSTILE[0]}\n{HOSTILE[3]}")
        for address in (served.url, served.group(HOSTILE[1])):
            browser.draw(width=360)
            browser.open(address)
            browser.until_live()
            assert not browser.is_too_wide()
            assert browser.run("return document.images.length") == 0
            assert HOSTILE[1] in browser.text("main")
            assert "\u202e" not in browser.run("return document.body.textContent")
        text = browser.text()
        assert HOSTILE[0].replace("/", "_") in text
        assert "\\u202egnp.exe" in text
        assert "\\nline two" in text
        browser.until(lambda: HOSTILE[1] in browser.driver.title, "the name is in the title")


def test_squares_change_without_a_new_grid(
    browser: PageBrowser, served: ServedPages, chrooted: KazooClient
) -> None:
    """In a large group only the squares of members that have changed are touched."""
    with written_group(chrooted, "large", 150) as group:
        browser.open(served.group("large"))
        browser.until_live()
        squares = browser.all(".squares > li")
        assert len(squares) == 150
        browser.run("for (const one of document.querySelectorAll('.squares > li')) one.own = 1")
        fail(group, "m7", "no licence")
        browser.until(lambda: browser.all(".squares > .f"), "a square has the mark of a failure")
        assert browser.find(".squares > .f").accessible_name == "m7: failed"
        assert browser.run("return document.querySelectorAll('.squares > .u').length") == 149
        own = "return [...document.querySelectorAll('.squares > li')].every((one) => one.own)"
        assert browser.run(own)


def test_the_keyboard_is_enough(
    browser: PageBrowser, served: ServedPages, chrooted: KazooClient
) -> None:
    """The content, a square among many and the details of its member are reached by keys."""
    with written_group(chrooted, "keys", 150):
        browser.open(served.url)
        browser.until_text("keys", "#groups")
        browser.press(TAB)
        assert browser.focused() == "a Skip to the content"
        browser.press(ENTER, TAB)
        assert browser.focused() == "a keys"
        browser.press(ENTER)
        browser.until_text("Members", "#members-title")
        browser.until(lambda: browser.all("[role=listbox]"), "the grid is ready")
        pressed = 0
        while "ul " not in browser.focused():
            browser.press(TAB)
            pressed += 1
        assert pressed < 8
        browser.press(RIGHT, RIGHT)
        assert browser.text("#pointed") == "m2: up to date"
        browser.press(DOWN, HOME, END)
        assert browser.text("#pointed") == "m149: up to date"
        browser.press(ENTER)
        browser.until_text("host-of-m149", "#found")


def test_the_pages_work_without_scripts(
    browser: PageBrowser, served: ServedPages, chrooted: KazooClient
) -> None:
    """Without JavaScript the pages show everything, and load themselves again."""
    with written_group(chrooted, "plain", 30) as group, browser.without_scripts():
        fail(group, "m1", "no licence")
        browser.open(served.url)
        browser.find("#groups .name").click()
        browser.until_text("no licence", "#next")
        assert "refresh" in browser.driver.page_source
        browser.find("#find").send_keys("m29")
        browser.find(".find button").click()
        browser.until_text("host-of-m29", "#found")


def test_every_page_is_accessible(
    browser: PageBrowser, served: ServedPages, steered: ServedPages, chrooted: KazooClient
) -> None:
    """axe-core finds nothing on any page, light or dark, and no page is wider than its window."""
    with (
        written_group(chrooted, "small", 5) as small,
        written_group(chrooted, "big", 150) as big,
        written_group(chrooted, "nobody"),
    ):
        fail(small, "m1", "no licence", ("m0", "m2", "m3"))
        for number, phase in enumerate(("verifying", "blocked", "stopping", "waiting")):
            big.show(f"m{number}", phase=phase, health="unhealthy", reason="a reason")
        log_in(browser, steered)
        pages = (
            *(served.url, served.group("small"), f"{served.group('big')}?find=m1"),
            *(served.group("nobody"), served.group("no such group")),
            *(steered.group("small"), f"{steered.url}login"),
            *(f"{steered.group('small')}/{action}" for action in ("pause", "approve", "forget")),
        )
        for page in pages:
            for scheme in ("light", "dark"):
                browser.draw(scheme=scheme)
                browser.open(page)
                browser.until_text("zkexec")
                assert browser.axe_findings() == [], (page, scheme)
            for width in WIDTHS:
                browser.draw(width=width)
                assert not browser.is_too_wide(), (page, width)
                assert browser.run(f"return {CUT_COMMANDS}") == 0, (page, width)
    missing = [text for text in browser.complaints() if "404" not in text]
    assert missing == []


def test_an_operator_pauses_a_group(
    browser: PageBrowser,
    steered: ServedPages,
    chrooted: KazooClient,
    zookeeper: Server,
    tmp_path: Path,
) -> None:
    """An action takes a name, a reason and a confirmation, and is recorded with them."""
    with written_group(chrooted, "steered", 2):
        log_in(browser, steered)
        browser.open(steered.group("steered"))
        browser.until_live()
        browser.find("#actions a").click()
        browser.until_text("Pause steered?", "h1")
        browser.find("#by").send_keys("alice")
        browser.find("#reason").send_keys("the database moves")
        browser.press(ENTER)
        browser.until_text("paused by alice", "#next")
        zkexecctl = Zkexecctl(f"{zookeeper.hosts}{chrooted.chroot}", tmp_path)
        assert "paused by alice" in zkexecctl.does("status", "steered").out
        browser.find("#actions .first").click()
        browser.until_text("Resume steered?", "h1")


def test_a_foreign_page_steers_nothing(
    browser: PageBrowser, steered: ServedPages, chrooted: KazooClient
) -> None:
    """A form on a page of another origin is refused, although the reader is logged in."""
    with written_group(chrooted, "guarded", 2) as group:
        log_in(browser, steered)
        with foreign_page(f"{steered.group('guarded')}/pause") as address:
            browser.open(address)
            browser.find("button").click()
            browser.until_text("not one of this server")
        browser.open(steered.group("guarded"))
        browser.until_text("complete", "#summary")
        assert b'"audit":[]' in chrooted.get(f"{group.base}/state")[0]
    refused = [text for text in browser.complaints() if "403" not in text]
    assert refused == []


@contextmanager
def foreign_page(target: str) -> Iterator[str]:
    """Serve a page with a form for another server, and yield its address."""
    html = f'<title>x</title><form method=post action="{target}"><button>Win</button></form>'

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode() if self.path == "/" else b"")

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
