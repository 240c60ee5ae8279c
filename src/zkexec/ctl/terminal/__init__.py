"""Output for people: the console, tables, diffs and a screen that is redrawn."""
