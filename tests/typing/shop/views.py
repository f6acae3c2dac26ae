"""The views of the tutorial, by name."""

from daf_views import AsyncAPIView


class BookView(AsyncAPIView):
    pass


class CountView(AsyncAPIView):
    pass
