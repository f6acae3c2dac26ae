"""Views that have an effect, a row, which is there once or not at all."""

import asyncio
import json
import uuid

from django.test import AsyncRequestFactory

from daf_orm import database_sync_to_async
from daf_views import AsyncAPIView
from daf_views.idempotency import IdempotencyKey
from tests.project.library.models import Event

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
count = database_sync_to_async(lambda: Event._base_manager.count())
create = database_sync_to_async(lambda name: Event._base_manager.create(name=name).pk)


class Order(AsyncAPIView):
    """Answers with the number of the row that it makes."""

    idempotency = IdempotencyKey()

    async def post(self, request):
        return self.success({"id": await create("order")}, status=201, headers={"Location": "/7"})

    patch = put = post


class Gate:
    """Lets a test stand inside of a handler."""

    def __init__(self):
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def passed(self):
        self.entered.set()
        await self.opened.wait()


def view(handler=None, *, key=None, atomic=False, **attributes):
    """Return a view class with a unique name, so that no other test has its keys."""
    name = f"View{uuid.uuid4().hex}"
    given = {"idempotency": key or IdempotencyKey(), "atomic": atomic, **attributes}
    if handler is not None:
        given |= {"post": handler, "patch": handler}
    return type(name, (Order,), given)


async def send(
    kind, body=b'{"book": 1}', *, key=KEY, method="POST", path="/orders", user=None, address=None, host=None, **request
):
    """Send a request to a view class."""
    headers = ({} if key is None else {"Idempotency-Key": key}) | request.pop("headers", {})
    request = {"content_type": "application/json", **request}
    made = AsyncRequestFactory().generic(method, path, body, headers=headers, **request)
    if user is not None:
        made.user = user
    if address is not None:
        made.META["REMOTE_ADDR"] = address
    if host is not None:
        made.META["HTTP_HOST"] = host
    return await kind.as_view()(made)


def code_of(response):
    return json.loads(response.content).get("code")
