from tests.support.views import redis_url, urlpatterns_of_the_module

__all__ = ["redis_url", "urlpatterns_of_the_module"]
