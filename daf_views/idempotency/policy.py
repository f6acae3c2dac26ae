"""``IdempotencyKey``: the policy of a view for the keys that it takes.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from daf_views.idempotency.attempt import Attempt
from daf_views.idempotency.exceptions import MissingKeyError
from daf_views.idempotency.fingerprint import digest, fingerprint_of, watch_body
from daf_views.idempotency.header import MAX_LENGTH, NAME, PATTERN, parse_key
from daf_views.idempotency.key_scope import Scope, client_of, value_of
from daf_views.idempotency.stores import STORES, Claim, Store, get_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.http import HttpRequest

    from daf_views._core.description import Description

_METHODS = frozenset({"POST", "PATCH", "PUT", "DELETE"})


class IdempotencyKey:
    """Replays the first response to a repeated request: ``idempotency = IdempotencyKey()`` on an API view.

    ``required``: a request without a key is answered 400; otherwise it is carried out each time. ``methods`` take a
    key. ``ttl``: seconds for which a response is stored. ``lease``: seconds after which a key is free again whose
    process was killed. ``max_size``: bytes of an answer that are kept. ``store``: ``"database"`` or ``"cache"``, or a
    Store; None is the setting ``IDEMPOTENCY_STORE``. ``scope``: a function of the request, sync or async, that returns
    what tells clients apart; None is the user, the credential, or the address. Raises ValueError or TypeError for a
    value that one of these cannot have.
    """

    extra_statuses: ClassVar[tuple[int, ...]] = (400, 409, 422)
    """Statuses that a view may answer because of it, beside its others."""

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        *,
        required: bool = False,
        methods: Sequence[str] = ("POST", "PATCH"),
        ttl: float = 86400,
        lease: float = 10,
        max_size: int = 256 * 2**10,
        store: Store | str | None = None,
        scope: Scope | None = None,
    ) -> None:
        self.required = required
        self.methods = _checked_methods(methods)
        self.ttl = _positive("ttl", ttl)
        self.lease = _positive("lease", lease)
        self.max_size = int(_positive("max_size", max_size))
        self.store = _checked_store(store)
        self.scope = _checked_scope(scope)

    async def attempt(self, request: HttpRequest, view: object, declared: Iterable[str | None] = ()) -> Attempt | None:
        """Return the attempt of a request, before its body is received; None if it has no key, or needs none.

        A key is one of a host, a view and a client. ``declared`` are names and values of the headers and cookies that
        the handler takes. With another value of one of them the request is a different one, and its key has been used.

        Raises MissingKeyError or MalformedKeyError.
        """
        if request.method not in self.methods:
            return None
        if (value := request.headers.get(NAME)) is None:
            if self.required:
                raise MissingKeyError
            return None
        key = parse_key(value)
        client = await (client_of(request, key) if self.scope is None else value_of(self.scope, request))
        await watch_body(request)
        cls = type(view)
        stored = digest([request.get_host().lower(), f"{cls.__module__}.{cls.__qualname__}", client, key])

        async def claim() -> Claim:
            fingerprint = await fingerprint_of(request, declared)
            return Claim(key=stored, fingerprint=fingerprint, lease=self.lease, ttl=self.ttl)

        return Attempt(self.get_store(), self.max_size, claim)

    def get_store(self) -> Store:
        """Return the store. Raise ImproperlyConfigured if it cannot be used."""
        return self.store if isinstance(self.store, Store) else get_store(self.store)

    def describe(self, operation: Description) -> None:
        """Add the header and the statuses to operations whose method takes a key."""
        if operation.method in self.methods:
            operation.add_parameter(self.header_parameter())
            operation.add_status(*self.extra_statuses)

    def header_parameter(self) -> dict[str, Any]:
        """Return the header as a Parameter Object of OpenAPI 3.1 (§4.8.12)."""
        return {
            "name": NAME,
            "in": "header",
            "required": self.required,
            "description": (
                f"Makes retries safe. A completed request is not carried out again: for {self.ttl:g} seconds a retry "
                "gets the first response. Use a new UUID for each new request."
            ),
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": PATTERN},
            "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
        }


def refuse_other(cls: type, value: object) -> None:
    """Raise TypeError if a view's ``idempotency`` is something else, which would do nothing."""
    if not isinstance(value, IdempotencyKey | None):
        raise TypeError(f"{cls.__qualname__}.idempotency must be an IdempotencyKey(…) or None, not {value!r}.")


def _checked_methods(methods: Sequence[str]) -> frozenset[str]:
    given = frozenset(methods) if not isinstance(methods, str) else frozenset({methods})
    if not given or not given <= _METHODS:
        known = ", ".join(sorted(_METHODS))
        raise ValueError(f"IdempotencyKey.methods must be some of {known}, not {methods!r}.")
    return given


def _positive(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 < value < float("inf")):
        raise ValueError(f"IdempotencyKey.{name} must be a number more than 0, not {value!r}.")
    return float(value)


def _checked_store(store: Store | str | None) -> Store | str | None:
    if not (store is None or isinstance(store, Store) or store in STORES):
        known = ", ".join(map(repr, sorted(STORES)))
        raise ValueError(f"IdempotencyKey.store must be one of {known}, or a Store, not {store!r}.")
    return store


def _checked_scope(scope: Scope | None) -> Scope | None:
    if scope is None:
        return None
    try:
        inspect.signature(scope).bind("request")
    except (TypeError, ValueError) as error:
        raise TypeError(f"IdempotencyKey.scope is {scope!r}, which is not called with a request alone.") from error
    return scope
