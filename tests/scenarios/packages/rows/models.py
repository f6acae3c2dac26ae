from django.db import models


class Row(models.Model):
    owner = models.CharField(max_length=50)
