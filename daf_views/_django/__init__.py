"""Every private name of Django and asgiref that ``daf_views`` touches, behind a public one."""
