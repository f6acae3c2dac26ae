"""Where the parameters of typed handlers come from: ``page: Annotated[int, Query(alias="p")]``."""

from daf_views.handlers.parameters import Body, Cookie, Header, Path, Query, Status

__all__ = ["Body", "Cookie", "Header", "Path", "Query", "Status"]
