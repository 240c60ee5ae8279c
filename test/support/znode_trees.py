"""Trees of znodes and folders of files, for tests: written, read and compared as mappings."""

import sys
from collections.abc import Mapping
from pathlib import Path

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

SOLR = {
    "solrconfig.xml": b"<config>\n  <luceneMatchVersion>9.6</luceneMatchVersion>\n</config>\n",
    "managed-schema.xml": b'<schema name="books" version="1.6"/>\n',
    "stopwords.txt": b"# none\n",
    "lang/stopwords_de.txt": "über\nfür\n".encode(),
    "lang/contractions_fr.txt": b"l'\n",
    "lang/zknode.data": b"the folder itself",
    "velocity/img/logo.png": bytes(range(256)),
    "zknode.data": b'{"trusted":true}',
}
"""A config set as Solr's tools upload it, with the content of two folders."""
DEEP = sys.getrecursionlimit() + 200
"""More levels than functions can call themselves."""


def write_files(folder: Path, files: Mapping[str, bytes]) -> str:
    """Write files below a folder; return its path with a slash at its end."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return f"{folder}/"


def read_files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def znodes_below(client: KazooClient, root: str) -> dict[str, bytes]:
    """The contents of a znode, "", and of all below it; nothing if it does not exist."""
    try:
        found = {"": client.get(root)[0] or b""}
    except NoNodeError:
        return {}
    for name in client.get_children(root):
        for path, content in znodes_below(client, f"{root}/{name}").items():
            found[f"{name}/{path}".rstrip("/")] = content
    return found


def write_znodes(client: KazooClient, root: str, znodes: Mapping[str, bytes]) -> None:
    """Create znodes below a root, as another tool does."""
    client.ensure_path(root)
    for path, content in sorted(znodes.items()):
        whole = f"{root}/{path}".rstrip("/")
        client.ensure_path(whole)
        client.set(whole, content)


def write_chain(client: KazooClient, root: str, depth: int) -> None:
    """Create this many znodes, each below the one before; the last has content."""
    for number in range(1, depth + 1):
        client.create(root + number * "/d")
    client.set(root + depth * "/d", b"1")
