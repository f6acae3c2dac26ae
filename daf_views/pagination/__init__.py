"""Pages of a queryset, by number or by cursor, in one thread hop each."""

from daf_views.pagination.cursors import CursorPagination
from daf_views.pagination.page_numbers import PageNumberPagination
from daf_views.pagination.pages import Page
from daf_views.pagination.paginator import Paginator
from daf_views.pagination.parameters import QueryParameter

__all__ = ["CursorPagination", "Page", "PageNumberPagination", "Paginator", "QueryParameter"]
