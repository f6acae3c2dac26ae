"""The watchdog: stalls of an event loop, in production."""

from daf_orm.detection.watchdog.watchdog import get_stats, watch_running_loop

__all__ = ["get_stats", "watch_running_loop"]
