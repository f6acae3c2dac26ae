"""A program: OpenTelemetry's instrumentation of Django and psycopg, and many requests at once. Prints their spans.

``python -m tests.scenarios.packages.telemetry``, with the database's settings in the environment.
"""

import asyncio
import json
import re

from opentelemetry import trace
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.scenarios.packages import traced

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
PsycopgInstrumentor().instrument()
traced.configure(["daf_views.middleware.async_error_middleware"])
DjangoInstrumentor().instrument()

# ruff: noqa: E402 - models can be imported now

from daf_views.asgi import get_asgi_application
from tests.scenarios.packages import traced_urls


def number_of(span):
    return str(span.attributes["number"])


def main():
    traced_urls.on_request = lambda number: trace.get_current_span().set_attribute("number", number)
    traced.make_tables()
    exporter.clear()
    pinned = asyncio.run(traced.ask_all(get_asgi_application()))
    spans = exporter.get_finished_spans()
    requests = {each.context.span_id: each for each in spans if each.kind is trace.SpanKind.SERVER}
    queries = {number_of(each): [] for each in requests.values()}
    for each in spans:
        if found := re.search(r"\bn(\d+)\b", str(each.attributes.get("db.statement"))):
            queries[number_of(requests[each.parent.span_id])].append(found[1])
    errors = [number_of(each) for each in requests.values() if not each.status.is_ok]
    paths = {number_of(each): each.attributes["http.url"].rpartition("/")[2] for each in requests.values()}
    names = sorted({each.name for each in requests.values()})
    print(json.dumps({"pinned": pinned, "queries": queries, "errors": errors, "paths": paths, "names": names}))


if __name__ == "__main__":
    main()
