"""No URLs, for tests that need none."""

urlpatterns = []
