import pytest
from django.core.exceptions import ImproperlyConfigured

from daf_views.settings import Settings, get_settings, problems


def test_nothing_need_be_set(settings):
    settings.DAF_VIEWS = {}
    assert get_settings() == Settings()


def test_a_change_of_the_settings_is_seen(settings):
    settings.DAF_VIEWS = {"RETRY_AFTER": 7}
    assert get_settings().RETRY_AFTER == 7


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ([], "DAF_VIEWS must be a dict, not list."),
        ({"HEARTBEET": 1}, "DAF_VIEWS['HEARTBEET'] is not a known key. Did you mean 'HEARTBEAT'?"),
        ({"HEARTBEAT": "1"}, "DAF_VIEWS['HEARTBEAT'] must be int or float, not '1'."),
        ({"HEARTBEAT": True}, "DAF_VIEWS['HEARTBEAT'] must be int or float, not True."),
        ({"HEARTBEAT": 0}, "DAF_VIEWS['HEARTBEAT'] must be more than 0 seconds, not 0."),
        ({"MAX_WAITING": -1}, "DAF_VIEWS['MAX_WAITING'] must be 0 or more, not -1."),
        ({"MAX_IN_FLIGHT": "2"}, "DAF_VIEWS['MAX_IN_FLIGHT'] must be int or None, not '2'."),
        ({"LIFESPAN": "shop.open"}, "DAF_VIEWS['LIFESPAN'] must be list or tuple, not 'shop.open'."),
    ],
)
def test_a_wrong_setting_is_named_with_the_remedy(raw, problem):
    assert problems(raw) == [problem]


def test_wrong_settings_are_raised_where_they_are_used(settings):
    settings.DAF_VIEWS = {"NOPE": 1}
    with pytest.raises(ImproperlyConfigured, match="NOPE"):
        get_settings()
