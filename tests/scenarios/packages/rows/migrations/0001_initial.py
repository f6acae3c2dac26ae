from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = (
        migrations.CreateModel(
            name="Row",
            fields=[("id", models.BigAutoField(primary_key=True)), ("owner", models.CharField(max_length=50))],
        ),
    )
