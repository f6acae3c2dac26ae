"""Authentication of an ``AsyncAPIView``'s requests: the classes of its ``authentication = [...]``, asked in order.

The first that knows the user decides. If none does, the request is unauthenticated, whatever user middleware has
set. A client that sends invalid proof is answered 401 at once.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.http import Http404

from daf_views._core.callables import is_async, takes
from daf_views.auth.decisions import described, is_no_user, remedy_for
from daf_views.auth.identity import is_active, is_known, user_of
from daf_views.exceptions import NotAuthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from daf_views._core.description import Description


class Authentication:
    """One way to authenticate. One object serves all requests of a view, concurrently."""

    challenge: str = ""
    """The challenge that a 401 sends in ``WWW-Authenticate`` (RFC 9110 §11.6.1)."""
    is_sent_by_browsers: ClassVar[bool] = True
    """True if a browser may send the proof automatically, as it does cookies, certificates and HTTP's Basic. Then CSRF
    is checked, because another site may have made the browser send it."""
    name: ClassVar[str] = ""
    """The name of its security scheme in OpenAPI documents."""

    async def authenticate(self, request: HttpRequest) -> Any:
        """Return the user, None if the request has no such proof. Raises NotAuthenticatedError for invalid proof."""
        raise NotImplementedError

    def security_scheme(self) -> Mapping[str, Any] | None:
        """Return the OpenAPI Security Scheme Object; None: documents do not mention it."""
        return None

    def describe(self, operation: Description) -> None:
        """Add the scheme, and the 401."""
        if (scheme := self.security_scheme()) is not None:
            operation.add_security(self.name, scheme)
        operation.add_status(401)


class SessionAuthentication(Authentication):
    """Django's session, by ``AuthenticationMiddleware``. Browsers send its cookie automatically: CSRF is checked."""

    challenge = "Session"
    name = "session"

    async def authenticate(self, request: HttpRequest) -> Any:
        """Return the user that has logged in."""
        user = await user_of(request)
        return user if is_known(user) and is_active(user) else None

    def security_scheme(self) -> Mapping[str, Any]:
        """Return the scheme: a cookie."""
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class _ProofAuthentication(Authentication):
    """A proof that a client puts into a header, which no browser does automatically.

    One that is empty, or has a control character, proves nothing: ``get_user`` is not asked, whose query might find a
    user without one. It is answered 401.
    """

    is_sent_by_browsers = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a ``get_user()`` that could not be awaited with a proof."""
        super().__init_subclass__(**kwargs)
        is_bound = isinstance(inspect.getattr_static(cls, "get_user"), staticmethod | classmethod)
        if not is_async(inspect.unwrap(cls.get_user)) or not takes(cls.get_user, 1 if is_bound else 2):
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__}.get_user() is called with one proof and awaited: write "
                "`async def get_user(self, proof)`."
            )

    async def authenticate(self, request: HttpRequest) -> Any:
        """Return the user whose proof it is."""
        proof = self._proof(request)
        if proof is None:
            return None
        try:
            user = await self.get_user(proof) if _is_proof(proof) else None
        except (ObjectDoesNotExist, Http404, ValidationError):  # the last of a proof that is no UUID, for example
            user = None
        if user is not False and is_no_user(user):
            raise TypeError(
                f"{type(self).__qualname__}.get_user() returned {described(user)}, which would count as an "
                f"authenticated user: {remedy_for(user, 'return the user alone, or None')}."
            )
        if not user or not is_active(user):  # None; or False, of `token == … and user`
            raise NotAuthenticatedError(challenge=self._refusal)
        return user

    async def get_user(self, proof: str, /) -> Any:
        """Return the user with this proof, or None if there is none. An inactive user is refused.

        ``Model.DoesNotExist``, and the ``ValidationError`` of a proof of the wrong kind, say None, too.
        ``proof`` is never empty.
        Compare secrets by a hash that is looked up, or with ``secrets.compare_digest``.
        """
        raise NotImplementedError(f"{type(self).__name__} finds no user: write `async def get_user(self, proof)`.")

    def _proof(self, request: HttpRequest) -> str | None:
        raise NotImplementedError

    @property
    def _refusal(self) -> str:
        return self.challenge


def _is_proof(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


class BearerAuthentication(_ProofAuthentication):
    """``Authorization: Bearer <token>`` (RFC 6750). Write ``async def get_user(self, token)``."""

    challenge = "Bearer"
    name = "bearer"

    def security_scheme(self) -> Mapping[str, Any]:
        """Return the scheme: HTTP's own."""
        return {"type": "http", "scheme": "bearer"}

    def _proof(self, request: HttpRequest) -> str | None:
        scheme, *token = request.headers.get("Authorization", "").split(None, 1) or [""]
        return "".join(token).strip() if scheme.lower() == "bearer" else None

    @property
    def _refusal(self) -> str:
        return f'{self.challenge} error="invalid_token"'


class APIKeyAuthentication(_ProofAuthentication):
    """A key in the header ``header``. Write ``async def get_user(self, key)``."""

    header: ClassVar[str] = "X-API-Key"
    name = "api_key"

    @property
    def challenge(self) -> str:  # type: ignore[override] # an attribute elsewhere
        """The challenge of a 401. No registered scheme fits, so the scheme is DAF's."""
        return f'APIKey header="{self.header}"'

    def security_scheme(self) -> Mapping[str, Any]:
        """Return the scheme: a header."""
        return {"type": "apiKey", "in": "header", "name": self.header}

    def _proof(self, request: HttpRequest) -> str | None:
        return request.headers.get(self.header)
