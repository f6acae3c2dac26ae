import pytest
from django.core.exceptions import ValidationError

from daf_views import exceptions
from daf_views.exceptions import (
    APIError,
    ConflictError,
    FieldError,
    InvalidDataError,
    MethodNotAllowedError,
    NotAuthenticatedError,
    ServiceUnavailableError,
    ThrottledError,
    UnsupportedMediaTypeError,
)

ANSWERS = [
    kind
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, APIError) and kind is not APIError and not name.startswith("_")
]


def test_an_error_is_a_problem_with_its_members():
    error = ConflictError("Sold out.", code="sold_out", book=7)
    assert error.as_problem() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "Sold out.",
        "code": "sold_out",
        "book": 7,
    }


def test_an_error_says_its_detail_or_else_its_title():
    assert [str(ConflictError("Sold out.")), str(ConflictError())] == ["Sold out.", "Conflict"]


@pytest.mark.parametrize("status", [200, 302, 399, 600])
def test_the_status_is_one_of_an_error(status):
    with pytest.raises(ValueError, match="from 400 to 599"):
        APIError(status=status)


def test_an_explicit_status_has_its_title():
    assert APIError(status=410).title == "Gone"
    assert APIError(status=599).title == "Error"


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (NotAuthenticatedError(challenge='Basic realm="shop"'), "WWW-Authenticate", 'Basic realm="shop"'),
        (MethodNotAllowedError(allowed=["GET", "HEAD"]), "Allow", "GET, HEAD"),
        (UnsupportedMediaTypeError(accepted=["application/json"]), "Accept", "application/json"),
        (ThrottledError(retry_after=1.2), "Retry-After", "2"),
        (ServiceUnavailableError(retry_after=0), "Retry-After", "0"),
        (ThrottledError(retry_after=1, headers={"X-Limit": "10"}), "X-Limit", "10"),
    ],
)
def test_an_error_has_the_headers_of_its_status(error, header, value):
    assert error.headers[header] == value


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_error_of_an_answer_has_a_status_and_a_code(kind):
    assert 400 <= kind.default_status <= 599
    assert kind.default_code != APIError.default_code


def test_invalid_data_lists_where_and_why():
    error = InvalidDataError(errors=[FieldError(pointer="#/title", detail="Too long.", code="max_length")])
    assert error.as_problem()["errors"] == [{"pointer": "#/title", "detail": "Too long.", "code": "max_length"}]


def test_djangos_validation_error_is_translated_field_by_field():
    django = ValidationError(
        {"title": ["Too long."], "a/b~c d": [ValidationError("No %(what)s.", "no", {"what": "x"})]}
    )
    assert InvalidDataError.from_django(django).as_problem()["errors"] == [
        {"pointer": "#/title", "detail": "Too long.", "code": "invalid"},
        {"pointer": "#/a~1b~0c%20d", "detail": "No x.", "code": "no"},
    ]


def test_djangos_validation_error_of_no_field_is_of_the_whole_body():
    errors = InvalidDataError.from_django(ValidationError(["One.", "Two."])).as_problem()["errors"]
    assert [(error["pointer"], error["detail"]) for error in errors] == [("#", "One."), ("#", "Two.")]
