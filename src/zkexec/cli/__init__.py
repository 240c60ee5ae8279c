"""The command line of zkexec: the table of options, and what becomes of the words of a call."""
