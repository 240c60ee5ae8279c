"""Processes of Linux: starting them, finding what belongs to a command, signals."""
