"""The private names of Django and asgiref that ``daf_views`` depends on, each with its use.

``tests/scenarios/test_private_names.py`` fails where an installed version lacks one, or where the code uses another.
"""

from collections.abc import Mapping
from typing import Final

PRIVATE_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "asgiref.current_thread_executor:CurrentThreadExecutor": {
        "_broken": "whether a synchronous caller has returned",
        "_old_executor": "the caller around that one",
    },
    "asgiref.sync:AsyncToSync": {
        "executors": "the synchronous caller that waits for the running code",
        "loop_thread_executors": "whether a loop was made for one coroutine",
    },
    "asgiref.sync:SyncToAsync": {
        "context_to_thread_executor": "the executor of a request's thread-sensitive calls",
        "thread_sensitive_context": "the context that it is found by",
        "threadlocal": "the event loop that waits for a worker thread",
    },
    "django.contrib.auth.middleware:get_user": {
        "_cached_user": "where request.user is kept once it is loaded",
    },
    "django.contrib.messages.middleware:MessageMiddleware": {
        "_messages": "the storage of a request's messages",
    },
    "django.contrib.sessions.backends.base:SessionBase": {
        "_session_cache": "whether a session has been read",
    },
    "django.core.checks.security.base": {
        "_security_middleware": "looks for SecurityMiddleware, on which deployment checks depend",
        "_xframe_middleware": "looks for XFrameOptionsMiddleware",
    },
    "django.core.checks.security.csrf": {
        "_csrf_middleware": "looks for CsrfViewMiddleware",
    },
    "django.core.checks.security.sessions": {
        "_session_middleware": "looks for SessionMiddleware",
    },
    "django.core.handlers.base:BaseHandler": {
        "_non_atomic_requests": "the aliases on which a view runs in no transaction",
    },
    "django.db.models.query:QuerySet": {
        "_fields": "the names given to values()",
        "_iterable_class": "the kind of the rows",
        "_known_related_objects": "the instance that rows were found by",
        "_prefetch_related_lookups": "the relations to be prefetched",
        "_result_cache": "the rows of an evaluated queryset",
    },
    "django.db.models.sql.query:Query": {
        "_filtered_relations": "set by FilteredRelation",
    },
    "django.dispatch.dispatcher:Signal": {
        "_live_receivers": "the receivers of a signal, by kind",
    },
    "django.http.request:HttpRequest": {
        "_body": "whether the body has been read",
        "_encoding": "the charset of the Content-Type",
        "_files": "the uploaded files, which the request closes",
        "_load_post_and_files": "parses a form, where the body may not have come yet",
        "_mark_post_parse_error": "makes a form empty that cannot be read",
        "_post": "whether the form has been parsed",
        "_read_started": "whether the body can still be read into memory",
        "_set_content_type_params": "reads the Content-Type, which may be malformed",
        "_stream": "the file that the body is read from",
    },
    "django.http.response:HttpResponseBase": {
        "_resource_closers": "the closers of a response",
    },
    "django.http.response:StreamingHttpResponse": {
        "_iterator": "the source of a streaming response",
    },
    "django.middleware.csrf:CsrfViewMiddleware": {
        "_check_token": "a step of the check that may need the form",
        "_get_secret": "whether there is a secret to compare with",
        "_origin_verified": "whether the Origin header is known",
        "_reject": "calls the failure view, which may query",
    },
    "django.test.client:ClientHandler": {
        "_dont_enforce_csrf_checks": "how test clients are exempt from CSRF checks",
    },
    "django.urls.resolvers:RegexPattern": {
        "_regex": "whether a pattern is translated",
    },
    "django.urls.resolvers:RoutePattern": {
        "_route": "the same",
    },
    "django.utils.functional:LazyObject": {
        "_wrapped": "whether request.user has been evaluated",
    },
    "django.utils.functional:SimpleLazyObject": {
        "_setupfunc": "whether request.user is AuthenticationMiddleware's, or has been set by other code",
    },
    "django.utils.log:log_response": {
        "_has_been_logged": "keeps Django from logging a response again",
    },
}
TASKS_PRIVATE_NAMES: Final[Mapping[str, str]] = {"_return_value": "the return value of a task"}
"""Names of ``TaskResult``: Django 6's own, or that of the package django-tasks."""
