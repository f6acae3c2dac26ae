"""A Channels consumer beside the HTTP application: one pool, one set of rules."""

import asyncio

import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.testing import WebsocketCommunicator
from django.http import JsonResponse
from django.urls import path

from daf_orm import get_pool, transaction
from daf_views.asgi import get_asgi_application
from tests.project.library.models import Author
from tests.support.exchange import exchange

pytestmark = pytest.mark.django_db(transaction=True)


class Registrar(AsyncJsonWebsocketConsumer):
    """Adds the authors it is sent, all of them or none."""

    async def receive_json(self, content, **kwargs):
        try:
            async with transaction.atomic():
                for name in content:
                    if not name:
                        raise ValueError(name)
                    await Author.objects.acreate(name=name)
        except ValueError:
            await self.send_json({"added": 0})
        else:
            await self.send_json({"added": len(content)})


async def names(request):
    return JsonResponse(
        [name async for name in Author.objects.order_by("name").values_list("name", flat=True)], safe=False
    )


urlpatterns = [path("names", names)]


@pytest.fixture
def application():
    http = get_asgi_application()
    websocket = URLRouter([path("register", Registrar.as_asgi())])
    return ProtocolTypeRouter({"http": http, "lifespan": http, "websocket": websocket})


async def test_a_consumer_and_a_view_share_the_pool_and_the_rules(application):
    socket = WebsocketCommunicator(application, "/register")
    await socket.connect()
    await socket.send_json_to(["Ada", "Grace"])
    assert await socket.receive_json_from() == {"added": 2}
    await socket.send_json_to(["Alan", ""])
    assert await socket.receive_json_from() == {"added": 0}
    assert (await exchange(application, path="/names")).body == b'["Ada", "Grace"]'
    await socket.disconnect()
    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"]


async def test_consumers_at_once_hold_no_more_connections_than_the_pool_has(application):
    sockets = [WebsocketCommunicator(application, "/register") for _ in range(20)]
    for number, socket in enumerate(sockets):
        await socket.connect()
        await socket.send_json_to([f"author {number}"])
    assert await asyncio.gather(*(socket.receive_json_from(timeout=10) for socket in sockets)) == [{"added": 1}] * 20
    for socket in sockets:
        await socket.disconnect()
    assert await Author.objects.acount() == 20
    assert get_pool().get_stats()["pool_size"] <= get_pool().max_size
