"""Policies of a view are of the right kind; handlers return values of their annotated types."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, assert_type

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from shop.models import Author, Book

from daf_views import AsyncAPIView, AsyncView
from daf_views.access import LoginRequiredMixin
from daf_views.api import APIRequest, JSONParser, MultiPartParser, Query, Shaped, Status
from daf_views.auth import APIKeyAuthentication, BearerAuthentication, HasPerms, IsAuthenticated, SessionAuthentication
from daf_views.conditional import ConditionalView
from daf_views.exceptions import ConflictError
from daf_views.generic import ListView
from daf_views.idempotency import IdempotencyKey
from daf_views.middleware import async_error_middleware, thread_free
from daf_views.openapi import operation, responds
from daf_views.pagination import CursorPagination, PageNumberPagination
from daf_views.services import Services, override_services
from daf_views.throttling import AsyncConcurrencyThrottle, AsyncRateThrottle

T = TypeVar("T")

assert_type(thread_free(["django.middleware.common.CommonMiddleware"]), list[str])
thread_free(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
callable(async_error_middleware)


@dataclass
class BookOut:
    title: str


class Rates:
    async def of(self, currency: str) -> float:
        return len(currency)


async def rates(request: HttpRequest) -> AsyncIterator[Rates]:
    yield Rates()


class Token(BearerAuthentication):
    async def get_user(self, token: str) -> Any:
        return token or None


class Key(APIKeyAuthentication):
    async def get_user(self, key: str) -> Any:
        return key or None


class IsCustomer:
    message = "Only customers may order."

    async def has_permission(self, request: HttpRequest, view: AsyncAPIView) -> bool:
        return bool(request.user)

    async def has_object_permission(self, request: HttpRequest, view: AsyncAPIView, obj: Book) -> bool:
        return obj.stock > 0


class EveryOther:
    async def check(self, req: HttpRequest, view: Any) -> None:
        print(req, view)


class Books(AsyncAPIView):
    authentication = [Token, Key(), SessionAuthentication]
    permissions = [IsCustomer, HasPerms("shop.add_book"), IsAuthenticated()]
    throttle = AsyncRateThrottle("10/minute")
    throttles = [AsyncRateThrottle(["5/second", "1000/day"]), AsyncConcurrencyThrottle(2), EveryOther]
    parsers = [JSONParser, MultiPartParser(limit=10)]
    pagination = CursorPagination(size=50, ordering=("-pk",))
    idempotency = IdempotencyKey()
    atomic = "replica"
    deadline = 2

    async def get(self, request: HttpRequest, title: str = "", page: Annotated[int, Query(alias="p")] = 1) -> list[str]:
        return [title] * page

    async def post(self, request: APIRequest) -> HttpResponse:
        assert_type(request.data, Any)
        return self.success({"id": 1}, status=201)


class Tuples(AsyncAPIView):
    authentication = ()
    permissions = (IsAuthenticated,)
    throttle = None
    throttles = (EveryOther(),)
    pagination = PageNumberPagination


class Priced(AsyncView):
    services: Services = {"today": dt.date.today, "rates": rates}

    async def get(self, request: HttpRequest) -> HttpResponse:
        price = await self.services.rates.of("eur")
        return HttpResponse(f"{price} {self.services['today']} {'rates' in self.services} {len(self.services)}")


class Unannotated(AsyncView):
    services = {"today": dt.date.today, "rates": rates, "cache": dict}


override_services(Priced, rates=Rates)


class Shaping(AsyncAPIView):
    """A handler that returns what becomes what it says."""

    async def get(self, request: HttpRequest) -> Shaped[list[BookOut]]:
        return Book.objects.cheap()

    async def post(self, request: APIRequest) -> Annotated[Shaped[BookOut], Status(201)]:
        return await Book.objects.acreate(title=request.data["title"])

    async def put(self, request: HttpRequest) -> Shaped[list[BookOut]]:
        return await Book.objects.alist()

    async def patch(self, request: HttpRequest) -> Shaped[list[BookOut]]:
        return [BookOut(title="x")]

    async def delete(self, request: HttpRequest) -> Shaped[BookOut]:
        return 3  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class ListOf(AsyncAPIView, Generic[T]):
    async def get(self, request: HttpRequest) -> list[T]:
        return []

    async def post(self, request: HttpRequest) -> Shaped[list[T]]:
        return Author.objects.all()


class Users(ListOf[BookOut]):
    pass


async def generic_views(view: Users, request: HttpRequest) -> None:
    assert_type(await view.get(request), list[BookOut])


@AsyncRateThrottle("1/minute")
async def throttled(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(pk)


@AsyncRateThrottle("1/minute")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
def synchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.path)


@operation(tags=["jobs"])
class Jobs(LoginRequiredMixin, AsyncAPIView):
    @operation(id="startJob")
    @responds(202, BookOut)
    async def post(self, request: APIRequest) -> HttpResponse:
        raise ConflictError("Started.", code="started")

    async def authenticate(self, request: HttpRequest) -> Any:
        return await super().authenticate(request)

    async def handle_exception(self, exc: Exception) -> HttpResponseBase:
        return await super().handle_exception(exc)


async def decorated(request: APIRequest, view: Jobs) -> None:
    assert_type(await throttled(request, 1), HttpResponse)
    assert_type(await view.post(request), HttpResponse)
    await throttled(request)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


urlpatterns = [path("jobs", Jobs.as_view()), path("books", Books.as_view(throttle=None)), path("x/<int:pk>", throttled)]


class Versioned(ConditionalView, AsyncAPIView):
    def etag_of(self, book: Book) -> int:
        return book.version


class BookList(ListView):
    queryset = Book.objects.select_related("author")

    async def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return await super().get_context_data(**kwargs)


class Wrong(AsyncAPIView):
    services = {"clock": 3}  # type: ignore[dict-item]  # pyright: ignore[reportAssignmentType]
    authentication = [IsCustomer]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
    permissions = ["nonsense"]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
    throttle = 3  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    throttles = [IsCustomer]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
    parsers = [dict]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
    pagination = 50  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    idempotency = True  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    atomic = 3  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    deadline = "2 s"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class NotAList(AsyncAPIView):
    services = ["clock"]  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    authentication = Token  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    permissions = IsCustomer  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    throttles = AsyncRateThrottle("1/minute")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class SyncPermission:
    def has_permission(self, request: HttpRequest, view: AsyncAPIView) -> bool:
        return bool(request.user)


class WrongKinds(AsyncAPIView):
    services = {1: dict}  # type: ignore[dict-item]  # pyright: ignore[reportAssignmentType]
    permissions = [SyncPermission]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
