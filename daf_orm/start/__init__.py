"""A new project with DAF in it: ``python -m daf_orm.start mysite``."""
