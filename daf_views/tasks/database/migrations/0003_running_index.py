"""An index on the engine's table for running tasks, which the recovery of lost workers reads.

The engine has one for tasks that are queued. Its table keeps tasks that have ended until they are pruned.
"""

from typing import Any, ClassVar

from django.db import migrations, models, router
from django.db.migrations.operations.base import Operation

INDEX = models.Index(
    fields=["status", "backend_name"], name="daf_tasks_running_idx", condition=models.Q(status="RUNNING")
)


def add(apps: Any, schema_editor: Any) -> None:
    """Add it where the table is. Databases without partial indexes have it for all rows."""
    model = apps.get_model("django_tasks_database", "DBTaskResult")
    if router.allow_migrate_model(schema_editor.connection.alias, model):
        schema_editor.add_index(model, _index_for(schema_editor.connection))


def remove(apps: Any, schema_editor: Any) -> None:
    """Remove it."""
    model = apps.get_model("django_tasks_database", "DBTaskResult")
    if router.allow_migrate_model(schema_editor.connection.alias, model):
        schema_editor.remove_index(model, _index_for(schema_editor.connection))


def _index_for(connection: Any) -> models.Index:
    if connection.features.supports_partial_indexes:
        return INDEX
    return models.Index(fields=INDEX.fields, name=INDEX.name)


class Migration(migrations.Migration):
    """Add the index."""

    dependencies: ClassVar[list[tuple[str, str]]] = [
        ("daf_tasks", "0002_cancel_unique_periodic"),
        ("django_tasks_database", "0021_conditional_partial_index_ordering"),
    ]
    # Not atomic, because MySQL would end the transaction: where DDL can be rolled back, the migration has one.
    operations: ClassVar[list[Operation]] = [migrations.RunPython(add, remove, atomic=False)]
