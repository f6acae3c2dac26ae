"""The operations of an endpoint: one for each method that its view has a handler for."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from daf_views.handlers.parameters import Parameter
from daf_views.handlers.signature import Signature, signature_of
from daf_views.http.methods import WITHOUT_CONTENT
from daf_views.openapi.bodies import request_body
from daf_views.openapi.conditional import condition_parameters
from daf_views.openapi.described import details_of
from daf_views.openapi.responses import is_paged, responses
from daf_views.openapi.security import is_open

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_views.handlers.arguments import ArgumentPlan, Asked
    from daf_views.openapi.components import Components
    from daf_views.openapi.endpoints import Endpoint


_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH", "TRACE"})  # a Path Item Object has no others


def path_item(endpoint: Endpoint, components: Components) -> dict[str, Any]:
    """Return the Path Item Object."""
    return {method.lower(): _operation(endpoint, method, components) for method in _methods(endpoint)}


def _methods(endpoint: Endpoint) -> list[str]:
    methods = [name.upper() for name in endpoint.option("http_method_names") if hasattr(endpoint.view, name)]
    return [method for method in methods if method in _METHODS]


def _of_untyped(signature: Signature) -> Signature:
    """Return the signature of a handler that takes what the URL gives, whatever that is."""
    made = Signature(signature.name, (), Parameter.empty, None)
    made.is_stream = signature.is_stream
    return made


def _operation(endpoint: Endpoint, method: str, components: Components) -> dict[str, Any]:
    name = method.lower()
    signature = endpoint.view.handler_signatures.get(name) or _of_untyped(signature_of(endpoint.view, name))
    plan = signature.plan([*endpoint.parameters, *endpoint.defaults])
    details = details_of(endpoint.view, getattr(endpoint.view, method.lower()))
    operation: dict[str, Any] = {
        "operationId": components.operation_id(details.id or _operation_id(endpoint.path, method)),
        "tags": [endpoint.view.__module__.partition(".")[0]] if details.tags is None else list(details.tags),
        **_described(endpoint, method),
    }
    if details.deprecated:
        operation["deprecated"] = True
    if parameters := list(_parameters(endpoint, method, signature, plan, components)):
        operation["parameters"] = parameters
    if method not in WITHOUT_CONTENT and (body := request_body(endpoint, method, plan, components)) is not None:
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
    endpoint: Endpoint, method: str, signature: Signature, plan: ArgumentPlan, components: Components
) -> Iterator[dict[str, Any]]:
    for name, schema in endpoint.parameters.items():
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _of_path(name, schema, signature, plan, components),
        }
    own = [parameter for asked in plan.query for parameter in _query(asked, components)]
    yield from own
    yield from (_parameter(asked, "header", components) for asked in plan.headers)
    yield from (_parameter(asked, "cookie", components) for asked in plan.cookies)
    if is_paged(endpoint, signature):
        names = {each["name"] for each in own}  # a handler that reads one itself has described it
        pages = [asdict(each) for each in endpoint.option("pagination").parameters()]
        yield from ({"in": "query", "required": False, **each} for each in pages if each["name"] not in names)
    yield from condition_parameters(endpoint, method)
    if (idempotency := endpoint.option("idempotency")) is not None and method in idempotency.methods:
        yield idempotency.header_parameter()


def _of_path(
    name: str, schema: dict[str, Any], signature: Signature, plan: ArgumentPlan, components: Components
) -> dict[str, Any]:
    """Return the schema of the annotation, unless the URL's converter says it better, or makes something of its own."""
    if (parameter := plan.path.get(name)) is None:
        return schema
    try:
        known = components.schema(signature.schema(parameter))
    except TypeError:
        return schema
    return {**schema, **known} if known.get("type") == schema["type"] else schema


def _query(asked: Asked, components: Components) -> Iterator[dict[str, Any]]:
    schema = components.resolved(components.schema(asked.schema))
    if asked.schema.fields() is None or "properties" not in schema:
        yield _parameter(asked, "query", components)
        return
    required = schema.get("required", ()) if asked.parameter.is_required else ()
    for name, each in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in required, "schema": each}


def _parameter(asked: Asked, place: str, components: Components) -> dict[str, Any]:
    parameter = asked.parameter
    schema = components.schema(asked.schema)
    if not parameter.is_required and parameter.default is not None and _is_json(parameter.default):
        schema = {**schema, "default": parameter.default}
    return {"name": parameter.alias, "in": place, "required": parameter.is_required, "schema": schema}


def _is_json(value: Any) -> bool:
    return isinstance(value, bool | int | str) or value == [] or (isinstance(value, float) and math.isfinite(value))


def _security(endpoint: Endpoint, method: str, components: Components) -> list[dict[str, list[str]]] | None:
    """Return the Security Requirement Objects. Where no permission is asked for, nobody need prove anything."""
    schemes = [(each.name, scheme) for each in endpoint.option("authentication") if (scheme := each.security_scheme())]
    if not schemes:
        return None
    required: list[dict[str, list[str]]] = [{components.scheme(name, dict(scheme)): []} for name, scheme in schemes]
    return [*required, {}] if is_open(endpoint, method) else required
