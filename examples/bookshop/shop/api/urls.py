"""URLs for programs."""

from django.urls import path

from shop.api import books, figures, offers, order_stream, orders, stock_stream

urlpatterns = [
    path("books/", books.BookListView.as_view()),
    path("books/<int:pk>/", books.BookView.as_view()),
    path("books/<int:pk>/stock/", books.StockView.as_view()),
    path("books/<int:pk>/stock/stream/", stock_stream.StockStreamView.as_view(), name="stock-stream"),
    path("books/<int:pk>/offer/", offers.OfferView.as_view()),
    path("orders/", orders.OrderListView.as_view()),
    path("orders/<int:pk>/", orders.OrderView.as_view(), name="order"),
    path("orders/<int:pk>/receipt/", orders.ReceiptView.as_view()),
    path("orders/stream/", order_stream.OrderStreamView.as_view()),
    path("report/", figures.ReportView.as_view()),
    path("pool/", figures.PoolView.as_view()),
]
