"""Public imports from daf_views: the names are fixed, and importing them needs no settings."""

import pytest

import daf_views
from daf_views import access, generic
from tests.support.imports import errors_of

pytestmark = [
    pytest.mark.sqlite_memory,  # modules are the same on every database
    pytest.mark.timeout(180),  # the first of them waits until all have been imported
]
FIXED = {
    "daf_views": ["AsyncAPIView", "AsyncView"],
    "daf_views.access": ["AccessMixin", "LoginRequiredMixin", "PermissionRequiredMixin", "UserPassesTestMixin"],
    "daf_views.asgi": ["get_asgi_application"],
    "daf_views.idempotency": ["IdempotencyKey"],
    "daf_views.conditional": ["ConditionalView", "check_preconditions", "compare_and_set", "tag_response"],
    "daf_views.pagination": ["CursorPagination", "Page", "PageNumberPagination", "Paginator", "QueryParameter"],
    "daf_views.middleware": ["async_error_middleware", "thread_free"],
    "daf_views.services": ["override_services"],
    "daf_views.streaming": ["Channel", "Event", "Gap", "Subscription", "jsonl", "last_event_id", "sse"],
    "daf_views.generic": generic.__all__,
    "daf_views.health": ["livez", "readyz"],
    "daf_views.asgi.lifespan": ["on_shutdown", "on_startup"],
    "daf_views.openapi": ["Description", "document", "operation", "raises", "responds"],
    "daf_views.views": ["AsyncView", "Stage"],
    "daf_views.errors": ["handler400", "handler403", "handler404", "handler500"],
}


def test_all_is_what_is_fixed_for_the_package():
    assert daf_views.__all__ == sorted(daf_views.__all__) == FIXED["daf_views"]


@pytest.mark.parametrize("module", [access, generic])
def test_all_is_sorted_and_true(module):
    assert module.__all__ == sorted(module.__all__)
    assert all(isinstance(getattr(module, name), type) for name in module.__all__)


@pytest.fixture(scope="module")
def errors_of_importing():
    return errors_of(map(import_of, FIXED))


def import_of(module):
    return f"from {module} import {', '.join(FIXED[module])}"


@pytest.mark.parametrize("module", FIXED)
def test_names_can_be_imported_before_there_are_settings(module, errors_of_importing):
    assert errors_of_importing[import_of(module)] == ""
