from daf_views.auth import BearerAuthentication


class TokenAuthentication(BearerAuthentication):
    """That of docs/guides/api.md."""
