"""HTTP as several features need it: requests, bodies, JSON, conditions, client addresses."""

from daf_views.http.request import load_body

__all__ = ["load_body"]
