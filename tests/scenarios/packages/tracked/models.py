import pghistory
from django.db import models


@pghistory.track()
class Note(models.Model):
    number = models.IntegerField()
    text = models.CharField(max_length=50)
