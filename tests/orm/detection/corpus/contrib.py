"""Django's own applications go to the database."""

from django.contrib import messages
from django.contrib.auth import authenticate, get_user, login, logout
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.contrib.sites.shortcuts import get_current_site
from django.core.cache import caches

from tests.orm.detection.corpus.shapes import blocks
from tests.orm.detection.corpus.shelf import CacheStore, Shelf
from tests.project.library.models import Book, Review

SESSION = "sessions.Session"
USER = "auth.User"


@blocks(
    "SessionStore.__getitem__",
    model=SESSION,
    expression='shelf.request.session["basket"]',
    suggestion='await shelf.request.session.aget("basket")',
)
async def session_item(shelf: Shelf) -> None:
    shelf.request.session["basket"]  # blocks


@blocks("SessionStore.get", model=SESSION, suggestion='await shelf.request.session.aget("basket")')
async def session_get(shelf: Shelf) -> None:
    shelf.request.session.get("basket")  # blocks


@blocks("SessionStore.__setitem__", model=SESSION, suggestion='await shelf.request.session.aset("basket", …)')
async def session_set(shelf: Shelf) -> None:
    shelf.request.session["basket"] = [2]  # blocks


@blocks("SessionStore.__contains__", model=SESSION, suggestion='await shelf.request.session.ahas_key("basket")')
async def session_contains(shelf: Shelf) -> None:
    assert "basket" in shelf.request.session  # blocks


@blocks("SessionStore.save", model=SESSION, suggestion="await shelf.request.session.asave()")
async def session_save(shelf: Shelf) -> None:
    await shelf.request.session.aset("basket", [3])
    shelf.request.session.save()  # blocks


@blocks("SessionStore.flush", model=SESSION, suggestion="await shelf.request.session.aflush()")
async def session_flush(shelf: Shelf) -> None:
    shelf.request.session.flush()  # blocks


@blocks("SessionStore.get", suggestion='await CacheStore(shelf.cached_session).aget("basket")', swallowed=True)
async def session_on_a_database_cache(shelf: Shelf) -> None:
    CacheStore(shelf.cached_session).get("basket")  # blocks


@blocks(
    "DatabaseCache.get", expression='caches["database"].get("key")', suggestion='await caches["database"].aget("key")'
)
async def database_cache(shelf: Shelf) -> None:
    caches["database"].get("key")  # blocks


@blocks(
    "get_user",
    model=SESSION,
    expression="shelf.request.user.is_authenticated",
    suggestion="user = await shelf.request.auser()",
)
async def request_user(shelf: Shelf) -> None:
    assert shelf.request.user.is_authenticated  # blocks


@blocks("get_user", model=SESSION, suggestion="user = await shelf.request.auser()")
async def request_user_as_a_value(shelf: Shelf) -> None:
    if shelf.request.user:  # blocks
        pass


@blocks("get_user", model=SESSION, expression="get_user(shelf.request)", suggestion="await aget_user(shelf.request)")
async def get_user_of_a_request(shelf: Shelf) -> None:
    get_user(shelf.request)  # blocks


@blocks("authenticate", model=USER, suggestion='await aauthenticate(username="u0", password="secret")')
async def authentication(shelf: Shelf) -> None:
    authenticate(username="u0", password="secret")  # blocks


@blocks("login", model=SESSION, suggestion="await alogin(shelf.request, shelf.user")
async def logging_in(shelf: Shelf) -> None:
    login(shelf.request, shelf.user, backend="django.contrib.auth.backends.ModelBackend")  # blocks


@blocks("logout", model=SESSION, suggestion="await alogout(shelf.request)")
async def logging_out(shelf: Shelf) -> None:
    logout(shelf.request)  # blocks


@blocks("User.has_perm", model=USER, suggestion='await shelf.user.ahas_perm("library.add_author")')
async def has_perm(shelf: Shelf) -> None:
    shelf.user.has_perm("library.add_author")  # blocks


@blocks("User.get_all_permissions", model=USER, suggestion="await shelf.user.aget_all_permissions()")
async def get_all_permissions(shelf: Shelf) -> None:
    shelf.user.get_all_permissions()  # blocks


@blocks("QuerySet.__iter__", model="auth.Group", suggestion="[row async for row in shelf.user.groups.all()]")
async def groups(shelf: Shelf) -> None:
    list(shelf.user.groups.all())  # blocks


@blocks("ManyRelatedManager.add", model=USER, field="groups", suggestion="await shelf.user.groups.aadd(group)")
async def add_a_group(shelf: Shelf) -> None:
    group = await Group.objects.acreate(name="g0")
    shelf.user.groups.add(group)  # blocks


@blocks("UserManager.create_user", model=USER, suggestion='await User.objects.acreate_user("u1")')
async def create_user(shelf: Shelf) -> None:
    User.objects.create_user("u1")  # blocks


@blocks("UserManager.get_by_natural_key", model=USER, suggestion='await User.objects.aget_by_natural_key("u0")')
async def get_by_natural_key(shelf: Shelf) -> None:
    User.objects.get_by_natural_key("u0")  # blocks


@blocks(
    "ContentTypeManager.get_for_model",
    model="contenttypes.ContentType",
    suggestion="await database_sync_to_async(ContentType.objects.get_for_model)(Book)",
)
async def content_type(shelf: Shelf) -> None:
    ContentType.objects.get_for_model(Book)  # blocks


@blocks("Model.__init__", model="library.Review", suggestion="await database_sync_to_async(Review)(subject=")
async def content_type_of_a_new_subject(shelf: Shelf) -> None:
    Review(subject=shelf.author)  # blocks


@blocks(
    "SiteManager.get_current",
    model="sites.Site",
    suggestion="await database_sync_to_async(Site.objects.get_current)()",
)
async def current_site(shelf: Shelf) -> None:
    Site.objects.get_current()  # blocks


@blocks(
    "get_current_site", model="sites.Site", suggestion="await database_sync_to_async(get_current_site)(shelf.request)"
)
async def current_site_shortcut(shelf: Shelf) -> None:
    get_current_site(shelf.request)  # blocks


@blocks(
    "SessionStorage.__iter__",
    model=SESSION,
    suggestion="await database_sync_to_async(list)(messages.get_messages(shelf.request))",
)
async def reading_messages(shelf: Shelf) -> None:
    for message in messages.get_messages(shelf.request):  # blocks
        assert message


@blocks("SessionStorage.__len__", model=SESSION, suggestion="await database_sync_to_async(len)(messages.get_messages(")
async def counting_messages(shelf: Shelf) -> None:
    len(messages.get_messages(shelf.request))  # blocks
