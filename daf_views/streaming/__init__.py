"""Streaming responses, server-sent events and JSON lines, from async iterators; broadcasts to feed them."""

from daf_views.streaming.broadcast import Channel, Gap, Subscription
from daf_views.streaming.jsonl import jsonl
from daf_views.streaming.sse import Event, last_event_id, sse

__all__ = ["Channel", "Event", "Gap", "Subscription", "jsonl", "last_event_id", "sse"]
