"""A real Chromium that shows the pages of `zkexecctl web` to a test.

- One browser serves all tests of a module, since its start takes seconds.
- From the first script on, each page notes what it violates: its content security policy, and
  errors.  `complaints` returns these and the messages of the console, and forgets them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from support.waiting import until

_ROOT = Path(__file__).resolve().parent.parent.parent
_AXE = ".axe/axe-*.min.js"
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
)
_NOTE_COMPLAINTS = """
window.complaints = [];
addEventListener("securitypolicyviolation",
    (event) => complaints.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
addEventListener("error", (event) => complaints.push(`error: ${event.message}`));
addEventListener("unhandledrejection", (event) => complaints.push(`rejection: ${event.reason}`));
"""
_AXE_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


class PageBrowser:
    """One window."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self.driver.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": _NOTE_COMPLAINTS}
        )

    def open(self, url: str) -> None:
        """Load a page."""
        self.driver.get(url)

    def draw(self, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Set the size of the window, and the colours: `light` or `dark`."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )

    @contextmanager
    def without_scripts(self) -> Iterator[None]:
        """Let pages that are loaded meanwhile run no script of their own."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

    def find(self, selector: str) -> WebElement:
        """Return the first element that matches."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements that match."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "body") -> str:
        """Return the visible text of an element, read at once; "" if there is none."""
        found = self.run(
            "const one = document.querySelector(arguments[0]); return one ? one.innerText : ''",
            selector,
        )
        return str(found)

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script in the page, and return its result."""
        return self.driver.execute_script(script, *arguments)

    def until_text(self, text: str, selector: str = "body") -> None:
        """Wait until an element shows a text."""
        self.until(lambda: text in self.text(selector), f"{selector} shows {text!r}")

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition is met; the error shows the page."""
        until(condition, lambda: f"{what}\n{self.text()}")

    def until_live(self) -> None:
        """Wait until the page is connected to its server."""
        self.until(lambda: self.find("#live").is_displayed(), "the page is live")

    def press(self, *keys: str) -> None:
        """Type into whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self) -> str:
        """Return what has the focus: its tag, and its text or its ID."""
        found = self.run(
            "const one = document.activeElement;"
            "return `${one.tagName.toLowerCase()} ${one.id || one.textContent.trim()}`"
        )
        return str(found)

    def is_too_wide(self) -> bool:
        """Whether the page can be scrolled to the side."""
        return bool(
            self.run("const page = document.documentElement; return page.scrollWidth > innerWidth")
        )

    def complaints(self) -> list[str]:
        """Return what the pages complained of since the last time."""
        own = self.run("return (window.complaints || []).splice(0)")
        logged = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [*own, *(entry["message"] for entry in logged)]

    def axe_findings(self) -> list[str]:
        """Return what axe-core finds on the page: the rule, and the elements."""
        found = sorted(_ROOT.glob(_AXE))
        assert found, f"{_AXE} is missing: run `make setup`"
        self.run(found[-1].read_text(encoding="utf-8"))
        results = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {runOnly: arguments[0], resultTypes: ['violations']})"
            ".then((results) => done(results.violations), (error) => done([{id: `${error}`}]))",
            list(_AXE_RULES),
        )
        return [
            f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for one in results
            for node in one.get("nodes", [{"html": ""}])
        ]

    def picture(self, path: Path) -> None:
        """Save what the window shows."""
        self.driver.save_screenshot(str(path))


@contextmanager
def page_browser(folder: Path) -> Iterator[PageBrowser]:
    """Run a browser with a profile of its own in a folder."""
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for option in (*_OPTIONS, f"--user-data-dir={folder}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield PageBrowser(driver)
    finally:
        driver.quit()


TAB = Keys.TAB
ENTER = Keys.ENTER
RIGHT, LEFT, UP, DOWN = Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.ARROW_DOWN
HOME, END = Keys.HOME, Keys.END
