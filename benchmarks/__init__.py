"""What zkexec costs, measured beside references in one run: `make benchmark`.

The rules of this package: nothing is asserted; candidates take turns round by round, so that
whatever else this machine does hits all of them alike; a figure is a ratio within one run; and
a moment is the one that the new child itself has read from the clock as it entered main.
"""
