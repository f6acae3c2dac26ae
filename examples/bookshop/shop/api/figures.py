"""The shop in figures: its sales, and the state of its connection pool."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from daf_orm import get_pool
from daf_views import AsyncAPIView
from daf_views.auth import IsStaff
from daf_views.throttling import AsyncRateThrottle
from shop.api.authentication import BY_TOKEN_OR_SESSION
from shop.reports import shop_report
from shop.schemas import Report


class ReportView(AsyncAPIView):
    throttle = AsyncRateThrottle(settings.REPORT_RATE)  # of each client, by address
    deadline = settings.REPORT_DEADLINE

    async def get(self, request: HttpRequest) -> Report:  # noqa: ARG002 (Django passes it)
        """The shop at a glance: five queries at the same time."""
        return await shop_report()


class PoolView(AsyncAPIView):
    authentication = BY_TOKEN_OR_SESSION
    permissions = (IsStaff,)

    async def get(self, request: HttpRequest) -> dict[str, int]:  # noqa: ARG002
        """The connection pool's statistics, under psycopg_pool's names."""
        return get_pool().get_stats()
