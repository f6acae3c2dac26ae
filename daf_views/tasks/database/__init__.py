"""``manage.py daf_worker``: an asyncio worker for the tasks that django-tasks-db keeps in the database."""
