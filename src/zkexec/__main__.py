"""`python -m zkexec` is `zkexec`; so is this file, when `isolation` executes it by its path."""

import sys

if not __package__:
    sys.path.insert(0, __file__.rpartition("/zkexec/")[0])

from zkexec.isolation import isolate

if __name__ == "__main__":
    isolate("zkexec")

    from zkexec.main import main

    main()
