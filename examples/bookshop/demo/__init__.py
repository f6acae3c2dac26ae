"""The parts of `run.py` around the Django project: a database, a server, and the smoke run."""
