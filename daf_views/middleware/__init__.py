"""Django's own middleware without a thread hop: ``MIDDLEWARE = thread_free([...])``.

Safe to import in settings.py: nothing here needs settings or applications.
"""

from daf_views.middleware.thread_free import thread_free

__all__ = ["thread_free"]
