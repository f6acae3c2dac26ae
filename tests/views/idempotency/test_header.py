import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daf_views.idempotency.exceptions import MalformedKeyError
from daf_views.idempotency.header import MAX_LENGTH, parse_key

pytestmark = pytest.mark.sqlite_memory  # no database has a part in it
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=MAX_LENGTH)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(printable)
def test_every_string_is_read_as_it_was_meant(text):
    assert parse_key(quoted(text)) == text


@pytest.mark.parametrize("key", ["8e03978e-40d5-43dd-bc93-6894a57f9324", "a", "ab+/=", "order:7", "x" * MAX_LENGTH])
def test_a_bare_token_means_the_same_as_the_string(key):
    assert parse_key(key) == parse_key(f' "{key}"\t') == key


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", '""', '"', '"a', 'a"', '"a"b', '"a";b=1', '"a", "b"', "a,b", "a b", "a;b"),
        *('"\\a"', '"\\"', '"a\n"', '"a\0"', '"ä"', "ä", "\x7f", "a\r\nb"),
        *("x" * (MAX_LENGTH + 1), quoted("x" * (MAX_LENGTH + 1)), '"' + '\\"' * 10_000 + '"'),
    ],
)
def test_a_malformed_key_is_refused(value):
    with pytest.raises(MalformedKeyError):
        parse_key(value)


@given(st.text())
@example("\ud800")
def test_garbage_is_a_key_or_refused(value):
    try:
        key = parse_key(value)
    except MalformedKeyError:
        return
    assert 1 <= len(key) <= MAX_LENGTH
