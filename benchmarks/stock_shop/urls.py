"""URLs of the stock shop, a part of the bookshop's."""

from django.urls import path

from benchmarks.stock_shop import views

urlpatterns = [
    path("books/", views.book_list),
    path("books/<int:pk>/", views.book_detail),
    path("report/", views.report),
]
