"""The operations of an endpoint: one for each method that its view has a handler for."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from daf_views.openapi.conditions import condition_parameters
from daf_views.openapi.permitting import is_open
from daf_views.openapi.responses import is_paged, responses
from daf_views.parsers import METHODS_WITHOUT_CONTENT
from daf_views.signatures import signature_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_views.arguments import Asked, Plan
    from daf_views.openapi.components import Components
    from daf_views.openapi.endpoints import Endpoint
    from daf_views.signatures import Signature


def path_item(endpoint: Endpoint, components: Components) -> dict[str, Any]:
    """Return the Path Item Object."""
    return {method.lower(): _operation(endpoint, method, components) for method in _methods(endpoint)}


def _methods(endpoint: Endpoint) -> list[str]:
    names = endpoint.option("http_method_names")
    return [name.upper() for name in names if name not in {"options", "head"} and hasattr(endpoint.view, name)]


def _operation(endpoint: Endpoint, method: str, components: Components) -> dict[str, Any]:
    signature = signature_of(endpoint.view, method.lower())
    plan = signature.plan(endpoint.parameters)
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint.path, method),
        "tags": [endpoint.view.__module__.partition(".")[0]],
        **_described(endpoint, method),
    }
    if parameters := list(_parameters(endpoint, method, signature, plan, components)):
        operation["parameters"] = parameters
    if method not in METHODS_WITHOUT_CONTENT and (body := _body(endpoint, plan, components)) is not None:
        operation["requestBody"] = body
    operation["responses"] = responses(endpoint, method, signature, plan, components)
    if (security := _security(endpoint, method, components)) is not None:
        operation["security"] = security
    return operation


def _operation_id(path: str, method: str) -> str:
    words = re.findall(r"\w+", path)
    return "_".join([method.lower(), *words]) if words else f"{method.lower()}_index"


def _described(endpoint: Endpoint, method: str) -> dict[str, str]:
    own = getattr(endpoint.view, method.lower()).__doc__ or vars(endpoint.view).get("__doc__")
    if not own:
        return {}
    summary, _, description = inspect.cleandoc(own).partition("\n")
    return {"summary": summary, **({"description": description.strip()} if description.strip() else {})}


def _parameters(
    endpoint: Endpoint, method: str, signature: Signature, plan: Plan, components: Components
) -> Iterator[dict[str, Any]]:
    for name, schema in endpoint.parameters.items():
        typed = plan.path.get(name)
        known = components.schema(signature.schema(typed)) if typed is not None else schema
        yield {"name": name, "in": "path", "required": True, "schema": {**schema, **known}}
    for asked in plan.query:
        yield from _query(asked, components)
    for asked in plan.headers:
        yield _parameter(asked, "header", components)
    if is_paged(endpoint, signature):
        for each in endpoint.option("pagination").parameters():
            yield {"in": "query", "required": False, **asdict(each)}
    yield from condition_parameters(endpoint, method)
    if (idempotency := endpoint.option("idempotency")) is not None and method in idempotency.methods:
        yield idempotency.header_parameter()


def _query(asked: Asked, components: Components) -> Iterator[dict[str, Any]]:
    if asked.schema.fields() is None:
        yield _parameter(asked, "query", components)
        return
    schema = components.schema(asked.schema)
    resolved = components.schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for name, each in resolved["properties"].items():
        yield {"name": name, "in": "query", "required": name in resolved.get("required", ()), "schema": each}


def _parameter(asked: Asked, place: str, components: Components) -> dict[str, Any]:
    parameter = asked.parameter
    schema = components.schema(asked.schema)
    if not parameter.is_required and parameter.default is not None and _is_json(parameter.default):
        schema = {**schema, "default": parameter.default}
    return {"name": parameter.alias, "in": place, "required": parameter.is_required, "schema": schema}


def _is_json(value: Any) -> bool:
    return isinstance(value, bool | int | float | str) or value == []


def _body(endpoint: Endpoint, plan: Plan, components: Components) -> dict[str, Any] | None:
    schema = components.schema(plan.body.schema) if plan.body is not None else {}
    has_fields = plan.body is None or plan.body.schema.fields() is not None
    media_types = [
        media_type
        for parser in endpoint.option("parsers")
        for media_type in parser.media_types
        if "*" not in media_type and (has_fields or media_type == "application/json")
    ]
    if not media_types:
        return None
    content = {media_type: {"schema": schema} for media_type in media_types}
    return {"content": content, "required": plan.body is not None and plan.body.parameter.is_required}


def _security(endpoint: Endpoint, method: str, components: Components) -> list[dict[str, list[str]]] | None:
    """Return the Security Requirement Objects. Where no permission is asked for, nobody need prove anything."""
    schemes = endpoint.option("authentication")
    for each in schemes:
        components.security[each.name] = dict(each.security_scheme())
    required: list[dict[str, list[str]]] = [{each.name: []} for each in schemes]
    return [*required, *([{}] if is_open(endpoint, method) else [])] if required else None
