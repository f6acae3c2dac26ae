"""The language of a request, without a thread once its translations have been loaded."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware as _LocaleMiddleware
from django.utils import translation

from daf_views.middleware.base import InlineMixin


class LocaleMiddleware(InlineMixin, _LocaleMiddleware):
    """Django's own, after the first request in each language: that one reads translations from files."""

    _loaded: frozenset[str] = frozenset()

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        language = translation.get_language_from_request(request, check_path=True)
        if language not in self._loaded:
            await sync_to_async(_load_translations, thread_sensitive=False)(language)
            self._loaded |= {language}  # of settings.LANGUAGES, so it cannot grow without limit
        return await super().__acall__(request)


def _load_translations(language: str) -> None:
    with translation.override(language):
        pass
