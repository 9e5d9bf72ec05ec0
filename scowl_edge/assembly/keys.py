"""The schema seen from outside: each key with its kind, default, range and example, for documents and editors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from scowl_edge.assembly.kinds import NAME, Kind, found
from scowl_edge.assembly.role_schema import ConsumerRole, GeneratorRole, MeterRole, StorageRole
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
    """None for sections, mappings of sections, and the role."""
    section: type[Section] | None
    """What stands below, for sections and mappings of them."""
    entry: Kind | None
    """What each value is, for mappings of plain values."""
    mapping: bool
    """Whether names of one's own choice stand below."""
    roles: tuple[type[Section], ...] = ()


def keys(section: type[Section]) -> Iterator[Key]:
    """All keys of a section, inherited ones first, in the order of the schema."""
    for name, field in section.model_fields.items():
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
    mapping = get_origin(annotation) is dict
    roles: tuple[type[Section], ...] = ()
    if mapping:
        value, entry = _plain(get_args(annotation)[1])
        section = value if isinstance(value, type) and issubclass(value, Section) else None
    elif get_origin(annotation) in (Union, UnionType):
        roles = (GeneratorRole, ConsumerRole, StorageRole, MeterRole)
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
        roles=roles,
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
    if key.roles:
        schema = {"anyOf": [_object(role) for role in key.roles]}
    elif key.mapping:
        entry = key.entry.json() if key.entry is not None else _object(key.section) if key.section is not None else {}
        schema = {"type": "object", "additionalProperties": entry}
        if key.section is not None:
            schema["propertyNames"] = NAME.json()
    elif key.section is not None:
        schema = _object(key.section)
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
    if key.roles:
        return "mapping (role)"
    if key.mapping:
        return "mapping of names"
    if key.section is not None:
        return "mapping"
    return key.kind.label if key.kind is not None else found(key.default)
