"""Every private name of Django and asgiref that DAF uses."""
