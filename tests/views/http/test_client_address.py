from ipaddress import ip_address

import pytest
from django.test import AsyncRequestFactory, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from daf_views.http.client_address import client_address, parse_address

PROXY = "10.0.0.1"


@pytest.fixture
def trusting(settings):
    def trust(*networks, header="X-Forwarded-For"):
        settings.DAF_VIEWS = {"TRUSTED_PROXIES": networks, "FORWARDED_HEADER": header}

    return trust


def request_from(peer, *said, header="X-Forwarded-For"):
    request = AsyncRequestFactory().get("/")
    request.scope["headers"] += [(header.lower().encode(), value.encode()) for value in said]
    if peer is None:
        del request.META["REMOTE_ADDR"]
    else:
        request.META["REMOTE_ADDR"] = peer
    return request


def address_of(*args, **kwargs):
    address = client_address(request_from(*args, **kwargs))
    return None if address is None else str(address)


@pytest.mark.parametrize("said", ["1.2.3.4", "1.2.3.4, 10.0.0.1", "127.0.0.1", "unknown"])
def test_no_header_is_trusted_by_default(said):
    assert address_of("198.51.100.7", said) == "198.51.100.7"


def test_the_header_of_an_untrusted_client_is_ignored(trusting):
    trusting("10.0.0.0/8")
    assert address_of("198.51.100.7", "1.2.3.4") == "198.51.100.7"


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
        (["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
        (["1.2.3.4, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        (["198.51.100.7:49152"], "198.51.100.7"),
        (["[2001:db8::7]:49152"], "2001:db8::7"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a trusted proxy asks
        (["198.51.100.7, unknown"], PROXY),  # the sender of "unknown" is the last known address
        (["1.2.3.4, nonsense, 10.0.0.2"], "10.0.0.2"),
        ([""], PROXY),
        ([], PROXY),
    ],
)
def test_the_last_that_our_proxies_do_not_know_is_the_client(trusting, said, address):
    trusting("10.0.0.0/8")
    assert address_of(PROXY, *said) == address


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ("for=1.2.3.4, for=198.51.100.7;proto=https;by=10.0.0.1", "198.51.100.7"),
        ('For="[2001:db8::7]:49152"', "2001:db8::7"),
        ("proto=https; for=198.51.100.7", "198.51.100.7"),
        ("for=_hidden", PROXY),
        ("for=unknown", PROXY),
        ("proto=https", PROXY),
        ("198.51.100.7", PROXY),
        ('for=198.51.100.7;host="a,for=1.2.3.4"', "198.51.100.7"),  # a Host that our proxy has quoted
        ('host="a;for=1.2.3.4";for=198.51.100.7', "198.51.100.7"),
        ('proto=http;host="a, for=1.2.3.4";for=198.51.100.7', "198.51.100.7"),
        ("for=198.51.100.7;for=1.2.3.4", PROXY),
        # An open quote of a client makes the rest unreadable: no entry is trusted
        ('for="1.2.3.4, for=198.51.100.7', PROXY),
        ('for="1.2.3.4, for="[2001:db8::7]"', PROXY),
        ('for="\\", for=198.51.100.7;host="a, for=1.2.3.4"', PROXY),
    ],
)
def test_forwarded_is_read_as_rfc_7239_has_it(trusting, said, address):
    trusting("10.0.0.0/8", header="Forwarded")
    assert address_of(PROXY, said, header="Forwarded") == address


def test_the_header_that_our_proxies_do_not_write_is_anybodys(trusting):
    trusting("10.0.0.0/8")
    assert address_of(PROXY, "for=1.2.3.4", header="Forwarded") == PROXY


def test_a_header_with_underscores_is_another_one(trusting):
    trusting("10.0.0.0/8")
    request = request_from(PROXY, "198.51.100.7")
    request.scope["headers"].append((b"x_forwarded_for", b"1.2.3.4"))
    request.META["HTTP_X_FORWARDED_FOR"] = "198.51.100.7,1.2.3.4"  # as Django puts them together
    assert str(client_address(request)) == "198.51.100.7"


def test_under_wsgi_the_header_is_djangos(trusting):
    trusting("10.0.0.0/8")
    request = RequestFactory(REMOTE_ADDR=PROXY).get("/", headers={"X-Forwarded-For": "198.51.100.7"})
    assert str(client_address(request)) == "198.51.100.7"


def test_a_unix_socket_has_no_address_and_is_trusted_if_told(trusting):
    assert address_of(None, "198.51.100.7") is None
    trusting("unix")
    assert address_of(None, "198.51.100.7") == "198.51.100.7"
    trusting("10.0.0.0/8")
    assert address_of(None, "198.51.100.7") is None


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30), max_size=5))
def test_the_proxy_has_the_last_word_over_any_header_of_a_client(said):
    """If the client has made it unreadable, no address is trusted."""
    from django.test import override_settings  # noqa: PLC0415 - Hypothesis and function-scoped fixtures do not mix

    for header, word in (("X-Forwarded-For", "198.51.100.7"), ("Forwarded", "for=198.51.100.7")):
        raw = ",".join([*said, word])
        request = request_from(PROXY)
        request.scope["headers"].append((header.lower().encode(), raw.encode("latin-1")))
        with override_settings(DAF_VIEWS={"TRUSTED_PROXIES": ["10.0.0.0/8"], "FORWARDED_HEADER": header}):
            assert str(client_address(request)) in {"198.51.100.7", PROXY}
            if header == "X-Forwarded-For":
                assert str(client_address(request)) == "198.51.100.7"


def test_networks_of_mapped_addresses_are_networks_of_ipv4(trusting):
    trusting("::ffff:10.0.0.0/104")
    assert address_of(PROXY, "198.51.100.7") == "198.51.100.7"
    assert address_of("11.0.0.1", "198.51.100.7") == "11.0.0.1"


@given(st.ip_addresses())
def test_an_address_is_read_with_and_without_a_port(address):
    plain = getattr(address, "ipv4_mapped", None) or address
    assert parse_address(str(address)) == plain
    assert parse_address(f"[{address}]:80" if address.version == 6 else f"{address}:80") == plain


@pytest.mark.parametrize(
    "text", ["", "localhost", "1.2.3", "1.2.3.4.5", "[::1", "a:b:c", "1.2.3.4:80:90", "\uff11.2.3.4"]
)
def test_text_that_is_no_address_is_none(text):
    assert parse_address(text) is None or parse_address(text) == ip_address("::1")
