"""Orders belong to a branch; on PostgreSQL a branch sees no others.

A session without `app.branch`, such as that of `manage.py shell`, is in the main shop. FORCE, because the shop's user
owns the tables, and PostgreSQL exempts owners otherwise. Lines have no policy: they name no customer, the report adds
up those of the chain, and a book that was sold anywhere is not deleted.
"""

# ruff: noqa: RUF012 (written by makemigrations)

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import shop.branches

POLICIES = {
    "shop_order": "branch = coalesce(nullif(current_setting('app.branch', true), ''), 'main')",
    "shop_receipt": "order_id IN (SELECT id FROM shop_order)",
}


def create_policies(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for table, condition in POLICIES.items():
            schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
            schema_editor.execute(f"CREATE POLICY own_branch ON {table} USING ({condition})")


def drop_policies(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for table in reversed(POLICIES):
            schema_editor.execute(f"DROP POLICY own_branch ON {table}")
            schema_editor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0003_version_and_token"),
    ]

    operations = [
        migrations.AddField(
            model_name="order",
            name="branch",
            field=models.CharField(db_index=True, default=shop.branches.branch_now, editable=False, max_length=20),
        ),
        migrations.RunPython(create_policies, drop_policies),
    ]
