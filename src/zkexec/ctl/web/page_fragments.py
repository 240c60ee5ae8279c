"""The parts of the pages: what of a view goes into which template.

A part is an element with an ID.  Browsers that are connected get the parts that have changed, so
no part contains what changes by itself, as an age does: it has the time, and the browser writes
the age.  The squares of a large group are sent once, and then only their letters.
"""

from collections.abc import Mapping

from zkexec.ctl.web.cluster_views import Fragment, Fragments, GroupView, OverviewView, View
from zkexec.ctl.web.group_page import GroupPage
from zkexec.ctl.web.overview_page import OverviewPage
from zkexec.ctl.web.page_templates import PageTemplates
from zkexec.digest import sha256

_GROUP_PARTS = (
    *("banner", "summary", "next", "actions", "zones", "squares", "marks", "members"),
    *("timeline", "history", "audit"),
)
"""The parts of a group's page: the names of their templates, and the IDs of their elements."""


def fragments_of(view: View, templates: PageTemplates) -> Fragments:
    """Return the parts of the page that shows a view."""
    if isinstance(view, OverviewView):
        return _overview(view, templates)
    return _group(view, templates)


def _overview(view: OverviewView, templates: PageTemplates) -> Fragments:
    page = None if view.summaries is None else OverviewPage(view, view.summaries)
    parts = {
        name: templates.render(f"parts/{name}.html", view=view, page=page)
        for name in ("banner", "groups")
    }
    return _keyed(parts, {})


def _group(view: GroupView, templates: PageTemplates) -> Fragments:
    page = None if view.status is None else GroupPage(view, view.status)
    parts = {
        name: templates.render(f"parts/{name}.html", view=view, page=page) for name in _GROUP_PARTS
    }
    if page is None or page.shows_tiles:
        return _keyed(parts, {})
    # The squares stay the same until a member comes or goes; `marks` brings their letters.
    order = "\0".join(name for zone in page.zones for name in (zone.name, *zone.member_names))
    return _keyed(parts, {"squares": sha256(order.encode(errors="surrogatepass")).hexdigest()})


def _keyed(parts: Mapping[str, str], keys: Mapping[str, str]) -> Fragments:
    return {name: Fragment(html, keys.get(name, html)) for name, html in parts.items()}
