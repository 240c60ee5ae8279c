"""The group: who may apply a change, and when. Pure, as all of the core."""
