"""`python -m zkexec` is `zkexec`."""

from zkexec.cli import main

if __name__ == "__main__":
    main()
