"""The adapter: Django's own ``a…`` methods on DAF's pool, in unchanged models, and Django unchanged without it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent

import asgiref.sync
import django
import pytest
from django.contrib.auth import aauthenticate, aget_user, alogin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.fields import create_generic_related_manager
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import paginator
from django.db import models
from django.db.models import aprefetch_related_objects
from django.db.models.query import QuerySet
from django.http import HttpRequest
from django.shortcuts import aget_list_or_404, aget_object_or_404

from daf_orm import _adapter, get_pool, transaction
from daf_orm._aiterator import AsyncIteration
from daf_orm.patches import Patch
from tests.project.library.models import Author, Book, Counter, Publisher, Review

ABSENT = set() if django.VERSION >= (6, 0) else {("django.core.paginator", "sync_to_async")}
"""Rows for attributes that only later versions of Django have."""

needs_async_paginator = pytest.mark.skipif(django.VERSION < (6, 0), reason="AsyncPaginator came with Django 6.0")


def requests() -> int:
    return get_pool().get_stats()["requests_num"]


@contextmanager
def our_pool_used() -> Iterator[None]:
    before = requests()
    yield
    assert requests() > before


@pytest.fixture(autouse=True)
def fast_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def without_adapter() -> Iterator[None]:
    _adapter.deactivate()
    yield
    _adapter.activate()


# Managers, querysets, instances


async def test_a_stock_manager() -> None:
    with our_pool_used():
        await Counter.objects.acreate(name="a")
    with our_pool_used():
        assert await Counter.objects.filter(name="a").acount() == 1


async def test_async_for_over_a_stock_queryset() -> None:
    counter = await Counter.objects.acreate(name="a")

    with our_pool_used():
        assert [row async for row in Counter.objects.all()] == [counter]


async def test_async_for_over_a_stock_raw_queryset() -> None:
    counter = await Counter.objects.acreate(name="a")

    with our_pool_used():
        rows = Counter.objects.raw(f"SELECT * FROM {Counter._meta.db_table}")
        assert [row async for row in rows] == [counter]


async def test_aiterator_of_a_stock_queryset_holds_one_lease(pool_with) -> None:
    pool_with(MAX_SIZE=1, TIMEOUT=5.0)
    await Counter.objects.abulk_create([Counter(name=name) for name in "abc"])

    with our_pool_used():
        async for _counter in Counter.objects.aiterator(chunk_size=1):
            break
    assert await Counter.objects.acount() == 3


async def test_a_stock_instance() -> None:
    counter = Counter(name="a")
    with our_pool_used():
        await counter.asave()
    with our_pool_used():
        await counter.arefresh_from_db()
    with our_pool_used():
        assert await counter.adelete() == (1, {"library.Counter": 1})


async def test_stock_code_joins_the_transaction() -> None:
    with pytest.raises(LookupError):
        async with transaction.atomic():
            await Counter.objects.acreate(name="a")
            await Counter(name="b").asave()
            assert await Counter.objects.acount() == 2
            raise LookupError

    assert await Counter.objects.acount() == 0


async def test_the_shortcuts() -> None:
    counter = await Counter.objects.acreate(name="a")

    with our_pool_used():
        assert await aget_object_or_404(Counter, name="a") == counter
    with our_pool_used():
        assert await aget_list_or_404(Counter, name="a") == [counter]


async def test_aprefetch_related_objects() -> None:
    publisher = await Publisher.objects.acreate(name="Parnassus")
    author = await Author.objects.acreate(name="Ursula")
    await Book.objects.acreate(title="Earthsea", author=author, publisher=publisher)

    with our_pool_used():
        await aprefetch_related_objects([publisher], "books__author")

    assert [book.author.name for book in publisher.books.all()] == ["Ursula"]


# Related managers


async def test_a_stock_many_to_many() -> None:
    user = await User.objects.acreate_user("ursula")
    group = await Group.objects.acreate(name="authors")

    with our_pool_used():
        await user.groups.aadd(group)
    with our_pool_used():
        assert [row async for row in group.user_set.all()] == [user]
    with our_pool_used():
        await user.groups.aset([])
    assert await user.groups.acount() == 0


async def test_a_stock_foreign_key() -> None:
    content_type = await ContentType.objects.aget(app_label="library", model="book")

    with our_pool_used():
        permission = await content_type.permission_set.acreate(codename="lend_book", name="Can lend book")
    with our_pool_used():
        _, created = await content_type.permission_set.aget_or_create(codename="lend_book")

    assert not created
    assert permission.content_type_id == content_type.pk


async def test_a_stock_generic_relation() -> None:
    author = await Author.objects.acreate(name="Ursula")
    book = await Book.objects.acreate(title="Earthsea", author=author)
    await asgiref.sync.sync_to_async(ContentType.objects.get_for_model)(Book)
    reviews = create_generic_related_manager(models.Manager, Book.reviews.rel)(book)

    with our_pool_used():
        review = await reviews.acreate(rating=5)
    with our_pool_used():
        await reviews.aset([review])

    assert [row async for row in Review.objects.all()] == [review]


async def test_content_types() -> None:
    with our_pool_used():
        content_type = await ContentType.objects.aget(app_label="library", model="book")

    assert content_type.model_class() is Book


# Users


async def test_creating_a_user() -> None:
    with our_pool_used():
        user = await User.objects.acreate_user("ursula", password="mistress of winds")
    with our_pool_used():
        assert await User.objects.aget_by_natural_key("ursula") == user


async def test_authenticating_a_user() -> None:
    user = await User.objects.acreate_user("ursula", password="earthsea")

    with our_pool_used():
        assert await aauthenticate(username="ursula", password="earthsea") == user
    with our_pool_used():
        assert await aauthenticate(username="ursula", password="wrong") is None
    with our_pool_used():
        assert await aauthenticate(username="nobody", password="wrong") is None


@pytest.mark.allow_blocking(reason="Django hashes the renewed password on the event loop")
async def test_a_password_in_an_old_format_is_renewed(settings) -> None:
    user = await User.objects.acreate_user("ursula", password="earthsea")
    newer = "django.contrib.auth.hashers.ScryptPasswordHasher"
    settings.PASSWORD_HASHERS = [newer, *settings.PASSWORD_HASHERS]

    with our_pool_used():
        assert await user.acheck_password("earthsea")

    await user.arefresh_from_db()
    assert user.password.startswith("scrypt$")


async def test_a_user_s_permissions() -> None:
    user = await User.objects.acreate_user("ursula")
    content_type = await ContentType.objects.aget(app_label="library", model="book")
    permission, _ = await Permission.objects.aget_or_create(
        content_type=content_type, codename="lend_book", defaults={"name": "Can lend book"}
    )
    await user.user_permissions.aadd(permission)

    with our_pool_used():
        assert await user.ahas_perm("library.lend_book")
    assert not await user.ahas_perm("library.burn_book")
    assert await user.ahas_module_perms("library")


async def test_a_group_s_permissions() -> None:
    user = await User.objects.acreate_user("ursula")
    group = await user.groups.acreate(name="authors")
    content_type = await ContentType.objects.aget(app_label="library", model="book")
    permission, _ = await Permission.objects.aget_or_create(
        content_type=content_type, codename="lend_book", defaults={"name": "Can lend book"}
    )
    await group.permissions.aadd(permission)

    with our_pool_used():
        assert await user.aget_group_permissions() == {"library.lend_book"}
    with our_pool_used():
        assert await user.aget_all_permissions() == {"library.lend_book"}


async def test_logging_in_and_finding_the_user_again() -> None:
    user = await User.objects.acreate_user("ursula", password="earthsea")
    request = HttpRequest()
    request.session = SessionStore()

    with our_pool_used():
        await alogin(request, user, "django.contrib.auth.backends.ModelBackend")
    with our_pool_used():
        assert await aget_user(request) == user


# Sessions


async def test_a_session_is_saved_and_loaded() -> None:
    session = SessionStore()
    await session.aset("colour", "blue")
    with our_pool_used():
        await session.asave()

    with our_pool_used():
        assert await SessionStore(session.session_key).aget("colour") == "blue"


async def test_a_session_changes_its_key() -> None:
    session = SessionStore()
    await session.aset("colour", "blue")
    await session.asave()
    old_key = session.session_key

    with our_pool_used():
        await session.acycle_key()

    assert session.session_key != old_key
    assert not await session.aexists(old_key)


async def test_a_session_ends() -> None:
    session = SessionStore()
    await session.acreate()
    with our_pool_used():
        assert await session.aexists(session.session_key)
    with our_pool_used():
        await session.aflush()

    assert await Session.objects.acount() == 0


async def test_expired_sessions_are_cleared() -> None:
    session = SessionStore()
    await session.aset_expiry(-1)
    await session.asave()

    with our_pool_used():
        await SessionStore.aclear_expired()

    assert await Session.objects.acount() == 0


async def test_a_session_backend_without_async_code() -> None:
    class Countdown(SessionBase):
        def exists(self, session_key: str) -> bool:
            return Session.objects.filter(session_key=session_key).exists()

    with our_pool_used():
        assert not await Countdown().aexists("nothing")


# Pages


@needs_async_paginator
async def test_a_paginator_over_a_stock_queryset() -> None:
    await Counter.objects.abulk_create([Counter(name=name) for name in "abcde"])
    pages = paginator.AsyncPaginator(Counter.objects.order_by("name"), 2)

    with our_pool_used():
        assert await pages.anum_pages() == 3
    page = await pages.aget_page(2)
    with our_pool_used():
        assert [counter.name for counter in await page.aget_object_list()] == ["c", "d"]


@needs_async_paginator
async def test_a_paginator_over_something_else_that_queries() -> None:
    class Names:
        def __len__(self) -> int:
            return Counter.objects.count()

        count = __len__

        def __getitem__(self, index: slice) -> "Names":
            return self

        def __iter__(self) -> Iterator[str]:
            return iter(Counter.objects.values_list("name", flat=True))

    await Counter.objects.acreate(name="a")
    page = paginator.AsyncPage(Names(), 1, None)

    with our_pool_used():
        assert await page.aget_object_list() == ["a"]


# The table


def owner_of(patch: Patch) -> object:
    try:
        return patch.resolve_owner()
    except (ImportError, RuntimeError):
        return None


def test_each_row_names_an_attribute_of_this_django() -> None:
    missing = {
        (patch.owner, patch.name) for patch in _adapter.PATCHES.patches if not hasattr(owner_of(patch), patch.name)
    }

    assert missing == ABSENT


def test_each_row_says_why() -> None:
    assert all(patch.why for patch in _adapter.PATCHES.patches)
    assert len({(patch.owner, patch.name) for patch in _adapter.PATCHES.patches}) == len(_adapter.PATCHES.patches)


def test_the_application_activates_the_table() -> None:
    for patch in _adapter.PATCHES.patches:
        if (patch.owner, patch.name) not in ABSENT:
            assert vars(owner_of(patch))[patch.name] is patch.replacement


@pytest.mark.usefixtures("without_adapter")
def test_deactivate_restores_the_originals() -> None:
    for patch in _adapter.PATCHES.patches:
        if (patch.owner, patch.name) not in ABSENT and patch.name == "sync_to_async":
            assert owner_of(patch).sync_to_async is asgiref.sync.sync_to_async
    assert QuerySet.aiterator.__module__ == "django.db.models.query"


@pytest.mark.usefixtures("without_adapter")
def test_activate_and_deactivate_leave_no_trace() -> None:
    def look() -> list[object]:
        owners = [(owner_of(patch), patch.name) for patch in _adapter.PATCHES.patches]
        return [vars(owner).get(name) for owner, name in owners]

    before = look()
    _adapter.activate()
    assert look() != before
    _adapter.deactivate()
    assert all(one is other for one, other in zip(look(), before, strict=True))


@pytest.mark.usefixtures("without_adapter")
def test_activating_twice_is_undone_by_deactivating_once() -> None:
    _adapter.activate()
    _adapter.activate()
    _adapter.deactivate()
    _adapter.deactivate()

    assert not isinstance(Counter.objects.all().aiterator(), AsyncIteration)


def test_dafs_classes_work_without_the_adapter(without_adapter: None) -> None:
    assert isinstance(Author.objects.all().aiterator(), AsyncIteration)
    assert Author.asave is not models.Model.asave


@pytest.mark.no_database
@pytest.mark.parametrize("adapt", [True, False])
def test_adapt_django_decides_whether_django_is_touched(adapt: bool) -> None:  # noqa: FBT001
    output = run_in_new_process(f"""
        import asgiref.sync, django
        from django.conf import settings
        settings.configure(
            DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "daf_orm"],
            DAF_ORM={{"ADAPT_DJANGO": {adapt}}},
        )
        django.setup()
        from daf_orm import _adapter as adapter
        from django.db.models.query import QuerySet
        owners = [patch.resolve_owner() for patch in adapter.PATCHES.patches if patch.name == "sync_to_async"]
        print(all(getattr(owner, "sync_to_async", asgiref.sync.sync_to_async) is asgiref.sync.sync_to_async
                  for owner in owners), QuerySet.aiterator.__module__)
    """)

    assert output == (["False", "daf_orm._adapter"] if adapt else ["True", "daf_orm._adapter"])


@pytest.mark.usefixtures("without_adapter")
async def test_without_the_optional_rows_djangos_own_iteration_works() -> None:
    await Counter.objects.abulk_create([Counter(name=name) for name in "abc"])
    _adapter.activate(optional=False)

    assert asgiref.sync.sync_to_async is django.db.models.query.sync_to_async
    assert [row.name async for row in Counter.objects.order_by("name").aiterator(chunk_size=1)] == ["a", "b", "c"]


def run_in_new_process(code: str) -> list[str]:
    command = [sys.executable, "-W", "error", "-c", dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()
