"""Django's CSRF check with a public name for each of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.middleware.csrf import CsrfViewMiddleware

if TYPE_CHECKING:
    from django.http import HttpRequest


class CsrfSteps(CsrfViewMiddleware):
    """The middleware, whose ``process_view()`` calls these methods. Override them, and call ``super()``."""

    def is_known_origin(self, request: HttpRequest) -> bool:
        """Return True if the ``Origin`` header names this host, or one of ``CSRF_TRUSTED_ORIGINS``."""
        return bool(self._origin_verified(request))  # type: ignore[attr-defined] # the stubs leave private methods out

    def secret_of(self, request: HttpRequest) -> str | None:
        """Return the secret of the cookie or the session. Raises InvalidTokenFormat."""
        secret: str | None = super()._get_secret(request)  # type: ignore[misc]
        return secret

    def check_token(self, request: HttpRequest) -> None:
        """Compare the token of the form or the header with the secret. Raises RejectRequest."""
        super()._check_token(request)  # type: ignore[misc]

    def reject(self, request: HttpRequest, reason: str) -> Any:
        """Return the response to a request whose token is missing or wrong."""
        return super()._reject(request, reason)  # type: ignore[misc]

    def _check_token(self, request: HttpRequest) -> None:
        self.check_token(request)

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return self.reject(request, reason)
