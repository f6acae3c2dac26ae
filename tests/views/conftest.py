import weakref

import pytest

from daf_views.streaming.broadcast import channel, checks
from tests.support.views import redis_url, urlpatterns_of_the_module

__all__ = ["redis_url", "urlpatterns_of_the_module"]


@pytest.fixture(autouse=True)
def no_channels_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system check see the channels that this test makes: those of modules live as long as the process."""
    channels: weakref.WeakSet[channel.Channel] = weakref.WeakSet()
    for module in (channel, checks):
        monkeypatch.setattr(module, "channels", channels)
