"""``APIRequest``: a request whose body has been parsed, to annotate with."""

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

if TYPE_CHECKING:

    class APIRequest(HttpRequest):
        """The request as handlers of an ``AsyncAPIView`` see it."""

        data: Any
        """The body, as the view's parsers have made it; None without one."""

else:
    APIRequest = HttpRequest
