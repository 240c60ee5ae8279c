"""What `status` and `wait` show of a group: read, computed, rendered."""
