"""URLs for programs."""

from django.urls import path

from shop.api import books, figures, order_stream, orders

urlpatterns = [
    path("books/", books.BookListView.as_view()),
    path("books/<int:pk>/", books.BookView.as_view()),
    path("books/<int:pk>/stock/", books.StockView.as_view()),
    path("orders/", orders.OrderListView.as_view()),
    path("orders/<int:pk>/", orders.OrderView.as_view(), name="order"),
    path("orders/<int:pk>/receipt/", orders.ReceiptView.as_view()),
    path("orders/stream/", order_stream.OrderStreamView.as_view()),
    path("report/", figures.ReportView.as_view()),
    path("pool/", figures.PoolView.as_view()),
]
