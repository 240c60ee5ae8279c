"""The connection to ZooKeeper; it knows nothing of what zkexec does with it."""
