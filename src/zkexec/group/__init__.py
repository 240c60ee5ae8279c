"""Znodes of a group: their layout, their JSON, and the requests on them."""
