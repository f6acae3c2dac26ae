# Django's related managers, of asynchronous querysets.

from django.db.models import Model
from django.db.models.fields import related_descriptors
from typing_extensions import TypeVar

from daf_orm.manager import AsyncManager

__all__ = ["ManyRelatedManager", "RelatedManager"]

_M = TypeVar("_M", bound=Model)
_Through = TypeVar("_Through", bound=Model, default=Model)

class RelatedManager(related_descriptors.RelatedManager[_M], AsyncManager[_M]):
    def __call__(self, *, manager: str) -> RelatedManager[_M]: ...

class ManyRelatedManager(related_descriptors.ManyRelatedManager[_M, _Through], AsyncManager[_M]):
    def __call__(self, *, manager: str) -> ManyRelatedManager[_M, _Through]: ...
