"""Django's database backends with connections that can wait on the event loop."""
