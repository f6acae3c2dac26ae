"""URLs of the bookshop, and of the toolbar."""

from bookshop.urls import urlpatterns as shop_urls
from debug_toolbar.toolbar import debug_toolbar_urls

urlpatterns = [*debug_toolbar_urls(), *shop_urls]
