from dataclasses import dataclass

from django.http import HttpRequest


@dataclass
class Job:
    state: str


@dataclass
class JobIn:
    name: str


def digest_of(token: str) -> str:
    """Return the hash of a token."""
    return token


class Tenant:
    name: str


async def has_plan(request: HttpRequest) -> bool:
    """Return True if the tenant of a request has a plan."""
    return bool(request.headers)


async def tenant_of(name: str | None) -> Tenant | None:
    """Return the tenant of a name."""
    return Tenant() if name else None
