"""``thread_free()``: the dotted paths of Django middleware that has a twin here.

Paths, not classes, because it is called in settings.py, before Django may be imported.
"""

from collections.abc import Iterable

TWINS = {
    "django.contrib.auth.middleware.AuthenticationMiddleware": "daf_views.middleware.auth.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware": "daf_views.middleware.auth.LoginRequiredMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware": (
        "daf_views.middleware.flatpages.FlatpageFallbackMiddleware"
    ),
    "django.contrib.messages.middleware.MessageMiddleware": "daf_views.middleware.messages.MessageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware": "daf_views.middleware.sessions.SessionMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware": (
        "daf_views.middleware.clickjacking.XFrameOptionsMiddleware"
    ),
    "django.middleware.common.CommonMiddleware": "daf_views.middleware.common.CommonMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware": "daf_views.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware": "daf_views.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.gzip.GZipMiddleware": "daf_views.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware": "daf_views.middleware.http.ConditionalGetMiddleware",
    "django.middleware.locale.LocaleMiddleware": "daf_views.middleware.locale.LocaleMiddleware",
    "django.middleware.security.SecurityMiddleware": "daf_views.middleware.security.SecurityMiddleware",
}
"""Django's middleware, and the subclass that does the same without a thread on an async request."""


def thread_free(middleware: Iterable[str]) -> list[str]:
    """Return ``MIDDLEWARE`` with Django's own classes replaced by subclasses that cost no thread hop.

    ``MIDDLEWARE = thread_free([...])`` in settings.py. The order is kept. Middleware that is not Django's, or has no
    twin, stays unchanged. Under WSGI the subclasses behave as Django's classes. Raises TypeError for a single string.
    """
    if isinstance(middleware, str):
        raise TypeError(f"thread_free() takes a list of dotted paths, not one: thread_free([{middleware!r}]).")
    return [TWINS.get(path, path) for path in middleware]
