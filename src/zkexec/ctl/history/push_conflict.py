"""What others have done to a path between the diff that a person saw and the write.

A znode that was deleted and created again has the old versions again.  It is recognised by its
transactions.
"""

from zkexec.ctl.history.content_history import PathHistory


def conflict_of(shown: PathHistory, now: PathHistory) -> str:
    """Write what others have done to a path since it was shown; "" for nothing."""
    inside = _inside(shown, now)
    is_same = (shown.version, shown.mzxid) == (now.version, now.mzxid)
    if is_same and not inside:
        is_pushed = shown.entries != now.entries
        return f"{shown.path}: its history was changed since the diff was shown" * is_pushed
    newest = now.entries[-1] if now.entries != shown.entries and now.present else None
    who = f", by {newest.by}" if newest and newest.by else ""
    why = f": {newest.message}" if newest and newest.message else ""
    if now.content is None:
        return f"{shown.path} was deleted since the diff was shown"
    if inside:
        return f"{inside} since the diff was shown{who}{why}"
    if shown.content is not None and now.version > shown.version:
        versions = f"version {shown.version}, now {now.version}"
        return f"{shown.path} was changed since the diff was shown ({versions}{who}{why})"
    how = "created" if shown.content is None else "deleted and created again"
    return f"{shown.path} was {how} since the diff was shown{who}{why}"


def _inside(shown: PathHistory, now: PathHistory) -> str:
    """Write what was done to the first other znode below the root of a tree; "" for nothing."""
    if shown.tree is None or now.tree is None:
        return ""
    before = {path: znode.mark for path, znode in shown.tree.znodes.items() if path}
    after = {path: znode.mark for path, znode in now.tree.znodes.items() if path}
    paths = sorted(before.keys() | after.keys())
    path = next((path for path in paths if before.get(path) != after.get(path)), None)
    if path is None:
        return ""
    how = "deleted" if path not in after else "changed" if path in before else "created"
    return f"{shown.path}{path} was {how}"
