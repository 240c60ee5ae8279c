"""The loop: events go to the core, and what the core decides is performed."""
