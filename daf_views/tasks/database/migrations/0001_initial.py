"""The table of the workers' heartbeats."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """Create the table."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("id", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("backend_name", models.CharField(max_length=32)),
                ("queue_names", models.TextField()),
                ("concurrency", models.PositiveIntegerField()),
                ("started_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={"verbose_name": "task worker"},
        ),
    ]
