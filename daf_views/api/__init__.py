"""API views: parsed bodies, typed handlers, access policies, problems as errors."""

from daf_views.api.view import AsyncAPIView
from daf_views.handlers.parameters import Body, Cookie, Header, Path, Query, Status
from daf_views.handlers.shaped import Shaped
from daf_views.http.api_request import APIRequest
from daf_views.http.parsers import FormParser, JSONParser, MultiPartParser, Parser
from daf_views.schemas.files import FileName, FileURL

__all__ = [
    "APIRequest",
    "AsyncAPIView",
    "Body",
    "Cookie",
    "FileName",
    "FileURL",
    "FormParser",
    "Header",
    "JSONParser",
    "MultiPartParser",
    "Parser",
    "Path",
    "Query",
    "Shaped",
    "Status",
]
