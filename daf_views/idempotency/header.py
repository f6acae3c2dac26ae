"""The key that a client sends, read from its header.

It is a String of structured fields (RFC 9651 §3.3.3): ``Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324"``. As
many clients leave the quotes out, a bare token is taken too, and means the same.
"""

from __future__ import annotations

import re

from daf_views.idempotency.exceptions import MalformedKeyError

NAME = "Idempotency-Key"
MAX_LENGTH = 255
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~:/=0-9A-Za-z]+")
"""A token, with the other characters of base64."""
PATTERN = rf'^("([ !#-\[\]-~]|\\["\\])+"|{_TOKEN.pattern})$'
"""The form of a key, for JSON Schema; an empty one is invalid."""
_ESCAPED = re.compile(r"\\(.)")
_MAX_RAW = 2 * MAX_LENGTH + 2  # all of it escaped, in quotes


def parse_key(value: str) -> str:
    """Return the key. Raises MalformedKeyError for what is neither a String nor a token, is empty, or too long."""
    value = value.strip(" \t")
    string = _STRING.fullmatch(value) if len(value) <= _MAX_RAW else None
    key = _ESCAPED.sub(r"\1", string[1]) if string else value
    if not 1 <= len(key) <= MAX_LENGTH:
        raise MalformedKeyError(f"{NAME} must have 1 to {MAX_LENGTH} characters.")
    if string is None and not _TOKEN.fullmatch(key):
        raise MalformedKeyError(f'{NAME} must be one string of printable ASCII in quotes: "…".')
    return key
