"""Kinds of request methods (RFC 9110 §9)."""

from typing import Final

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (§9.2.1)."""
READING: Final = frozenset({"GET", "HEAD"})
"""Methods that ask for a representation, which may be answered 304 (§13.2.2)."""
OVERWRITING: Final = frozenset({"PUT", "PATCH", "DELETE"})
"""Methods that replace or change an existing resource."""
WITHOUT_CONTENT: Final = SAFE | {"CONNECT"}
"""Methods whose content means nothing (§9.3)."""
