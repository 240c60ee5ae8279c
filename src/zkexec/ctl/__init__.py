"""zkexecctl: what an operator sees of a group and does to it, from the znodes alone."""
