"""The receipt of an order, sent in the background: a customer does not wait for a mail server."""

from __future__ import annotations

from django.core.mail import send_mail

from daf_views.tasks import async_task
from shop.branches import current_branch
from shop.models import Order, Receipt


@async_task(retries=3, backoff=2, timeout=30)
def send_receipt(order_id: int, branch: str) -> None:
    """Send it, and note that it has been sent; a receipt that has been is not sent again.

    Synchronous, as Django's mail is: it runs in a thread, on a connection of the pool.
    """
    current_branch.set(branch)  # a task's context is a new one, and has no request's branch
    order = Order.objects.prefetch_related("lines__book").get(pk=order_id)
    if Receipt.objects.filter(order=order).exists():
        return
    lines = [f"{line.quantity} x {line.book.title}: {line.total}" for line in order.lines.all()]
    send_mail(f"Your order {order.pk}", "\n".join(lines), from_email=None, recipient_list=[order.customer])
    Receipt.objects.create(order=order)
