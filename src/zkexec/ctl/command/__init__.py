"""The subcommands of zkexecctl, one file for each."""
