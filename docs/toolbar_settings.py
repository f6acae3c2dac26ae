"""Settings of the bookshop with django-debug-toolbar, for the picture of DAF's panel."""

from bookshop.settings import *  # noqa: F403 - as Django projects do it
from bookshop.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "debug_toolbar"]
MIDDLEWARE = ["debug_toolbar.middleware.DebugToolbarMiddleware", *MIDDLEWARE]
DEBUG_TOOLBAR_PANELS = ["debug_toolbar.panels.sql.SQLPanel", "daf_orm.debug_toolbar.DAFPanel"]
INTERNAL_IPS = ["127.0.0.1"]
ROOT_URLCONF = "toolbar_urls"
DEBUG = True
