"""The command line of zkexec: the table of options, and how their values are read."""
