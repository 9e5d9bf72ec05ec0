"""Writes docs/flex from what is declared here; `--check` tells whether it is stale.

python -m scowl_edge.drivers.flex.schema [--check]

JSON Schema says what each message may hold, AsyncAPI 3 how messages go over WebSocket, OpenAPI 3.1 how over HTTPS, and
messages.md the same for people.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from scowl_edge.drivers.flex.envelope import FRAME_MAX_BYTES, FRAMES, VERSION, frame
from scowl_edge.drivers.flex.examples import DOWNWARD, EXAMPLES, UPWARD
from scowl_edge.drivers.flex.messages_page import page
from scowl_edge.model.exchange import Code

DIRECTORY = Path(__file__).resolve().parents[3] / "docs" / "flex"
WEBSOCKET_PATH = "/flex/v1/ws"
MESSAGES_PATH = "/flex/v1/messages"

_SCHEMA_FILE = "scowl-flex-1.schema.json"
_ABOUT = (
    "Flexibility of appliances, PAS 1878-style: offered, selected, delivered, proven. Power in W and energy in Wh, + is"
    " consumption; lengths in whole seconds; times in UTC. Unknown fields are ignored; a message whose type is unknown"
    f" is refused as UNSUPPORTED. A message has at most {FRAME_MAX_BYTES} bytes, and no name twice in one object."
)
_PROBLEM = {
    "type": "object",
    "description": "Why a request was refused, as in RFC 9457.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "description": "about:blank: the code says it."},
        "title": {"type": "string", "description": "What the status means."},
        "status": {"type": "integer", "description": "Status of the answer."},
        "detail": {"type": "string", "description": "The field at fault, and how."},
        "code": {"enum": sorted(Code), "description": "The same code that an `ack` has."},
        "path": {"type": "string", "description": "The field at fault, such as body.offers[0].rev."},
        "message_id": {"type": "string", "description": "Id of the message, where it has one."},
        "retry_after_s": {"type": "integer", "minimum": 0, "description": "When to try again, in s."},
    },
}


class _Plain(GenerateJsonSchema):
    """Without titles that only repeat the names of the fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def enum_schema(self, schema: core_schema.EnumSchema) -> dict[str, Any]:
        found = super().enum_schema(schema)
        found.pop("title", None)
        return found


def definitions(place: str = "#/$defs/") -> dict[str, Any]:
    """Schemas of all messages and of what they hold, by name; they refer to each other at `place`."""
    models: list[Any] = [(model, "validation") for model in FRAMES.values()]
    _, found = models_json_schema(models, ref_template=f"{place}{{model}}", schema_generator=_Plain)
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def json_schema() -> dict[str, Any]:
    """What each message may hold."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:scowl-flex:1",
        "title": "scowl-flex/1",
        "description": _ABOUT,
        "oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in FRAMES.values()],
        "$defs": definitions(),
    }


def asyncapi() -> dict[str, Any]:
    """How messages go over WebSocket."""
    messages = {
        name: {
            "name": name,
            "summary": (model.__doc__ or "").splitlines()[0],
            "contentType": "application/json",
            "payload": {"$ref": f"./{_SCHEMA_FILE}#/$defs/{model.__name__}"},
            "examples": [{"name": name, "payload": example(name)}],
        }
        for name, model in FRAMES.items()
    }

    def operation(action: str, names: frozenset[str], summary: str) -> dict[str, Any]:
        listed = [{"$ref": f"#/channels/messages/messages/{name}"} for name in FRAMES if name in names]
        return {"action": action, "channel": {"$ref": "#/channels/messages"}, "summary": summary, "messages": listed}

    return {
        "asyncapi": "3.0.0",
        "info": {"title": "scowl-flex/1", "version": VERSION, "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {
            "messages": {
                "address": WEBSOCKET_PATH,
                "description": "One message a text frame, both ways, over TLS with certificates on both sides.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "tell": operation("send", DOWNWARD, "What a provider tells an energy manager, and this one an appliance."),
            "hear": operation(
                "receive", UPWARD, "What an appliance tells its energy manager, and this one a provider."
            ),
        },
        "components": {"messages": messages},
    }


def openapi() -> dict[str, Any]:
    """How messages go over HTTPS where WebSocket is not possible."""
    schemas = definitions("#/components/schemas/")
    mapping = {name: f"#/components/schemas/{model.__name__}" for name, model in FRAMES.items()}
    schemas["Message"] = {
        "description": "Any message.",
        "oneOf": [{"$ref": place} for place in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }
    schemas["Problem"] = _PROBLEM
    message = {"$ref": "#/components/schemas/Message"}
    refusals: dict[int, list[str]] = {}
    for code in Code:
        refusals.setdefault(code.http, []).append(code.value)
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answers = {
        str(status): {"description": f"Refused: {', '.join(codes)}.", "content": problem}
        for status, codes in sorted(refusals.items())
    }
    received = {
        "description": "Stored, which is no consent to what it asks for; the body is its `ack`.",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{FRAMES['ack'].__name__}"}}},
    }
    examples = {name: {"value": example(name)} for name in FRAMES}
    after = {
        "name": "after",
        "in": "query",
        "description": "Number of the last message that was received; 0 at first.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1, "default": 0},
    }
    waiting = {
        "description": "Messages with higher numbers, the oldest first; none, when none came while it waited.",
        "content": {"application/json": {"schema": {"type": "array", "items": message}}},
    }
    later = {"description": "Read, not stored within ten seconds (its `ack` comes with the GET), or its number is old."}
    silent = {"description": "Taken; a heartbeat or an `ack` has no answer."}
    too_long = {"description": f"Refused: longer than {FRAME_MAX_BYTES} bytes.", "content": problem}
    return {
        "openapi": "3.1.0",
        "info": {"title": "scowl-flex/1 over HTTPS", "version": VERSION, "description": _ABOUT},
        "paths": {
            MESSAGES_PATH: {
                "post": {
                    "operationId": "sendMessage",
                    "summary": "Sends one message.",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": message, "examples": examples}},
                    },
                    "responses": {"200": received, "202": later, "204": silent, **answers, "413": too_long},
                },
                "get": {
                    "operationId": "receiveMessages",
                    "summary": "Waits for messages and gives them.",
                    "parameters": [after],
                    "responses": {"200": waiting, **answers},
                },
            }
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"certificate": {"type": "mutualTLS", "description": "Certificates on both sides."}},
        },
        "security": [{"certificate": []}],
    }


def example(name: str) -> dict[str, Any]:
    """One message of a type, as JSON."""
    found: dict[str, Any] = json.loads(frame(EXAMPLES[name], 812))
    return found


def _text(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


FILES: dict[str, Callable[[], str]] = {
    _SCHEMA_FILE: lambda: _text(json_schema()),
    "scowl-flex-1.asyncapi.json": lambda: _text(asyncapi()),
    "scowl-flex-1.openapi.json": lambda: _text(openapi()),
    "messages.md": lambda: page(definitions(), {name: example(name) for name in FRAMES}),
}
"""What is in docs/flex, by name."""


def main(arguments: Sequence[str]) -> int:
    """Writes all files; with `--check` only compares, and returns 1 when one is stale."""
    stale = 0
    for name, write in FILES.items():
        path, text = DIRECTORY / name, write()
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"docs/flex/{name} is stale: run python -m scowl_edge.drivers.flex.schema", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
