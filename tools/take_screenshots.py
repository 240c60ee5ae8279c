"""The pictures of the web page, taken in a real rollout: `make screenshots`.

    tools/take_screenshots.py FOLDER

A picture is what Chromium shows, unretouched.  It is taken when the page shows what the picture is
for, never because some time has passed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo import FLEET, Signals, running_fleet
from support.page_browser import PageBrowser, page_browser
from support.served_pages import ServedPages
from support.web_server import TOKEN, token_file

_MEMBERS = 5
_OTHERS = {"api": 12, "search": 3}
"""Groups beside that of the fleet, whose members run a command that only waits."""
_WIDE, _NARROW = (1280, 860), (360, 760)
_MOST_BYTES = 150_000
_ROOT = FLEET.parent.parent
_PUSH = "examples/fleet"


class PageStudio:
    """A running fleet, a browser, and the folder for the pictures."""

    def __init__(self, pictures: Path, cluster: str, browser: PageBrowser) -> None:
        self.browser = browser
        self._pictures = pictures
        self._environment = {
            **os.environ,
            "ZKEXEC_CLUSTER": cluster,
            "ZKEXEC_BY": "alice@ops1",
            "TZ": "UTC",
        }

    def zkexecctl(self, *words: str) -> None:
        """Run zkexecctl as an operator would; its exit status is that of a rollout."""
        subprocess.run(
            ["zkexecctl", *words],
            cwd=_ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )

    @contextmanager
    def pushing(self, file: str, message: str) -> Iterator[None]:
        """Push a configuration meanwhile, and wait for its rollout at the end."""
        words = ("push", f"/web/app.conf={_PUSH}/{file}", "-m", message, "--yes")
        self.zkexecctl(*words)
        yield
        self.zkexecctl("wait", "web", "--timeout", "120")

    def take(self, name: str, *, size: tuple[int, int], scheme: str) -> None:
        """Save what the browser shows now."""
        self.browser.draw(width=size[0], height=size[1], scheme=scheme)
        self.browser.run("scrollTo(0, 0)")
        path = self._pictures / f"web-{name}.png"
        self.browser.picture(path)
        length = path.stat().st_size
        print(f"{path.name}: {length // 1000} kB")
        if length > _MOST_BYTES:
            raise ValueError(f"{path.name} is larger than {_MOST_BYTES // 1000} kB")


def main(folder: str) -> None:
    """Take all pictures into this folder."""
    pictures = Path(folder)
    pictures.mkdir(parents=True, exist_ok=True)
    # The zkexec of this environment comes first.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    with ExitStack() as to_stop:
        scratch = Path(to_stop.enter_context(tempfile.TemporaryDirectory()))
        cluster = to_stop.enter_context(running_fleet(Signals(), "", _MEMBERS))
        to_stop.enter_context(other_members(cluster, scratch))
        served = to_stop.enter_context(
            ServedPages(cluster, f"--token={token_file(scratch)}", "--actions")
        )
        browser = to_stop.enter_context(page_browser(scratch / "profile"))
        studio = PageStudio(pictures, cluster, browser)
        log_in(browser, served)
        follow_good_push(studio, served)
        follow_bad_push(studio, served)


def log_in(browser: PageBrowser, served: ServedPages) -> None:
    """Log in, so that the pictures have the buttons of an operator."""
    browser.open(f"{served.url}login?next=%2F")
    browser.find("#token").send_keys(TOKEN)
    browser.find(".sheet button").click()
    browser.until_text("Groups", "h1")


def follow_good_push(studio: PageStudio, served: ServedPages) -> None:
    """Push, and take pictures in the middle of the rollout."""
    browser = studio.browser
    browser.open(served.group("web"))
    browser.until_text(f"{_MEMBERS} of {_MEMBERS}", "#summary")
    browser.until_live()
    with studio.pushing("app-v2.conf", "more cache"):
        browser.until_text(f"2 of {_MEMBERS}", "#summary")
        browser.until_text("in its turn", "#zones")
        studio.take("rollout-light", size=_WIDE, scheme="light")
        studio.take("rollout-dark", size=_WIDE, scheme="dark")
        studio.take("rollout-narrow", size=_NARROW, scheme="light")


def follow_bad_push(studio: PageStudio, served: ServedPages) -> None:
    """Push what fails on the first member, show it on both pages, and undo it."""
    browser = studio.browser
    studio.zkexecctl("pause", "search", "--reason", "the index moves")
    with studio.pushing("app-bad.conf", "more workers"):
        browser.until_text("What to do next", "#next")
        studio.take("failed-light", size=_WIDE, scheme="light")
        studio.take("failed-dark", size=_WIDE, scheme="dark")
        studio.take("failed-narrow", size=_NARROW, scheme="dark")
        browser.open(served.url)
        browser.until_text("failed", "#groups")
        browser.until_live()
        studio.take("groups-light", size=_WIDE, scheme="light")
        studio.take("groups-dark", size=_WIDE, scheme="dark")
        studio.take("groups-narrow", size=_NARROW, scheme="light")
    studio.zkexecctl("undo", "/web/app.conf", "--yes", "--lock", "web", "--wait")


@contextmanager
def other_members(cluster: str, folder: Path) -> Iterator[None]:
    """Run the members of the other groups."""
    with ExitStack() as to_stop:
        for group, count in _OTHERS.items():
            for number in range(1, count + 1):
                name = f"{group}-{number}"
                member = subprocess.Popen(
                    [
                        *("zkexec", "--silent", f"--cluster={cluster}", f"--lock={group}"),
                        *(f"--member-id={name}", f"--mirror={folder}/{name}=/web/app.conf"),
                        *("--", "sleep", "infinity"),
                    ],
                    stdin=subprocess.DEVNULL,
                )
                to_stop.callback(member.wait)
                to_stop.callback(member.terminate)
        yield


if __name__ == "__main__":
    main(*sys.argv[1:])
