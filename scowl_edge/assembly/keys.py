"""The schema seen from outside: each key with its kind, default, range and example, for documents and editors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from scowl_edge.assembly.kinds import NAME, Kind, found
from scowl_edge.assembly.section import Section
from scowl_edge.config import parse


@dataclass(frozen=True, slots=True)
class Key:
    """One key of one section."""

    name: str
    description: str
    example: str
    """As written in a file."""
    required: bool
    default: str
    """As written in a file, or in words where it is computed."""
    fixed_default: bool
    """Whether `default` can be written in a file as it stands."""
    kind: Kind | None
    """None for sections and mappings of sections."""
    section: type[Section] | None
    """What stands below, for sections and mappings of them; None where there are `variants`."""
    entry: Kind | None
    """What each value is, for mappings of plain values."""
    mapping: bool
    """Whether names of one's own choice stand below."""
    variants: tuple[type[Section], ...] = ()
    """Sections of which one stands below: kinds of roles, links, devices."""


def keys(section: type[Section]) -> Iterator[Key]:
    """All keys of a section, its own ones first, in the order of the schema."""
    for name in dict.fromkeys(name for part in section.__mro__ for name in vars(part).get("__annotations__", ())):
        field = section.model_fields.get(name)
        if field is not None:
            yield _key(field.alias or name, field)


def own_keys(section: type[Section], beyond: type[Section]) -> list[Key]:
    """Keys that a section has and the section `beyond` has not."""
    inherited = {key.name for key in keys(beyond)}
    return [key for key in keys(section) if key.name not in inherited]


def _key(name: str, field: FieldInfo) -> Key:
    kind = next((part for part in field.metadata if isinstance(part, Kind)), None)
    annotation, inner_kind = _plain(field.annotation)
    kind = kind or inner_kind
    section: type[Section] | None = None
    entry: Kind | None = None
    variants: tuple[type[Section], ...] = ()
    mapping = get_origin(annotation) is dict
    if mapping:
        annotation, entry = _plain(get_args(annotation)[1])
    if get_origin(annotation) in (Union, UnionType):
        variants = tuple(_plain(part)[0] for part in get_args(annotation))
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        section = annotation
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    said = extra.get("default_text")
    default = ""
    if not field.is_required():
        default = str(said) if said is not None else kind.show(field.default) if kind is not None else "as below"
    example = str(field.examples[0]) if field.examples else ""
    return Key(
        name=name,
        description=field.description or "",
        example=example,
        required=field.is_required(),
        default=default,
        fixed_default=said is None and kind is not None and not field.is_required(),
        kind=kind,
        section=section,
        entry=entry,
        mapping=mapping,
        variants=variants,
    )


def _plain(annotation: Any) -> tuple[Any, Kind | None]:
    """An annotation without `Annotated` and `| None`, and the kind that was in it."""
    kind: Kind | None = None
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            kind = next((part for part in get_args(annotation)[1:] if isinstance(part, Kind)), kind)
            annotation = get_args(annotation)[0]
        elif origin in (Union, UnionType):
            parts = [part for part in get_args(annotation) if part is not type(None)]
            if len(parts) != 1:
                return annotation, kind
            annotation = parts[0]
        else:
            return annotation, kind


def json_schema(section: type[Section], title: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a section and all below it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_object(section)}


def _object(section: type[Section]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for key in keys(section):
        properties[key.name] = _property(key)
        if key.required:
            required.append(key.name)
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _property(key: Key) -> dict[str, Any]:
    schema: dict[str, Any]
    below: dict[str, Any] = {}
    if key.variants:
        below = {"anyOf": [_object(variant) for variant in key.variants]}
    elif key.section is not None:
        below = _object(key.section)
    if key.mapping:
        schema = {"type": "object", "additionalProperties": key.entry.json() if key.entry is not None else below}
        if below:
            schema["propertyNames"] = NAME.json()
    elif below:
        schema = below
    elif key.kind is not None:
        schema = key.kind.json()
    else:
        schema = {}
    schema = {"description": key.description, **schema}
    if key.fixed_default:
        schema["default"] = parse(f"v: {key.default}", "").get(("v",))
    if key.example and key.kind is not None:
        schema["examples"] = [parse(f"v: {key.example}", "").get(("v",))]
    return schema


def type_words(key: Key) -> str:
    """What is written there, for the tables of the reference."""
    if key.mapping:
        return "mapping of names"
    if key.section is not None or key.variants:
        return "mapping"
    return key.kind.label if key.kind is not None else found(key.default)
