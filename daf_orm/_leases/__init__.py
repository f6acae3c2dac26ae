"""A lease: one set of connections, lent to a task, and the state that it is returned in."""
