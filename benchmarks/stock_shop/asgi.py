"""The ASGI application: Django's own, unchanged."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.stock_shop.settings")

application = get_asgi_application()
