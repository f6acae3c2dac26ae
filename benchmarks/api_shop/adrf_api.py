"""With adrf: Django REST framework's serializers in asynchronous views."""

from typing import Any

from adrf.serializers import ModelSerializer, Serializer
from adrf.views import APIView
from django.urls import path
from rest_framework import serializers
from rest_framework.response import Response

from benchmarks.api_shop.models import Author, Book, books


class Line(Serializer):
    """A line of an order."""

    book = serializers.IntegerField()
    quantity = serializers.IntegerField(min_value=1)
    price = serializers.FloatField()


class OrderIn(Serializer):
    """An order."""

    customer = serializers.CharField()
    lines = Line(many=True)


class AuthorOut(ModelSerializer):
    """An author."""

    class Meta:
        """Its fields."""

        model = Author
        fields = ("id", "name")


class BookOut(ModelSerializer):
    """A book."""

    author = AuthorOut()

    class Meta:
        """Its fields."""

        model = Book
        fields = ("id", "title", "author")


class OrderView(APIView):
    """Orders."""

    authentication_classes = permission_classes = ()

    async def post(self, request: Any) -> Response:
        """Take one."""
        serializer = OrderIn(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        total = sum(line["quantity"] * line["price"] for line in data["lines"])
        return Response({"customer": data["customer"], "total": total}, status=201)


class BooksView(APIView):
    """Books."""

    authentication_classes = permission_classes = ()

    async def get(self, request: Any) -> Response:  # noqa: ARG002
        """List them."""
        return Response(await BookOut([book async for book in books()], many=True).adata)


urlpatterns = [path("order", OrderView.as_view()), path("books", BooksView.as_view())]
