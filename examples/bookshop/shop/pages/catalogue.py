"""The catalogue for people: public to browse, written by staff. Django's generic views, async."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import ProtectedError, QuerySet
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse_lazy

from daf_views.access import LoginRequiredMixin, PermissionRequiredMixin
from daf_views.generic import CreateView, DeleteView, DetailView, ListView, UpdateView
from shop.models import Book, Stock
from shop.pages.forms import BookForm, BuyForm, NewBookForm

MAX_SEARCH = 100


class BookList(ListView):
    """``?q=golden harbour&page=2``."""

    paginate_by = 25

    def get_queryset(self) -> QuerySet[Book]:
        return Book.objects.matching(self.words).order_by("title", "pk")

    async def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return await super().get_context_data(q=self.words, **kwargs)

    @property
    def words(self) -> str:
        # A database's text has no null characters.
        return self.request.GET.get("q", "").replace("\0", "")[:MAX_SEARCH]


class BookDetail(DetailView):
    queryset = Book.objects.with_details()

    async def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return await super().get_context_data(buy_form=BuyForm(), **kwargs)


class BookCreate(LoginRequiredMixin, PermissionRequiredMixin, CreateView):
    permission_required = "shop.add_book"
    model = Book
    form_class = NewBookForm
    atomic = True  # the book and its stock, or neither

    async def form_valid(self, form: NewBookForm) -> HttpResponseBase:
        response = await super().form_valid(form)
        await Stock.objects.acreate(book=self.object, quantity=form.cleaned_data["copies"])
        messages.success(self.request, f"“{self.object}” is in the catalogue.")
        return response


class BookUpdate(LoginRequiredMixin, PermissionRequiredMixin, UpdateView):
    permission_required = "shop.change_book"
    queryset = Book.objects.select_for_update()  # until it is saved, see BookForm.clean()
    form_class = BookForm
    atomic = True

    async def form_valid(self, form: BookForm) -> HttpResponseBase:
        form.instance.version += 1  # programs that have cached the book see that it is another one
        response = await super().form_valid(form)
        messages.success(self.request, f"“{self.object}” has been changed.")
        return response


class BookDelete(LoginRequiredMixin, PermissionRequiredMixin, DeleteView):
    permission_required = "shop.delete_book"
    model = Book
    success_url = reverse_lazy("catalogue")
    http_method_names = ("get", "head", "post", "options")  # Django's DELETE would not pass by form_valid()

    async def form_valid(self, form: Any) -> HttpResponseBase:
        title = str(self.object)
        try:
            response = await super().form_valid(form)
        except ProtectedError:
            messages.error(self.request, f"“{title}” has been sold: its orders keep it in the catalogue.")
            return redirect(self.object)
        messages.success(self.request, f"“{title}” is not in the catalogue any more.")
        return response
