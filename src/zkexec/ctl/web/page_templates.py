"""The templates and the static files of the pages, loaded once from the package.

A static file has its digest in its address, so that browsers may keep it for ever.
"""

from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import quote

from jinja2 import DictLoader, Environment, StrictUndefined

from zkexec.ctl.web import page_elements
from zkexec.ctl.web.group_page import members_found
from zkexec.ctl.web.page_addresses import action_url, group_url
from zkexec.ctl.web.page_marks import MARK_WORDS, TONES
from zkexec.digest import sha256
from zkexec.frozen import frozen

STATIC = "/static/"

_FOLDER = "zkexec.ctl.web"
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
}
"""The kinds of static files; others are not served."""


@frozen(hidden=("content",))
class StaticFile:
    """A file that browsers get as it is."""

    content: bytes
    media_type: str


class PageTemplates:
    """The templates, with what is the same on all pages."""

    def __init__(self, hosts: str, *, has_actions: bool) -> None:
        """`hosts` is the cluster as the operator has written it."""
        self._environment = Environment(
            loader=DictLoader(_texts_in(files(_FOLDER) / "templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=page_elements.harmless,
        )
        self._environment.globals.update(
            cluster=hosts,
            has_actions=has_actions,
            static=self._static_url,
            group_url=group_url,
            action_url=action_url,
        )
        self._environment.globals.update(
            members_found=members_found,
            letters=page_elements.letters,
            mark_words=MARK_WORDS,
            squares=page_elements.squares,
            tones=TONES,
        )
        self._environment.filters.update(
            clock=page_elements.clock_element,
            exact=page_elements.exact,
            moment=page_elements.age_element,
            quoted=page_elements.quoted,
            size=page_elements.size_text,
        )

    def render(self, template: str, **context: object) -> str:
        """Return the text of a template."""
        return self._environment.get_template(template).render(context)

    @cached_property
    def static_files(self) -> dict[str, StaticFile]:
        """The static files, by the paths of their addresses."""
        found = {}
        for path in sorted((files(_FOLDER) / "static").iterdir(), key=lambda one: one.name):
            stem, _, suffix = path.name.rpartition(".")
            if suffix in _MEDIA_TYPES:
                content = path.read_bytes()
                digest = sha256(content).hexdigest()[:12]
                found[f"{STATIC}{quote(stem)}.{digest}.{suffix}"] = StaticFile(
                    content, _MEDIA_TYPES[suffix]
                )
        return found

    @cached_property
    def _static_urls(self) -> dict[str, str]:
        """The addresses of the static files, by their names."""
        parts = [(url, *url.removeprefix(STATIC).rsplit(".", 2)) for url in self.static_files]
        return {f"{stem}.{suffix}": url for url, stem, _, suffix in parts}

    def _static_url(self, name: str) -> str:
        return self._static_urls[name]


def _texts_in(folder: Traversable, prefix: str = "") -> dict[str, str]:
    """Read the templates in a folder and below, by their names."""
    texts = {}
    for path in folder.iterdir():
        if path.is_dir():
            texts.update(_texts_in(path, f"{prefix}{path.name}/"))
        elif path.name.endswith(".html"):
            texts[prefix + path.name] = path.read_text(encoding="utf-8")
    return texts
