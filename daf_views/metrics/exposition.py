"""``metrics``: the metrics of this process as text for Prometheus, for clients with a token and for staff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.http import HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from daf_orm.metrics import collect
from daf_orm.metrics.text import CONTENT_TYPE, exposition
from daf_views.auth.identity import is_staff, known_user_of
from daf_views.errors.problems import response_for
from daf_views.exceptions import ForbiddenError, NotAuthenticatedError
from daf_views.http.client_address import client_address, is_trusted_proxy, parse_address, parse_networks
from daf_views.settings import get_settings
from daf_views.views.atomic import OptedOut

if TYPE_CHECKING:
    from django.http import HttpRequest

_OF_PROXIES: Final = (
    *("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host", "X-Forwarded-Proto"),
    *("CF-Connecting-IP", "True-Client-IP"),
)


@never_cache
@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics of this process, in Prometheus's text format 0.0.4.

    It is for requests with the token ``METRICS_TOKEN``, from ``METRICS_NETWORKS``, or of an active member of staff;
    others get a 401 or 403. Only the last needs a session and a query.
    """
    if not (_has_token(request) or _is_from_network(request)):
        user = await known_user_of(request)
        if user is None:
            challenge = "Bearer" if get_settings().METRICS_TOKEN else "Session"
            return await response_for(request, NotAuthenticatedError(challenge=challenge))
        if not is_staff(user):
            return await response_for(request, ForbiddenError("The metrics are for staff."))
    return HttpResponse(exposition(collect()), content_type=CONTENT_TYPE)


def _has_token(request: HttpRequest) -> bool:
    token = get_settings().METRICS_TOKEN
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return token is not None and scheme.lower() == "bearer" and constant_time_compare(given.strip(), token)


def _is_from_network(request: HttpRequest) -> bool:
    networks = get_settings().METRICS_NETWORKS
    if not networks or (address := client_address(request)) is None:
        return False
    is_of_proxy = address == parse_address(request.META.get("REMOTE_ADDR") or "") or is_trusted_proxy(address)
    if is_of_proxy and any(name in request.headers for name in _OF_PROXIES):
        return False  # it is the address of the last known proxy: the client is unknown
    return any(address in network for network in parse_networks(tuple(networks)))


OptedOut.put_on(metrics)  # it changes nothing, whatever ATOMIC_REQUESTS says
