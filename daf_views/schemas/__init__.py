"""Types of handlers' annotations: their values from a client's data, JSON from them, and their JSON schemas.

That is the work of msgspec (``pip install "django-daf[msgspec]"``) or pydantic (``django-daf[pydantic]``); this package
asks the one that knows a type: pydantic for its models, else msgspec, else pydantic.
"""

from daf_views.schemas.registry import Schema, SchemaError, Violation, attributes_of, schema_of

__all__ = ["Schema", "SchemaError", "Violation", "attributes_of", "schema_of"]
