"""Streaming responses: server-sent events and JSON lines, from async iterators."""

from daf_views.streaming.jsonl import jsonl
from daf_views.streaming.sse import Event, last_event_id, sse

__all__ = ["Event", "jsonl", "last_event_id", "sse"]
