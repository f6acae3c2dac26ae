"""Django's PostgreSQL backend, whose connections wait on the event loop instead of blocking it.

``ENGINE = "daf_orm.backends.postgresql"``, with the extra ``native`` (greenlet and psycopg 3).
"""
