"""Blocking detection: every blocking ORM call on an event loop is found and named, with a remedy."""

from daf_orm._core.blocking_call import BlockingCall
from daf_orm.detection.allowances import allow_blocking
from daf_orm.detection.recorders import record_blocking

__all__ = ["BlockingCall", "allow_blocking", "record_blocking"]
