"""The reference of all messages for people, in Markdown, written from their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from scowl_edge.drivers.flex.envelope import FRAME_MAX_BYTES, FRAMES, Frame
from scowl_edge.drivers.flex.fields import Uuid
from scowl_edge.model.exchange import Code

_REF = "#/$defs/"
_LONG_PATTERN = 48
_UUID = TypeAdapter(Uuid).json_schema()["pattern"]


def page(schemas: dict[str, Any], examples: dict[str, Any]) -> str:
    """The whole page.

    Args:
        schemas: by name, each referring to others as `#/$defs/NAME`.
        examples: one message by its type.
    """
    return "\n".join(_lines(schemas, examples)) + "\n"


def _lines(schemas: dict[str, Any], examples: dict[str, Any]) -> Iterator[str]:
    yield "# Messages of scowl-flex/1"
    yield ""
    yield "Written by `python -m scowl_edge.drivers.flex.schema`; do not edit."
    yield ""
    yield (
        "JSON in UTF-8. Times are RFC 3339 in UTC with `Z` and at most milliseconds, lengths whole seconds, power whole"
        f" W, energy whole Wh; + is consumption, - is production. A message has at most {FRAME_MAX_BYTES} bytes."
        " Unknown fields are ignored; a name that stands twice in one object is refused. Ids are UUIDs in lower case."
    )
    yield ""
    yield "## Every message"
    yield ""
    first = next(iter(FRAMES.values()))
    yield from _table(schemas[first.__name__], schemas, only=tuple(Frame.model_fields))
    yield ""
    nested: list[str] = []
    for name, model in FRAMES.items():
        body = schemas[model.__name__]["properties"]["body"]["$ref"].removeprefix(_REF)
        yield from _part(f"`{name}`", body, schemas, nested)
        yield from ("", "```json", json.dumps(examples[name], ensure_ascii=False), "```", "")
    yield "# Parts of messages"
    yield ""
    done: set[str] = set()
    while nested:
        part = nested.pop(0)
        if part not in done:
            done.add(part)
            yield from _part(_plain(part), part, schemas, nested)
            yield ""
    yield "# Codes"
    yield ""
    yield "| code | `ack.status` | HTTP |"
    yield "|---|---|---|"
    for code in Code:
        yield f"| {code} | {code.status} | {code.http} |"


def _part(title: str, name: str, schemas: dict[str, Any], nested: list[str]) -> Iterator[str]:
    schema = schemas[name]
    yield f"## {title}"
    yield ""
    yield schema["description"]
    yield ""
    yield from _table(schema, schemas)
    for field in schema["properties"].values():
        nested += [ref for ref in _refs(field) if "properties" in schemas[ref]]


def _table(schema: dict[str, Any], schemas: dict[str, Any], only: tuple[str, ...] = ()) -> Iterator[str]:
    yield "| field | needed | holds | meaning |"
    yield "|---|---|---|---|"
    needed = schema.get("required", ())
    for name, field in schema["properties"].items():
        if only and name not in only:
            continue
        holds = "name of the message" if only and name == "type" else _kind(field, schemas)
        if "default" in field:
            holds += f"; {json.dumps(field['default'])} if absent"
        cells = (f"`{name}`", "yes" if name in needed else "no", holds, _meaning(field, schemas))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _meaning(field: dict[str, Any], schemas: dict[str, Any]) -> str:
    """What a field means; that of its type where the schema does not say it twice."""
    own: str | None = field.get("description")
    return own if own is not None else str(schemas[next(_refs(field))]["description"])


def _refs(field: dict[str, Any]) -> Iterator[str]:
    if "$ref" in field:
        yield field["$ref"].removeprefix(_REF)
    for choice in field.get("anyOf", ()):
        yield from _refs(choice)
    if "items" in field:
        yield from _refs(field["items"])


def _kind(field: dict[str, Any], schemas: dict[str, Any]) -> str:
    """What a field may hold, in words."""
    if "$ref" in field:
        name = field["$ref"].removeprefix(_REF)
        words = schemas[name].get("enum", ())
        if name == Code.__name__:
            return "one of the [codes](#codes)"
        return ", ".join(words) or f"[{_plain(name)}](#{_plain(name).lower()})"
    if "anyOf" in field:
        return " or ".join(_kind(choice, schemas) for choice in field["anyOf"] if choice != {"type": "null"})
    if field.get("type") == "array":
        least, most = field.get("minItems", 0), field.get("maxItems")
        return f"list of {least} to {most}: {_kind(field['items'], schemas)}"
    if field.get("format") == "date-time":
        return "time"
    return f"{field['type']}{_bounds(field)}"


def _bounds(field: dict[str, Any]) -> str:
    if "minimum" in field:
        return f" {field['minimum']} to {field['maximum']}"
    pattern = field.get("pattern", "")
    if pattern == _UUID:
        return ", a UUID"
    if "minLength" in field:
        length = f" of {field['minLength']} to {field['maxLength']} characters"
        return length if "\\u" in json.dumps(pattern) else f"{length}, `{pattern}`"
    return f" `{pattern}`" if 0 < len(pattern) <= _LONG_PATTERN else ""


def _plain(name: str) -> str:
    return name.removesuffix("Body")
