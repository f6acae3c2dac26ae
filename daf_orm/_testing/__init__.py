"""What the pytest plugin and Django's ``TestCase`` need of DAF."""
