"""The server of `zkexecctl web` and `zkexecctl exporter`."""
