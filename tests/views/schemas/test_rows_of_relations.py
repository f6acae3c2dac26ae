"""A typed list shows of related rows that are missing, or hidden by the database, what instances would show."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from django.db import connection, models
from django.db.models import Q
from django.test.utils import isolate_apps

from tests.views.schemas.test_rows import read_both_ways

pytestmark = pytest.mark.django_db(transaction=True)


class Blank(models.TextField):
    """One that makes a text of NULL."""

    def from_db_value(self, value: Any, *_: Any) -> Any:
        return value or ""


class NoteOut(msgspec.Struct):
    note: str


class KeyOut(msgspec.Struct):
    id: int


class CodeOut(msgspec.Struct):
    code: str


class SizeOut(msgspec.Struct):
    size: int


class PlacedOut(msgspec.Struct):
    size: int
    place: KeyOut


class MaybeOut(msgspec.Struct):
    size: int
    maybe: NoteOut | None


class CodedOut(msgspec.Struct):
    coded_id: str | None
    coded: CodeOut | None


class KeyOfCodedOut(msgspec.Struct):
    coded: KeyOut | None


class WithDefaultOut(msgspec.Struct):
    id: int
    place: NoteOut | None = None


class HolderOut(msgspec.Struct):
    name: str
    item: WithDefaultOut | None


@pytest.fixture
def items() -> Iterator[tuple[Any, Any]]:
    """Tables without constraints, in which some keys lead nowhere."""
    with isolate_apps("tests.project.library"):
        meta = type("Meta", (), {"app_label": "library"})

        class Place(models.Model):
            note = Blank(default="")
            code = models.CharField(max_length=9, unique=True)
            Meta = meta

        def key(to: Any, **options: Any) -> Any:
            return models.ForeignKey(to, models.DO_NOTHING, db_constraint=False, related_name="+", **options)

        class Item(models.Model):
            size = models.IntegerField(default=1)
            place = key(Place)
            maybe = key(Place, null=True)
            coded = key(Place, null=True, to_field="code")
            Meta = meta

        class Holder(models.Model):
            name = models.CharField(max_length=9, default="h")
            item = key(Item, null=True)
            Meta = meta

    made = (Place, Item, Holder)
    with connection.schema_editor() as editor:
        for model in made:
            editor.create_model(model)
    place = Place.objects.create(note="n", code="c")
    found = [
        Item.objects.create(place=place),
        Item.objects.create(place_id=99, maybe_id=98, coded_id="gone"),
        Item.objects.create(place=place, maybe=place, coded=place),
    ]
    for key_of_item in (*(each.pk for each in found), None, 77):
        Holder.objects.create(item_id=key_of_item)
    yield Item.objects.order_by("pk"), Holder.objects.order_by("pk")
    with connection.schema_editor() as editor:
        for model in reversed(made):
            editor.delete_model(model)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (SizeOut, ["place"]),
        (SizeOut, ["maybe"]),
        (PlacedOut, ["place"]),
        (PlacedOut, ["place", "maybe"]),
        (MaybeOut, ["maybe"]),
        (CodedOut, ["coded"]),
        (KeyOfCodedOut, ["coded"]),
    ],
)
def test_a_key_that_leads_nowhere(items: Any, kind: Any, named: list[str]) -> None:
    assert read_both_ways(kind, items[0].select_related(*named))


@pytest.mark.parametrize("condition", [Q(), Q(item__size=1) | Q(name="h"), Q(item__place__code="c"), Q(item=None)])
def test_a_key_that_leads_nowhere_in_a_related_row(items: Any, condition: Q) -> None:
    assert read_both_ways(HolderOut, items[1].filter(condition).select_related("item__place"))


def test_a_descriptor_that_sets_another_column() -> None:
    class Setting(models.query_utils.DeferredAttribute):
        def __set__(self, instance: Any, value: Any) -> None:
            vars(instance).update({self.field.attname: value, "title": f"{value}!"})

    class SettingField(models.IntegerField):
        descriptor_class = Setting

    class TitleOut(msgspec.Struct):
        title: str

    with isolate_apps("tests.project.library"):

        class Titled(models.Model):
            title = models.CharField(max_length=9)
            stock = SettingField()

            class Meta:
                app_label = "library"

    with connection.schema_editor() as editor:
        editor.create_model(Titled)
    Titled.objects.bulk_create([Titled(title="a", stock=1)])
    assert not read_both_ways(TitleOut, Titled.objects.all())
    with connection.schema_editor() as editor:
        editor.delete_model(Titled)
