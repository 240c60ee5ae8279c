"""Files of the configuration: staged beside their targets, installed together."""
