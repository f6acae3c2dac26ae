"""Third-party backends, whose wrappers differ from Django's: owners have them unchanged."""

import asyncio
import importlib
import threading

import pytest
from django.db import InterfaceError, connection, connections

from daf_orm import database_sync_to_async
from tests.orm.leases.test_owners import PATIENCE, in_a_request
from tests.project.library.models import Counter

pytestmark = pytest.mark.usefixtures("many_connections")


class _Tenant:
    """An object that is no plain value: only its identity counts."""


def with_other_attributes_for_each_alias(backend):
    class DatabaseWrapper(backend):
        def __init__(self, settings_dict, alias="default"):
            super().__init__(settings_dict, alias)
            setattr(self, f"is_{alias}", True)

    return DatabaseWrapper


def with_features_as_a_property_and_operations_of_its_own(backend):
    class Operations(backend.ops_class):
        def __init__(self, wrapper, schema):
            super().__init__(wrapper)
            self.schema = schema

    class DatabaseWrapper(backend):
        def __init__(self, settings_dict, alias="default"):
            super().__init__(settings_dict, alias)
            self.ops = Operations(self, "own")

        @property
        def features(self):
            return self.found_features

        @features.setter
        def features(self, features):
            features.schema = "own"
            self.found_features = features

        def show(self):
            return self.features.schema, self.ops.schema

    return DatabaseWrapper


def with_methods_on_the_wrapper_itself(backend):
    class DatabaseWrapper(backend):
        def __init__(self, settings_dict, alias="default"):
            super().__init__(settings_dict, alias)
            self.called = set()
            for name in ("connect", "close", "commit", "set_autocommit", "make_cursor"):
                setattr(self, name, self._noting(name, getattr(self, name)))

        def _noting(self, name, method):
            def noting(*args, **kwargs):
                self.called.add(name)
                return method(*args, **kwargs)

            return noting

    return DatabaseWrapper


def with_a_metaclass_that_knows_each_class(backend):
    known = []

    class Registry(type):
        def __new__(cls, name, bases, members, *, vendor):
            made = super().__new__(cls, name, bases, members)
            known.append((vendor, made))
            return made

        def __init__(cls, name, bases, members, **_):
            super().__init__(name, bases, members)

    class DatabaseWrapper(backend, metaclass=Registry, vendor="other"):
        def show(self):
            return len(known)

    return DatabaseWrapper


def with_subclasses_that_have_to_say_something(backend):
    class Base(backend):
        def __init_subclass__(cls, *, vendor, **kwargs):
            super().__init_subclass__(**kwargs)

    class DatabaseWrapper(Base, vendor="other"):
        pass

    return DatabaseWrapper


def with_slots(backend):
    class DatabaseWrapper(backend):
        __slots__ = ("extra",)

        def show(self):
            self.extra = 1
            return self.extra

    return DatabaseWrapper


def with_a_tenant(backend):
    class DatabaseWrapper(backend):
        def __init__(self, settings_dict, alias="default"):
            super().__init__(settings_dict, alias)
            self.tenant = None
            self.schema_name = "public"

    return DatabaseWrapper


KINDS = [
    with_other_attributes_for_each_alias,
    with_features_as_a_property_and_operations_of_its_own,
    with_methods_on_the_wrapper_itself,
    with_a_metaclass_that_knows_each_class,
    with_subclasses_that_have_to_say_something,
    with_slots,
    with_a_tenant,
]


@pytest.fixture
def backend_of(monkeypatch, pool_with):
    """Give owners wrappers of a class derived from the backend's."""

    def install(make):
        module = importlib.import_module(f"{connections['default'].settings_dict['ENGINE']}.base")
        kind = make(module.DatabaseWrapper)
        monkeypatch.setattr(module, "DatabaseWrapper", kind)
        pool = pool_with(MAX_SIZE=4)
        return kind, pool

    return install


def show():
    found = getattr(connection, "show", None)
    return None if found is None else found()


@pytest.mark.parametrize("make", KINDS)
async def test_requests_have_the_wrappers_of_any_backend_share_connections_and_leave_nothing(backend_of, make):
    kind, pool = backend_of(make)
    barrier = threading.Barrier(2, timeout=PATIENCE)
    kept = []

    def change(name):
        assert isinstance(connections["default"], kind)
        assert not hasattr(connection, "of_request")
        connection.of_request = name
        kept.append(connections["default"])
        return Counter.objects.count()

    def look(alias="default"):
        connections[alias].ensure_connection()
        barrier.wait()
        return getattr(connections[alias], "of_request", None), show()

    async def request(name):
        await database_sync_to_async(change)(name)
        await Counter.objects.using("other").acount()
        return await asyncio.gather(*(database_sync_to_async(look)() for _ in range(2)))

    ((first, shown), second), third = [(await in_a_request(lambda name=name: request(name)))[0] for name in "ab"]
    assert (first, shown) == second == ("a", shown)
    assert third == [("b", shown)] * 2
    assert pool.get_stats()["connections_pinned"] == 0
    assert pool.get_stats()["pool_size"] <= 2
    for wrapper in kept:
        assert getattr(wrapper, "show", lambda: None)() == shown
        with pytest.raises(InterfaceError, match="request GET '/' was used after its owner had ended"):
            await database_sync_to_async(lambda wrapper=wrapper: wrapper.cursor().execute("SELECT 1"))()


async def test_methods_on_the_wrapper_itself_are_called_with_the_connection_of_the_pool(backend_of):
    _, pool = backend_of(with_methods_on_the_wrapper_itself)
    connected = set()

    def query():
        Counter.objects.count()
        connected.add(connection.connection)
        return set(connection.called)

    async def work():
        return await database_sync_to_async(query)()

    first, second = [(await in_a_request(work))[0] for _ in range(2)]
    assert first >= {"connect", "make_cursor"}
    assert (second & {"make_cursor", "connect"}, len(connected)) == ({"make_cursor"}, 1)
    assert pool.get_stats()["connections_open"] == 1


async def test_both_wrappers_show_an_attribute_that_the_backend_sets_and_code_changes(backend_of):
    backend_of(with_a_tenant)
    barrier, tenant = threading.Barrier(2, timeout=PATIENCE), _Tenant()

    def change():
        connection.tenant, connection.schema_name = tenant, "blue"

    def change_back():
        connection.tenant, connection.schema_name = None, "public"

    def look():
        connection.ensure_connection()
        barrier.wait()
        return connection.tenant, connection.schema_name

    async def request():
        found = []
        for work in (lambda: None, change, change_back):
            await database_sync_to_async(work)()
            found += await asyncio.gather(*(database_sync_to_async(look)() for _ in range(2)))
        return found

    expected = [*[(None, "public")] * 2, *[(tenant, "blue")] * 2, *[(None, "public")] * 2]
    assert await in_a_request(request) == [expected]
