"""A program: django-debug-toolbar's SQL panel, and many requests at once. Prints the queries that each panel has.

``python -m tests.scenarios.packages.toolbar``, with what :mod:`tests.scenarios.packages.traced` reads in the
environment.
"""

import asyncio
import json
import os
import re

from tests.scenarios.packages import traced

PANEL = "debug_toolbar.panels.sql.SQLPanel"
AROUND = (
    ["tests.scenarios.packages.traced_urls.sync_middleware"] if os.environ.get("TRACED_MIDDLEWARE") == "sync" else []
)
traced.configure(
    [*AROUND, "debug_toolbar.middleware.DebugToolbarMiddleware"],
    ["django.contrib.staticfiles", "debug_toolbar"],
    DEBUG=True,
    DEBUG_TOOLBAR_CONFIG={
        "SHOW_TOOLBAR_CALLBACK": lambda _: True,
        "RESULTS_CACHE_SIZE": 2 * traced.REQUESTS,
        "ENABLE_STACKTRACES": False,
    },
    DEBUG_TOOLBAR_PANELS=["debug_toolbar.panels.history.HistoryPanel", PANEL],
    STATIC_URL="/static/",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
)

# ruff: noqa: E402 - models can be imported now
from debug_toolbar.store import get_store
from debug_toolbar.toolbar import debug_toolbar_urls

from tests.scenarios.packages import traced_urls


def main():
    traced_urls.on_request = lambda _: None
    traced_urls.urlpatterns += debug_toolbar_urls()
    traced.make_tables()
    pinned = asyncio.run(traced.ask_all(traced.application()))
    store, queries = get_store(), {}
    for request_id in store.request_ids():
        number = store.panel(request_id, "HistoryPanel")["request_url"].rpartition("/")[2]
        panel = store.panel(request_id, "SQLPanel")
        queries[number] = [*re.findall(r'\bn(\d+)"', " ".join(each["sql"] for each in panel["queries"]))]
    print(json.dumps({"pinned": pinned, "queries": queries}))


if __name__ == "__main__":
    main()
