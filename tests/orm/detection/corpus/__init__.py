"""Code that blocks an event loop, and code that only looks so, to measure detection by."""

from tests.orm.detection.corpus import (  # noqa: F401 - importing them registers their shapes
    contrib,
    database,
    evaluation,
    forms_templates,
    instances,
    lazy_loads,
    never,
    positions,
    terminals,
)
from tests.orm.detection.corpus.shapes import BLOCKING, HARMLESS, Shape

__all__ = ["BLOCKING", "HARMLESS", "Shape"]
