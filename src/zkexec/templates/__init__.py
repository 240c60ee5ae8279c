"""Render templates, in a process of its own for each rendering."""
