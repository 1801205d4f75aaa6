"""The description of the API (OpenAPI 3.1), made of the table of routes and the types of bodies and queries."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent import __version__
from agent.server.route import Route

_TEMPLATE = "#/components/schemas/{name}"
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
                    "required": ["code", "message"],
                },
            ]
        },
        "code": {"type": "string"},
        "hint": {"type": "string"},
        "details": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["error"],
}
_PAGINATION = {
    "type": "object",
    "properties": {
        "page": {"type": "integer"},
        "page_size": {"type": "integer"},
        "total_items": {"type": "integer"},
        "total_pages": {"type": "integer"},
        "has_previous": {"type": "boolean"},
        "has_next": {"type": "boolean"},
    },
    "required": ["page", "page_size", "has_previous", "has_next"],
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the description."""
    types = [kind for route in routes for kind in (route.body, route.query) if kind is not None]
    found, components = msgspec.json.schema_components(dict.fromkeys(types), ref_template=_TEMPLATE)
    for schema in components.values():  # a later Python cuts the indentation of a docstring, an earlier one keeps it
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    schemas = dict(zip(dict.fromkeys(types), found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, schemas, components)
        paths.setdefault(route.path.replace(":path}", "}"), {})[route.method.lower()] = operation
    queries = {kind.__name__ for route in routes if (kind := route.query) is not None}
    kept = {name: schema for name, schema in sorted(components.items()) if name not in queries}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Attune API",
            "version": __version__,
            "description": "What `attune server` answers. Lists are newest or first by name; errors are a sentence.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**kept, "Error": _ERROR, "Pagination": _PAGINATION},
            "securitySchemes": {"bearer_auth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def text(routes: Sequence[Route]) -> str:
    """Return the description as it is committed."""
    return json.dumps(document(routes), indent=1, sort_keys=True) + "\n"


def _operation(route: Route, schemas: Mapping[type, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _identifier(route),
        "summary": route.summary,
        "tags": [route.tag],
        "responses": _responses(route),
    }
    if route.who:
        operation["security"] = [{"bearer_auth": []}]
        operation["description"] = "Tokens: " + ", ".join(sorted(route.who))
        if route.needs:
            operation["description"] += f". Permission: {route.needs[0]}:{route.needs[1]}"
    parameters = [_path_parameter(route, name) for name in route.names]
    if route.query is not None:
        parameters += _query_parameters(components[route.query.__name__])
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": schemas[route.body]}}
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    if route.raw_limit is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {}}}
    if route.upload:
        fields = route.form
        form = {
            "type": "object",
            "properties": {
                route.upload: {"type": "string", "format": "binary"},
                **{name: {"type": "string"} for name in fields},
            },
            "required": [route.upload],
        }
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    if route.content:
        binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": binary}
    return operation


def _identifier(route: Route) -> str:
    # What is at both places has two names.
    path = route.path if route.path.startswith("/api/v1/auth/") else route.path.removeprefix("/api/v1")
    words = [word.strip("{}").replace("-", "_") for word in path.split("/") if word]
    return "_".join([route.method.lower(), *words])


def _path_parameter(route: Route, name: str) -> dict[str, Any]:
    number = route.kind(name) is int
    schema = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1} if number else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        for name, field in schema["properties"].items()
    ]


def _responses(route: Route) -> dict[str, Any]:
    answers: dict[str, Any] = {str(route.status): {"description": "Done", **_content(route)}}
    statuses = set(route.errors)
    statuses |= {400} if route.names or route.query or route.body or route.upload else set()
    statuses |= {401, 403} if route.who else set()
    if route.body is not None:
        statuses |= {413, 415, 422}
    statuses.add(503)
    for status in sorted(statuses - {route.status}):
        content: dict[str, Any] = _content(route) if status == 200 else {}
        if status >= 400:
            shape = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}, "text/plain": {}}
            content = {"content": shape}
        answers[str(status)] = {"description": _MEANING[status], **content}
    return answers


_MEANING = {
    200: "It was done before, by a request with the same Idempotency-Key",
    206: "The part that was asked for",
    304: "It has not changed",
    400: "It can't be understood",
    401: "No token, or none that is accepted",
    403: "Not allowed",
    404: "There is no such thing",
    409: "It contradicts what is there",
    413: "Too large",
    415: "Another content type is needed",
    416: "There is no such part",
    422: "A value is not allowed",
    429: "Too many; see Retry-After",
    500: "The server can't read it; its log says why",
    501: "Not configured",
    503: "Away for now; see Retry-After",
    507: "No room for it; see Retry-After",
}


def _content(route: Route) -> dict[str, Any]:
    if route.streamed:
        return {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
    if route.answer is None:
        return {}
    shape: dict[str, Any] = {"type": "array"} if route.answer is list else {"type": "object"}
    if route.listed:
        items = {"type": "array", "items": {"type": "object"}}
        shape = {
            "type": "object",
            "properties": {"items": items, "pagination": {"$ref": "#/components/schemas/Pagination"}},
            "required": ["items", "pagination"],
        }
    elif not route.bare:
        properties = {"data": shape, "message": {"type": "string"}}
        shape = {"type": "object", "properties": properties, "required": ["data"]}
    return {"content": {"application/json": {"schema": shape}}}
