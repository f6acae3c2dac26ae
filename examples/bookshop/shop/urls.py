"""URLs of the shop."""

from django.urls import path

from shop import desk, login, order_stream, views

urlpatterns = [
    path("", views.IndexView.as_view()),
    path("books/", views.BookListView.as_view()),
    path("books/<int:pk>/", views.BookView.as_view()),
    path("search/", views.SearchView.as_view()),
    path("orders/", views.OrderListView.as_view()),
    path("orders/<int:pk>/", views.OrderView.as_view()),
    path("orders/<int:pk>/receipt/", views.ReceiptView.as_view()),
    path("orders/stream/", order_stream.OrderStreamView.as_view()),
    path("report/", views.ReportView.as_view()),
    path("pool/", views.PoolView.as_view()),
    path("login/", login.LoginView.as_view(), name="login"),
    path("logout/", login.LogoutView.as_view(), name="logout"),
    path("desk/", desk.DeskView.as_view(), name="desk"),
    path("desk/restock/<int:pk>/", desk.RestockView.as_view(), name="restock"),
]
