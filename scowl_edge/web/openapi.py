"""The OpenAPI 3.1 document, generated from the endpoints and the wire types."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from scowl_edge.web.answers import LiveOut
from scowl_edge.web.endpoint import Endpoint
from scowl_edge.web.problem import CONTENT_TYPE as PROBLEM_TYPE
from scowl_edge.web.wire import Problem

_REF = "#/components/schemas/{model}"


_CLOSED_PROBLEMS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def document(endpoints: Iterable[Endpoint], version: str, closed: Collection[str] = ()) -> dict[str, Any]:
    """The document as JSON values; reading the `closed` paths needs a token."""
    listed = list(endpoints)
    schemas, of_type = _schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(
            endpoint, of_type, endpoint.path in closed
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "scowl-edge",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The region, its devices and their points as after the last step, and orders of operators. "
            "Values are in base units (W, Wh, V, A, Hz, fraction); + is consumption, - is production; times are "
            "ISO 8601 in UTC. "
            + ("Reading needs the viewer's or the operator's bearer token" if closed else "Reading is open")
            + "; orders need the operator's.",
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
    types: dict[Any, JsonSchemaMode] = {Problem: "serialization", LiveOut: "serialization"}
    for endpoint in endpoints:
        if endpoint.body is not None:
            types[endpoint.body] = "validation"
        types[endpoint.answer] = "serialization"
    return _schemas_of(tuple(types.items()))


@lru_cache(maxsize=1)
def _schemas_of(types: tuple[tuple[Any, JsonSchemaMode], ...]) -> tuple[dict[str, Any], dict[Any, dict[str, Any]]]:
    # Takes a good part of a second, and the types are the same for as long as the process lives.
    refs, shared = TypeAdapter.json_schemas([(t, mode, TypeAdapter(t)) for t, mode in types], ref_template=_REF)
    return shared.get("$defs", {}), {t: refs[t, mode] for t, mode in types}


def _operation(endpoint: Endpoint, of_type: dict[Any, dict[str, Any]], closed: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "responses": _responses(endpoint, of_type, closed),
    }
    places = [
        {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in endpoint.parameters.items()
    ]
    if endpoint.query is not None:
        places += _query(endpoint.query)
    if places:
        operation["parameters"] = places
    if closed:
        operation["security"] = [{"token": []}]
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": of_type[endpoint.body]}},
        }
        operation["security"] = [{"token": []}]
    return operation


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(by_alias=True)
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": shape.pop("description", ""),
            "schema": {key: value for key, value in shape.items() if key != "title"},
        }
        for name, shape in schema["properties"].items()
    ]


def _responses(endpoint: Endpoint, of_type: dict[Any, dict[str, Any]], closed: bool) -> dict[str, Any]:
    content = {endpoint.content_type: {"schema": of_type[endpoint.answer]}}
    responses: dict[str, Any] = {
        str(int(status)): {"description": status.phrase, "content": content}
        for status in (endpoint.status, *endpoint.also)
    }
    if endpoint.body is not None:
        responses[str(int(endpoint.status))]["headers"] = {
            "Location": {"description": "Where the effect shows.", "schema": {"type": "string"}}
        }
    for status in (*endpoint.problems, *(_CLOSED_PROBLEMS if closed and endpoint.body is None else ())):
        responses[str(int(status))] = {
            "description": status.phrase,
            "content": {PROBLEM_TYPE: {"schema": of_type[Problem]}},
        }
    return responses
