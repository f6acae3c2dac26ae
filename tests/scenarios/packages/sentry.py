"""A program: sentry-sdk with its Django integration, and many requests at once. Prints what each event and span says.

``python -m tests.scenarios.packages.sentry``, with the database's settings in the environment.
"""

import asyncio
import json
import re

from tests.scenarios.packages import traced

traced.configure(["daf_views.middleware.async_error_middleware"])

# ruff: noqa: E402 - models can be imported now
import sentry_sdk
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.transport import Transport

from daf_views.asgi import get_asgi_application
from tests.scenarios.packages import traced_urls

sent = []


class Kept(Transport):
    def capture_envelope(self, envelope):
        sent.extend((item.type, item.payload.json) for item in envelope.items)


def numbers_in(data):
    return set(re.findall(r"\bn(\d+)\b", json.dumps(data)))


def is_query(span):
    return span["op"] == "db" and span["description"].startswith("SELECT")


def number_in(span):
    return re.search(r"\bn(\d+)\b", span["description"])[1]


def number_of(data):
    return data["request"]["url"].rpartition("/")[2]


def told(event):
    """Return the number of an event's request, and those of all that it tells."""
    user = event.get("user") or {}
    crumbs = [each.get("message") for each in (event.get("breadcrumbs") or {}).get("values", [])]
    own = {crumb.removeprefix("crumb of ") for crumb in crumbs if crumb and crumb.startswith("crumb of ")}
    return [number_of(event), sorted({str(user.get("id")), event["tags"]["number"], *own, *numbers_in(crumbs)})]


def main():
    sentry_sdk.init(
        dsn="http://key@localhost/1",
        transport=Kept,
        integrations=[DjangoIntegration()],
        auto_enabling_integrations=False,
        traces_sample_rate=1.0,
    )

    def on_request(number):
        sentry_sdk.set_user({"id": number})
        sentry_sdk.set_tag("number", str(number))
        sentry_sdk.add_breadcrumb(message=f"crumb of {number}")

    traced_urls.on_request = on_request
    traced.make_tables()
    sent.clear()
    pinned = asyncio.run(traced.ask_all(get_asgi_application()))
    events = [event for kind, event in sent if kind == "event"]
    transactions = [event for kind, event in sent if kind == "transaction"]
    queries = {number_of(each): [*map(number_in, filter(is_query, each["spans"]))] for each in transactions}
    names = sorted({each["transaction"] for each in transactions})
    print(json.dumps({"pinned": pinned, "events": [told(each) for each in events], "queries": queries, "names": names}))


if __name__ == "__main__":
    main()
