"""The pool that lends the leases."""
