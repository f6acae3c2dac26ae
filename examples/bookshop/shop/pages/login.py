"""Logging in and out: Django's form, session and redirects, in async views."""

from __future__ import annotations

from django.contrib.auth import alogin, alogout
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import RedirectURLMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from daf_orm import database_sync_to_async
from daf_views import AsyncView


@method_decorator([sensitive_post_parameters("password"), never_cache], name="dispatch")
class LoginView(RedirectURLMixin, AsyncView):
    next_page = "desk"

    async def get(self, request: HttpRequest) -> HttpResponse:
        return self.page(AuthenticationForm(request))

    async def post(self, request: HttpRequest) -> HttpResponse:
        form = AuthenticationForm(request, data=request.POST)
        # It looks the user up and hashes the password: one hop for both.
        if not await database_sync_to_async(form.is_valid)():
            return self.page(form)
        await alogin(request, form.get_user())
        return redirect(self.get_success_url())

    def page(self, form: AuthenticationForm) -> HttpResponse:
        # The handler renders it, in one hop.
        context = {"form": form, "next": self.get_redirect_url()}
        return TemplateResponse(self.request, "shop/login.html", context)


class LogoutView(AsyncView):
    async def post(self, request: HttpRequest) -> HttpResponse:
        await alogout(request)
        return redirect("login")
