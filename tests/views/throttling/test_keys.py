import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import AsyncRequestFactory
from django.urls import path, resolve

from daf_views.throttling import AsyncRateThrottle, keys
from daf_views.throttling.backends.memory import MemoryBackend
from daf_views.throttling.keys import value_of


async def page(request, number):
    """A view."""


urlpatterns = [path("page/<int:number>", page), path("pages/<int:number>", page)]


def request_of(user=None, *, target="/", address="198.51.100.7", **headers):
    request = AsyncRequestFactory().get(target, headers=headers)
    request.META["REMOTE_ADDR"] = address
    if user is not None:

        async def auser():
            return user

        request.auser = auser
    return request


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("198.51.100.7", "198.51.100.7/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7/32"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_ip_counts_an_ipv6_client_by_its_network(address, value):
    assert keys.ip(request_of(address=address)) == value


def test_a_network_may_be_wider():
    key = keys.network(ipv4=24, ipv6=48)
    assert key(request_of(address="198.51.100.7")) == "198.51.100.0/24"
    assert key(request_of(address="2001:db8:1:2::")) == "2001:db8:1::/48"
    with pytest.raises(ValueError, match="1 to 32 bits"):
        keys.network(ipv4=0)


def test_without_an_address_all_are_counted_together_and_it_is_said(caplog):
    keys._warn_of_no_address.cache_clear()
    assert [keys.ip(request_of(address="")) for _ in range(2)] == ["no address"] * 2
    assert caplog.text.count("TRUSTED_PROXIES") == 1


@pytest.mark.parametrize(
    ("user", "value"),
    [(User(pk=7), "user 7"), (AnonymousUser(), "198.51.100.7/32"), (None, "198.51.100.7/32")],
)
async def test_user_counts_others_by_address(user, value):
    assert await keys.user(request_of(user)) == value


async def test_user_works_under_djangos_own_middleware():
    request = request_of()
    request.user = User(pk=8)
    assert await keys.user(request) == "user 8"


async def test_anonymous_does_not_limit_users():
    assert await keys.anonymous(request_of(User(pk=7))) is None
    assert await keys.anonymous(request_of(AnonymousUser())) == "198.51.100.7/32"


def test_an_unchecked_api_key_is_not_trusted():
    request = request_of(User(pk=7), **{"X-API-Key": "made up"})
    assert keys.api_key(request) == "198.51.100.7/32"
    request.auth = "checked"
    assert keys.api_key(request) == "api key checked"
    request.auth = User(pk=8)
    assert keys.api_key(request) == "api key 8"


async def test_a_user_that_authenticate_returned_is_logged_in():
    class Client:
        def __init__(self, **attributes):
            vars(self).update(attributes)

    request = request_of(AnonymousUser())
    request.proven_user = Client(pk=3)
    assert await keys.user(request) == "user 3"
    assert await keys.anonymous(request) is None
    request.proven_user = Client(name="ada")
    with pytest.raises(TypeError, match="Client has no pk to be counted by: give the throttle a key of your own"):
        await keys.user(request)


async def test_view_counts_by_view(settings):
    settings.ROOT_URLCONF = __name__
    one, two = request_of(target="/page/1"), request_of(target="/page/2")
    two.resolver_match = resolve("/page/2")
    assert await keys.view(one) == await keys.view(two) == f"view {__name__}.page"
    assert await keys.view(request_of(target="/pages/1")) == f"view {__name__}.page"
    assert await keys.view(request_of(target="/nowhere")) == "no view"


async def test_a_key_says_a_string_or_none():
    with pytest.raises(TypeError, match=r"The key .*<lambda> .* of a throttle returned 7: return a str"):
        await value_of(lambda _: 7, request_of())


async def remaining(throttle, request):
    hit = await throttle.hit(request, page)
    return hit and hit.remaining


async def test_several_keys_count_together_and_one_that_is_none_means_no_limit():
    throttle = AsyncRateThrottle("9/minute", key=[keys.ip, lambda r: r.GET.get("tenant")], backend=MemoryBackend())
    one, two = request_of(target="/?tenant=1"), request_of(target="/?tenant=2")
    assert [await remaining(throttle, each) for each in (one, one, two, request_of())] == [8, 7, 8, None]


async def test_the_same_value_of_two_keys_is_not_the_same():
    backend = MemoryBackend()
    throttles = [AsyncRateThrottle("9/minute", key=key, backend=backend) for key in (keys.ip, keys.user)]
    assert [await remaining(each, request_of()) for each in throttles] == [8, 8]


async def test_two_lambdas_are_two_keys():
    backend, request = MemoryBackend(), request_of(target="/?user=7&tenant=7")
    by_user, by_tenant, by_user_too = (lambda r: r.GET["user"]), (lambda r: r.GET["tenant"]), (lambda r: r.GET["user"])
    throttles = [AsyncRateThrottle("9/minute", key=key, backend=backend) for key in (by_user, by_tenant, by_user_too)]
    assert [await remaining(each, request) for each in throttles] == [8, 8, 7]


async def test_the_stored_key_reveals_nothing():
    backend = MemoryBackend()
    throttle = AsyncRateThrottle("9/minute", key=keys.api_key, backend=backend)
    request = request_of()
    request.auth = "secret"
    await throttle.hit(request, page)
    [stored] = [key for shard in backend._shards for key in shard]
    assert len(stored) == 32
    assert "secret" not in stored


@pytest.mark.parametrize("key", [7, "ip", lambda: "", lambda _, __: "", [keys.ip, 7]])
def test_an_invalid_key_is_refused_when_the_throttle_is_made(key):
    with pytest.raises(TypeError, match="not called with a request alone"):
        AsyncRateThrottle("1/s", key=key)


def test_no_key_at_all_is_refused():
    with pytest.raises(TypeError, match="key is empty"):
        AsyncRateThrottle("1/s", key=[])


async def test_a_key_in_a_class_is_a_function_of_a_request():
    class ByPath(AsyncRateThrottle):
        rate = "9/minute"
        backend = MemoryBackend()

        def key(request):  # noqa: N805 - as a lambda would be
            return request.path

    assert [await remaining(ByPath(), request_of(target=target)) for target in ("/a", "/a", "/b")] == [8, 7, 8]
