import pytest


@pytest.fixture(autouse=True)
def urlpatterns_of_the_module(request, settings):
    """A test module with ``urlpatterns`` is its own URLconf."""
    if hasattr(request.module, "urlpatterns"):
        settings.ROOT_URLCONF = request.module.__name__
