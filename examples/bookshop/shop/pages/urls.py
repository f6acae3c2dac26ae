"""URLs for people."""

from django.urls import path

from daf_views.generic import RedirectView
from shop.pages import buying, catalogue, desk, login

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="catalogue")),
    path("catalogue/", catalogue.BookList.as_view(), name="catalogue"),
    path("catalogue/new/", catalogue.BookCreate.as_view(), name="book-create"),
    path("catalogue/<int:pk>/", catalogue.BookDetail.as_view(), name="book"),
    path("catalogue/<int:pk>/buy/", buying.BuyView.as_view(), name="buy"),
    path("catalogue/<int:pk>/edit/", catalogue.BookUpdate.as_view(), name="book-update"),
    path("catalogue/<int:pk>/delete/", catalogue.BookDelete.as_view(), name="book-delete"),
    path("login/", login.LoginView.as_view(), name="login"),
    path("logout/", login.LogoutView.as_view(), name="logout"),
    path("desk/", desk.DeskView.as_view(), name="desk"),
    path("desk/restock/<int:pk>/", desk.RestockView.as_view(), name="restock"),
]
