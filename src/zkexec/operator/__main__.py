"""`python -m zkexec.operator` is `zkexecctl`."""

from zkexec.operator.cli import main

if __name__ == "__main__":
    main()
