"""Broadcasts: a message that is published once reaches every subscriber, in all processes of a site."""

from daf_views.streaming.broadcast.channel import Channel
from daf_views.streaming.broadcast.subscription import Gap, Subscription

__all__ = ["Channel", "Gap", "Subscription"]
