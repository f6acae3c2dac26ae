"""The pool that lends leases."""
