"""The meaning of names in Django, asgiref and the standard library."""
