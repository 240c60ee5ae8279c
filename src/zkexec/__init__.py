"""zkexec wraps a command, brings its configuration from ZooKeeper, and restarts it on a change."""

__version__ = "0.1.0"
