"""Everything private of Django's and asgiref's that DAF touches."""
