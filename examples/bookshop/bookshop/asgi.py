"""The ASGI application: DAF's, where Django's ``get_asgi_application()`` stood."""

import os

from daf_views.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshop.settings")

application = get_asgi_application()
