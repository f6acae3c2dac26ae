"""Sources of the parameters of typed handlers: ``page: Annotated[int, Query(alias="p")]``."""

from daf_views.handlers.parameters import Body, Cookie, Header, Path, Query, Status

__all__ = ["Body", "Cookie", "Header", "Path", "Query", "Status"]
