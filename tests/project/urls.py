"""The URLs of tests that bring none of their own: none."""

urlpatterns = []
