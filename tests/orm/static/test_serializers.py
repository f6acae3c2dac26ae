"""Serializers are followed: the values that they read, validate and save with queries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orm.static.checking import findings

SERIALIZERS = """
    from asgiref.sync import sync_to_async
    from rest_framework import serializers
    class AuthorSerializer(serializers.ModelSerializer):
        titles = serializers.SerializerMethodField()
        def get_titles(self, author):
            return [book.title for book in author.books.all()]
        class Meta:
            model = Author
            fields = ("name", "titles")
    class Plain(serializers.Serializer):
        title = serializers.CharField()
        def validate_title(self, value):
            return Book.objects.get(title=value)
        def create(self, validated):
            return Book.objects.create(**validated)
        def update(self, book, validated):
            book.save()
    class Shown(serializers.ModelSerializer):
        def to_representation(self, book):
            return {**super().to_representation(book), "count": Book.objects.count()}
        class Meta:
            model = Book
            fields = ("title", "label")
    class Nested(serializers.ModelSerializer):
        author = AuthorSerializer()
        class Meta:
            model = Book
            fields = ("title", "author")
    class Source(serializers.Serializer):
        author = serializers.CharField(source="author.name")
    class Keys(serializers.ModelSerializer):
        class Meta:
            model = Book
            fields = ("title", "author", "tags")
    class Read(serializers.ModelSerializer):
        class Meta:
            model = Book
            fields = ("title", "author")
            read_only_fields = ("author",)
"""
BOOK = "await Book.objects.aget(pk=1)"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("AuthorSerializer(await Author.objects.aget()).data", [("DAF001", "author.books.all()")]),
        ("AuthorSerializer(await Author.objects.prefetch_related('books').aget()).data", []),
        ("AuthorSerializer(Author.objects.prefetch_related('books'), many=True).data", [("DAF041", "…")]),
        (f"Nested({BOOK}).data", [("DAF001", "author.books.all()"), ("DAF041", "…")]),
        ("Nested(await Book.objects.select_related('author').prefetch_related('author__books').aget()).data", []),
        (f"Source({BOOK}).data", [("DAF041", "…")]),
        ("Source(await Book.objects.select_related('author').aget()).data", []),
        (f"Keys({BOOK}).data", [("DAF041", "…")]),
        ("Keys(await Book.objects.prefetch_related('tags').aget()).data", []),
        ("Shown(await Book.objects.select_related('author').aget()).data", [("DAF010", "Book.objects.count()")]),
        ("Plain(data={}).is_valid()", [("DAF010", "Book.objects.get(title=value)")]),
        ("Plain(data={}).save()", [("DAF010", "Book.objects.create(**validated)")]),
        ("Plain(await Book.objects.aget(), data={}).save()", [("DAF030", "book.save()")]),
        ("Keys(data={}).is_valid()", [("DAF041", "…")]),
        ("Keys(data={}).save()", [("DAF041", "…")]),
        ("Read(data={}).is_valid()", []),
        ("await sync_to_async(Plain(data={}).save)()", []),
        ("await sync_to_async(lambda: Keys(data={}).is_valid())()", []),
        ("Plain(data={})", []),
    ],
)
def test_a_serializer_is_followed(line: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    found = findings(tmp_path, f"{SERIALIZERS}    async def view(request):\n        {line}\n")

    shown = sorted((each.code, "…" if each.expression in line else each.expression) for each in found)
    assert shown == sorted(expected)
