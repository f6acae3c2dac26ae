"""The order of a request in ``docs/guides/views.md``: ``python -m tests.views.views.order_doc`` writes it there."""

import re
from pathlib import Path

from daf_views.views.pipeline import ORDER

FILE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "views.md"
COMMAND = "python -m tests.views.views.order_doc"
_TABLE = re.compile(r"(?<=<!-- the order: begin -->\n).*(?=<!-- the order: end -->)", re.DOTALL)


def with_order(page: str) -> str:
    """Return the page with the table as it should be."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in ORDER.items()]
    return _TABLE.sub(lambda _: "\n".join(["| Place | |", "|---|---|", *rows, ""]), page)


if __name__ == "__main__":
    FILE.write_text(with_order(FILE.read_text()))
