"""Pages of a queryset, by number or by cursor, in one thread hop each."""

from daf_views.pagination.cursor_pagination import CursorPagination
from daf_views.pagination.page import Page
from daf_views.pagination.page_number_pagination import PageNumberPagination
from daf_views.pagination.paginator import Paginator
from daf_views.pagination.query_parameters import QueryParameter

__all__ = ["CursorPagination", "Page", "PageNumberPagination", "Paginator", "QueryParameter"]
