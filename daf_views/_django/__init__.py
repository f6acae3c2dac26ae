"""Every private name of Django's and asgiref's that ``daf_views`` touches, behind a public one."""
