"""What `run.py` needs around the Django project: a database, a server, and the smoke run."""
