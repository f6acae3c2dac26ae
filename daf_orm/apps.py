"""The Django application: system checks, and the adapter for Django's own async methods."""

import logging

from django.apps import AppConfig
from django.conf import settings

logger = logging.getLogger("daf_orm")


class DafOrmConfig(AppConfig):
    """``"daf_orm"`` in ``INSTALLED_APPS``."""

    name = "daf_orm"
    verbose_name = "Django Async Framework: ORM"

    def ready(self) -> None:
        """Register the checks and the metrics; adapt Django unless ``DAF_ORM["ADAPT_DJANGO"]`` is False."""
        from daf_orm import _adapter, _plans, checks  # noqa: F401, PLC0415 - Django's models must be loadable
        from daf_orm._pool import metrics  # noqa: F401, PLC0415
        from daf_orm.detection import guard, io, watch  # noqa: PLC0415
        from daf_orm.settings import get_settings, problems  # noqa: PLC0415

        wrong = problems(getattr(settings, "DAF_ORM", {}))  # reported by the checks, which run later
        for problem in wrong:
            logger.error("%s", problem)
        if wrong or get_settings().BLOCKING != "off":
            guard.activate()
        if not wrong and get_settings().BLOCKING_IO and get_settings().BLOCKING != "off" and io.is_available():
            io.activate()  # if it is not available, a check reports it
        _adapter.activate(optional=bool(wrong) or get_settings().ADAPT_DJANGO)
        _plans.follow_settings()
        watch.begin()
