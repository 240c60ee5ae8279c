"""Changes a znode again and again, for as long as it runs: the other process of the soak.

    kazoo_changes.py HOSTS ZNODE SECONDS

Each SECONDS the znode gets a new content of a kilobyte, whose first line is the number of the
change.
"""

import sys
import time
from itertools import count

from kazoo.client import KazooClient

_BYTES = 1024


def main() -> None:
    """Change the znode for ever."""
    hosts, znode, seconds = sys.argv[1:]
    client = KazooClient(hosts=hosts)
    client.start()
    began = time.monotonic()
    for number in count(1):
        client.set(znode, f"{number}\n".encode().ljust(_BYTES, b"#"))
        time.sleep(max(0.0, began + number * float(seconds) - time.monotonic()))


main()
