"""Run the ``tests/asgi`` of Django with the handler of DAF: ``python -m tests.support.django_asgi DIR``.

``DIR`` is the ``tests`` folder of a Django source distribution. It is a separate process, because the tests need other
settings and another import path.
"""

import sys
import unittest
from pathlib import Path

import django
from django.conf import settings

NOT_APPLICABLE = {
    "test_concurrent_async_uses_multiple_thread_pools": (
        "the test runs under async_to_sync: there daf_orm runs synchronous views on the waiting thread, so that they "
        "see its transaction. tests/views/asgi/test_handler.py shows two threads without such a parent."
    ),
}
"""Tests that cannot hold for our handler, each with the reason."""


def main(folder: str) -> int:
    sys.path.insert(0, folder)
    settings.configure(
        # As in Django's runtests.py.
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "daf_orm"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        SECRET_KEY="not a secret",
        STATIC_URL="static/",
        STATIC_ROOT=str(Path(folder) / "asgi" / "static"),
        USE_TZ=False,
    )
    django.setup()
    _put_ours_in_place()
    from django.test.utils import setup_test_environment  # noqa: PLC0415

    setup_test_environment()
    suite = unittest.defaultTestLoader.loadTestsFromName("asgi.tests")
    for test in _each(suite):
        if reason := NOT_APPLICABLE.get(test._testMethodName):
            setattr(test, test._testMethodName, unittest.skip(reason)(getattr(test, test._testMethodName)))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return not result.wasSuccessful()


def _put_ours_in_place() -> None:
    import django.core.asgi  # noqa: PLC0415
    import django.core.handlers.asgi  # noqa: PLC0415

    from daf_views.asgi import handler  # noqa: PLC0415

    django.core.asgi.get_asgi_application = handler.get_asgi_application
    django.core.handlers.asgi.ASGIHandler = handler.AsyncHandler


def _each(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _each(test)
        else:
            yield test


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
