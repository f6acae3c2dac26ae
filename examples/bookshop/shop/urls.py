"""URLs of the shop."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.index),
    path("books/", views.book_list),
    path("books/<int:pk>/", views.book_detail),
    path("search/", views.search),
    path("orders/", views.order_create),
    path("orders/<int:pk>/", views.order_detail),
    path("report/", views.report),
    path("pool/", views.pool),
]
