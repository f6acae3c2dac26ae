"""Typed handlers: arguments from a request by their annotations, a response from the return value."""
