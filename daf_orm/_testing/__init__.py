"""DAF's part in the pytest plugin and in Django's ``TestCase``."""
