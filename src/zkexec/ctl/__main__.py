"""`python -m zkexec.ctl` is `zkexecctl`; so is this file, executed by its path."""

import sys

if not __package__:
    sys.path.insert(0, __file__.rpartition("/zkexec/")[0])

from zkexec.isolation import isolate

if __name__ == "__main__":
    isolate("zkexec.ctl")

    from zkexec.ctl.entry import main

    main()
