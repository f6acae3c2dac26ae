"""Values that no document can define, added to the requests that schemathesis makes of it."""

import uuid
from itertools import count

import schemathesis

_numbers = count()


@schemathesis.hook
def before_call(context, case, kwargs):
    headers = case.headers
    if case.method == "POST" and "Idempotency-Key" in headers:
        # A key is for one request. Were two to have the same, the second would be refused for that, whatever it says.
        headers["Idempotency-Key"] = f'"{uuid.uuid4()}"'
    if "If-Match" in headers and next(_numbers) % 2:
        # Versions cannot be guessed: every second request is for any version, or none would write anything.
        headers["If-Match"] = "*"
