from dataclasses import dataclass


@dataclass
class Job:
    state: str


@dataclass
class JobIn:
    name: str


def digest_of(token: str) -> str:
    """Return the hash of a token."""
    return token
