"""Responses that go on: server-sent events and JSON lines, from async iterators."""

from daf_views.streaming.events import Event, last_event_id, sse
from daf_views.streaming.jsonl import jsonl

__all__ = ["Event", "jsonl", "last_event_id", "sse"]
