"""The files of the configuration: staged beside their targets, and installed together."""
