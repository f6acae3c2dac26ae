"""The shop's error tree, and how errors become JSON answers.

Every error body is ``{"error": {"code": ..., "message": ..., ...}}``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, JsonResponse

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponse]]


class ShopError(Exception):
    """A request the shop turns down, with the reason for the caller to read."""

    status = 400
    code = "invalid_request"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidRequestError(ShopError):
    """The request does not say what it should."""


class BodyTooLargeError(ShopError):
    """The request's body is larger than any order."""

    status = 413
    code = "body_too_large"


class NotFoundError(ShopError):
    """The request names something the shop does not have."""

    status = 404
    code = "not_found"


class OutOfStockError(ShopError):
    """The shelf holds fewer copies than the order asks for."""

    status = 409
    code = "out_of_stock"


def error_response(status: int, code: str, message: str, **details: Any) -> JsonResponse:
    """One error body, the same shape for every status."""
    return JsonResponse({"error": {"code": code, "message": message, **details}}, status=status)


def json_errors(view: View[P]) -> View[P]:
    """Answer the errors a view raises: the shop's own with their status, an overloaded pool with 503."""

    @wraps(view)
    async def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return await view(request, *args, **kwargs)
        except ShopError as error:
            return error_response(error.status, error.code, error.message, **error.details)
        except (PoolTimeout, TooManyRequests, PoolClosed):
            response = error_response(503, "overloaded", "The shop is busy. Try again in a moment.")
            response.headers["Retry-After"] = "1"
            return response

    return answer


def bad_request(_request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001 (Django names it)
    """400 from Django itself: a host that is not ours, a malformed upload."""
    return error_response(400, "bad_request", "The request was refused before it reached the shop.")


def page_not_found(request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001 (Django names it)
    """404 from the URL configuration."""
    return error_response(404, "not_found", f"There is nothing at {request.path}.")


def server_error(_request: HttpRequest) -> JsonResponse:
    """500: the traceback is in the server's log, not in the answer."""
    return error_response(500, "server_error", "The shop made a mistake. It has been logged.")
