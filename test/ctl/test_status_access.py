"""Groups that do not exist, or that may not be read: they are named, and not left out."""

import re

from kazoo.security import make_digest_acl

from support.group_samples import GroupZnodes, parsed
from support.sandbox import Sandbox
from support.zkexecctl import ZKEXECCTL


def status(sandbox: Sandbox, *words: str) -> tuple[int, str, str]:
    """Run `zkexecctl status` to its end: exit status, stdout, stderr."""
    code, out, err = sandbox.run(*ZKEXECCTL, "status", *words)
    return code, out.decode(), err.decode()


def test_there_has_to_be_a_group(sandbox: Sandbox) -> None:
    """1 if there is none of this name, with the znode that does not exist."""
    code, out, err = status(sandbox, "no-such-group")

    assert (code, out) == (1, "")
    assert err == "zkexecctl: no-such-group: no such group (/zkexec/no-such-group does not exist)\n"


def test_there_has_to_be_permission(group: GroupZnodes, sandbox: Sandbox) -> None:
    """125, with the znode, if the record may not be read; the list shows the others."""
    group.client.set_acls(f"{group.base}/state", [make_digest_acl("anna", "secret", all=True)])

    code, _, err = status(sandbox, group.lock)
    listed, out, _ = status(sandbox)

    error = f"{group.base}/state: the cluster gives no permission for this"
    assert (code, err) == (125, f"zkexecctl: {error}\n")
    assert listed == 0
    assert re.search(rf"^{group.lock} +unreadable .*{error}", out, re.MULTILINE)


def test_a_group_of_which_nothing_may_be_read_is_listed(
    group: GroupZnodes, sandbox: Sandbox
) -> None:
    """If its own znode may not be read either, the list names it, instead of leaving it out."""
    anna = [make_digest_acl("anna", "secret", all=True)]
    group.show("m1")
    assert re.search(rf"^{group.lock} +complete ", status(sandbox)[1], re.MULTILINE)
    try:
        for path in (f"{group.base}/state", group.base):
            group.client.set_acls(path, anna)
        listed, out, _ = status(sandbox)
        _, as_json, _ = status(sandbox, "--json")
    finally:
        group.client.add_auth("digest", "anna:secret")

    assert listed == 0
    assert re.search(rf"^{group.lock} +unreadable .*{group.base}", out, re.MULTILINE)
    (found,) = [one for one in parsed(as_json)["groups"] if one["name"] == group.lock]
    assert (found["state"], group.base in found["error"]) == ("unreadable", True)
