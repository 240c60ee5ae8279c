"""A throwaway ZooKeeper: for trying out, for the demo and for the tests."""
