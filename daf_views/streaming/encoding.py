"""How a streamed value becomes JSON: the one place to change it."""

import json
from typing import Any

from daf_views.encoding import APIJSONEncoder


def as_json(value: Any) -> str:
    """Return one line of JSON (RFC 8259): no line breaks, no NaN. Raises TypeError or ValueError for what is not."""
    return json.dumps(value, cls=APIJSONEncoder, separators=(",", ":"), allow_nan=False)
