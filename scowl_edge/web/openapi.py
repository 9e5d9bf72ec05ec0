"""The OpenAPI 3.1 document, generated from the endpoints and the wire types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from scowl_edge.web.endpoint import Endpoint
from scowl_edge.web.problem import CONTENT_TYPE as PROBLEM_TYPE
from scowl_edge.web.wire import Problem

_REF = "#/components/schemas/{model}"


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """The document as JSON values."""
    listed = list(endpoints)
    schemas, of_type = _schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, of_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "scowl-edge",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The region, its devices and their points as after the last step, and orders of operators. "
            "Values are in base units (W, Wh, V, A, Hz, fraction); + is consumption, - is production; times are "
            "ISO 8601 in UTC. Reading is open; orders need the bearer token of the configuration.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(endpoints: list[Endpoint]) -> tuple[dict[str, Any], dict[Any, dict[str, Any]]]:
    """The shared schemas by name, and for each type the reference to its own."""
    types: dict[Any, JsonSchemaMode] = {Problem: "serialization"}
    for endpoint in endpoints:
        if endpoint.body is not None:
            types[endpoint.body] = "validation"
        types[endpoint.answer] = "serialization"
    refs, shared = TypeAdapter.json_schemas([(t, mode, TypeAdapter(t)) for t, mode in types.items()], ref_template=_REF)
    return shared.get("$defs", {}), {t: refs[t, mode] for t, mode in types.items()}


def _operation(endpoint: Endpoint, of_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "responses": _responses(endpoint, of_type),
    }
    if endpoint.parameters:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in endpoint.parameters.items()
        ]
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": of_type[endpoint.body]}},
        }
        operation["security"] = [{"token": []}]
    return operation


def _responses(endpoint: Endpoint, of_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    content = {"application/json": {"schema": of_type[endpoint.answer]}}
    responses: dict[str, Any] = {
        str(int(status)): {"description": status.phrase, "content": content}
        for status in (endpoint.status, *endpoint.also)
    }
    if endpoint.body is not None:
        responses[str(int(endpoint.status))]["headers"] = {
            "Location": {"description": "Where the effect shows.", "schema": {"type": "string"}}
        }
    for status in endpoint.problems:
        responses[str(int(status))] = {
            "description": status.phrase,
            "content": {PROBLEM_TYPE: {"schema": of_type[Problem]}},
        }
    return responses
