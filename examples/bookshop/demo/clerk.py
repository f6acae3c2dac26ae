"""The clerk that logs in at the desk during a run."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass

VARIABLE = "BOOKSHOP_PASSWORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clerk:
    """A name, and a random password."""

    name: str
    password: str
    shown_password: str

    @classmethod
    def for_this_run(cls, name: str) -> Clerk:
        """With the password from the environment, which is not repeated; else a random one, put there for `seed`."""
        if given := os.environ.get(VARIABLE):
            return cls(name=name, password=given, shown_password=f"as in {VARIABLE}")
        password = os.environ[VARIABLE] = secrets.token_urlsafe(9)
        return cls(name=name, password=password, shown_password=password)
