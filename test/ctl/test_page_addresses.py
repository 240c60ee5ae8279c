"""The addresses of groups: each name has one, and is read from it again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkexec.ctl.web.page_addresses import (
    ACTIONS,
    GroupAddress,
    action_url,
    events_url,
    group_url,
    json_url,
    read_group_address,
    url_of,
)

NAMES = st.text(st.characters(codec="utf-8"), min_size=1)


@given(NAMES)
def test_a_name_is_read_from_its_address(name: str) -> None:
    """Whatever a group is called, its page and its JSON have addresses of one segment."""
    page, found = group_url(name), json_url(name)

    assert page.isascii()
    assert page.count("/") == 2
    assert read_group_address(page.encode()) == GroupAddress(name)
    assert read_group_address(found.encode()) == GroupAddress(name, is_json=True)


@given(NAMES, st.sampled_from(ACTIONS))
def test_an_action_is_read_from_its_address(name: str, action: str) -> None:
    """An action is a segment of its own, also of a group that is called like one."""
    address = read_group_address(action_url(name, action).encode())

    assert address == GroupAddress(name, action)
    assert url_of(address) == action_url(name, action)


@pytest.mark.parametrize(
    ("typed", "name", "right"),
    [
        (b"/groups/a/b", "a/b", "/groups/a%2Fb"),
        (b"/groups//own/web", "/own/web", "/groups/%2Fown%2Fweb"),
        (b"/groups/a/b.json", "a/b", "/groups/a%2Fb.json"),
        (b"/groups/a/b/pause", "a/b", "/groups/a%2Fb/pause"),
    ],
)
def test_what_a_person_types_is_understood(typed: bytes, name: str, right: str) -> None:
    """Bare slashes are part of the name, and the right address is known."""
    address = read_group_address(typed)

    assert address is not None
    assert address.name == name
    assert not address.is_canonical or typed.decode() == url_of(address)
    assert url_of(address) == right


def test_what_names_no_group() -> None:
    """An empty name, and bytes that are no text, are no address."""
    for path in (b"/groups/", b"/groups/.json", b"/groups/%FF", b"/groups/%ED%A0%80"):
        assert read_group_address(path) is None


def test_the_address_of_changes_names_the_group() -> None:
    """A name cannot add a parameter of its own."""
    assert events_url(None, "f") == "/events?shown=f"
    assert events_url("a&shown=x", "f") == "/events?group=a%26shown%3Dx&shown=f"
