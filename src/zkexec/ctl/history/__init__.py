"""What was pushed to a path: its history, and how a push writes it."""
