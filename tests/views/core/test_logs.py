"""The log of an error names the remedy where there is one."""

import pytest
from django.db import DatabaseError

from daf_orm import transaction
from daf_orm.cursor import cursor
from daf_views._core.logs import log_error

pytestmark = pytest.mark.django_db


async def error_of(sql):
    with pytest.raises(DatabaseError) as caught:
        async with transaction.atomic(), cursor() as each:
            await each.execute(sql)
    return caught.value


async def test_a_missing_table_is_logged_with_the_remedy(caplog):
    await log_error("The store failed.", error=await error_of("SELECT * FROM not_migrated"))
    assert caplog.messages == ["The store failed. Has `manage.py migrate` been run?"]


async def test_another_error_of_a_database_has_no_remedy(caplog):
    await log_error("The store failed.", error=await error_of("SELECT FROM WHERE"))
    assert caplog.messages == ["The store failed."]
