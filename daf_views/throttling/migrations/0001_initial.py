"""The table of the database backend."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """Create the table."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="ThrottleState",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("state", models.TextField()),
                ("version", models.BigIntegerField()),
                ("expires", models.BigIntegerField(db_index=True)),
            ],
            options={"verbose_name": "throttle state"},
        ),
    ]
