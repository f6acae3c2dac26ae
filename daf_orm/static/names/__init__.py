"""What names of Django, asgiref and the standard library mean."""
