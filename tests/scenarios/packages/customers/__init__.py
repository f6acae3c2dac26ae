"""The tenants of ``tests.scenarios.packages.tenants``: django-tenants needs them in the shared schema."""
