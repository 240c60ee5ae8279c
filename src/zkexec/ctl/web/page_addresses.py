"""The addresses of pages: how the name of a group is written in a URL, and read from it.

A name is one segment of a path, with everything quoted that is not a letter, a digit or one of
`-._~`.  So a slash is `%2F`.  A name that ends with `.json` has its last dot quoted, because the
ending means the status as JSON.  What a person types with bare slashes leads to the right address.

The file is short because it is what templates, routes and tests share.
"""

from urllib.parse import quote, unquote_to_bytes

from zkexec.frozen import frozen

ACTIONS = ("pause", "resume", "approve", "retry", "restart", "forget")
"""What an operator can do, in the order in which it is offered."""

GROUPS = "/groups/"
_JSON = ".json"


@frozen()
class GroupAddress:
    """What an address below /groups/ names; `is_canonical` if it is written as zkexec writes it."""

    name: str
    action: str = ""
    is_json: bool = False
    is_canonical: bool = True


def group_url(name: str) -> str:
    """Return the address of the page of a group."""
    quoted = quote(name.encode("utf-8", "surrogatepass"), safe="")
    if quoted.endswith(_JSON):
        quoted = quoted.removesuffix(_JSON) + "%2E" + _JSON[1:]
    return GROUPS + quoted


def json_url(name: str) -> str:
    """Return the address of its status as JSON."""
    return group_url(name) + _JSON


def action_url(name: str, action: str) -> str:
    """Return the address of the form of an action."""
    return f"{group_url(name)}/{action}"


def events_url(name: str | None, fingerprint: str) -> str:
    """Return the address of the changes of a page that shows these fragments."""
    group = (
        "" if name is None else f"group={quote(name.encode('utf-8', 'surrogatepass'), safe='')}&"
    )
    return f"/events?{group}shown={fingerprint}"


def read_group_address(raw_path: bytes) -> GroupAddress | None:
    """Read the path of a request as it was sent; None if it names no group."""
    segments = raw_path.decode("ascii", "replace").removeprefix(GROUPS).split("/")
    action = segments[-1] if len(segments) > 1 and segments[-1] in ACTIONS else ""
    if action:
        segments.pop()
    rest = "/".join(segments)
    is_json = not action and rest.endswith(_JSON)
    try:
        name = unquote_to_bytes(rest.removesuffix(_JSON) if is_json else rest).decode()
    except UnicodeDecodeError:
        return None
    if not name:
        return None
    return GroupAddress(name, action, is_json, len(segments) == 1)


def url_of(address: GroupAddress) -> str:
    """Return the address as zkexec writes it."""
    if address.action:
        return action_url(address.name, address.action)
    return json_url(address.name) if address.is_json else group_url(address.name)
