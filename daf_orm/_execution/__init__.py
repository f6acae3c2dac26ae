"""Run synchronous ORM code off the event loop, on a lease."""

from daf_orm._execution.run import abandon_scope, close_scope, open_iteration, open_scope, run, run_in

__all__ = ["abandon_scope", "close_scope", "open_iteration", "open_scope", "run", "run_in"]
