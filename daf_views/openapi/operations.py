"""The operations of an endpoint: one for each method that its view has a handler for."""

from __future__ import annotations

import inspect
import math
import re
from typing import TYPE_CHECKING, Any

from daf_views.handlers.parameters import Parameter
from daf_views.handlers.signature import Signature, signature_of
from daf_views.openapi.bodies import request_body
from daf_views.openapi.described import details_of
from daf_views.openapi.responses import responses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from daf_views._core.description import Description
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
    """Return the signature without parameters and response, for a URL that contradicts the annotations."""
    made = Signature(signature.name, (), Parameter.empty, None)
    made.is_stream = signature.is_stream
    return made


def _operation(endpoint: Endpoint, method: str, components: Components) -> dict[str, Any]:
    name = method.lower()
    signature = endpoint.view.handler_signatures.get(name) or _of_untyped(signature_of(endpoint.view, name))
    plan = signature.plan([*endpoint.parameters, *endpoint.defaults])
    described = endpoint.described(method)
    details = details_of(endpoint.view, getattr(endpoint.view, method.lower()))
    operation: dict[str, Any] = {
        "operationId": components.operation_id(details.id or _operation_id(endpoint.path, method)),
        "tags": [endpoint.view.__module__.partition(".")[0]] if details.tags is None else list(details.tags),
        **_described(endpoint, method),
    }
    if details.deprecated:
        operation["deprecated"] = True
    if parameters := list(_parameters(endpoint, described, signature, plan, components)):
        operation["parameters"] = parameters
    if (body := request_body(endpoint, method, plan, components)) is not None:
        operation["requestBody"] = body
    operation["responses"] = responses(endpoint, described, signature, plan, components)
    if (security := _security(described, components)) is not None:
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
    endpoint: Endpoint, described: Description, signature: Signature, plan: ArgumentPlan, components: Components
) -> Iterator[dict[str, Any]]:
    for name, schema in endpoint.parameters.items():
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _of_path(name, schema, signature, plan, components),
        }
    own = [parameter for asked in plan.query for parameter in _query(asked, components)]
    own += [_parameter(asked, "header", components) for asked in plan.headers]
    own += [_parameter(asked, "cookie", components) for asked in plan.cookies]
    yield from own
    taken = set(map(_identity, own))  # a handler that takes one itself has described it
    for parameter in described.parameters:
        if _identity(parameter) not in taken:
            taken.add(_identity(parameter))
            yield {**parameter}


def _identity(parameter: Mapping[str, Any]) -> tuple[str, str]:
    name = parameter["name"]
    return parameter["in"], name.lower() if parameter["in"] == "header" else name


def _of_path(
    name: str, schema: dict[str, Any], signature: Signature, plan: ArgumentPlan, components: Components
) -> dict[str, Any]:
    """Return the schema of the annotation, unless the URL's converter has a better one, or returns its own type."""
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


def _security(described: Description, components: Components) -> list[dict[str, list[str]]] | None:
    """Return the Security Requirement Objects. Without a required permission, authentication is optional."""
    if not described.security:
        return None
    required: list[dict[str, list[str]]] = [
        {components.scheme(name, dict(scheme)): []} for name, scheme in described.security
    ]
    return [*required, {}] if described.is_open else required
