"""Names that every page takes for granted: a project's models and functions, and imports of Django and pytest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from shop.models import Author, Book, Customer, Order, Token

from daf_orm import BlockingCallError, transaction
from daf_views import AsyncAPIView, AsyncView

book: Book
customer: str


@dataclass
class OrderIn:
    customer: str


@dataclass
class OrderOut:
    id: int


async def place_order(data: Any, *, notify: bool = False) -> Any:
    """Return the order, or None if there are not enough copies."""


async def send_mail() -> None:
    """Send it."""


async def warm_cache(pk: int) -> None:
    """Fill the cache."""
