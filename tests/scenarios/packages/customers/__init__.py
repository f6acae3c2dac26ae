"""The tenants of ``tests.scenarios.packages.tenants``: what django-tenants wants in the shared schema."""
