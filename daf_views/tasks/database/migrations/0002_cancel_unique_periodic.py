"""The tables of cancellations, unique keys and periodic tasks."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """Create the tables."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("daf_tasks", "0001_initial")]
    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="Cancellation",
            fields=[
                ("task_id", models.UUIDField(primary_key=True, serialize=False)),
                ("requested_at", models.DateTimeField()),
            ],
            options={"verbose_name": "task cancellation"},
        ),
        migrations.CreateModel(
            name="UniqueKey",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("task_id", models.UUIDField(null=True)),
                ("asked_at", models.DateTimeField(db_index=True)),
            ],
            options={"verbose_name": "unique task key"},
        ),
        migrations.CreateModel(
            name="PeriodicTask",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("backend_name", models.CharField(max_length=32)),
                ("task_path", models.TextField()),
                ("schedule", models.TextField()),
                ("due_at", models.DateTimeField()),
                ("fired_at", models.DateTimeField(null=True)),
            ],
            options={"verbose_name": "periodic task"},
        ),
    ]
