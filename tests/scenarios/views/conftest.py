from tests.support.views import django_tests, redis_url, urlpatterns_of_the_module

__all__ = ["django_tests", "redis_url", "urlpatterns_of_the_module"]
