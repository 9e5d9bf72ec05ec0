"""What all bodies have in common: one declaration of a field serves reading, writing and the schemas.

A body's fields have the names and the values that the core's dataclass has; where the wire has another name, it is the
alias. A field that is at its default is absent on the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from scowl_edge.drivers.flex.fields import Written

Write = Callable[[Any], object]


class Body(BaseModel):
    """Some object on the wire; unknown fields of it are ignored."""

    model_config = ConfigDict(extra="ignore")

    value_class: ClassVar[type[Any]]
    """What it is in the core."""

    def to_core(self) -> Any:
        """In the core."""
        return self.value_class(**self.__dict__)

    @classmethod
    def written(cls, value: Any) -> dict[str, object]:
        """As it stands on the wire, to be encoded as JSON."""
        out: dict[str, object] = {}
        for attribute, name, default, write in _columns(cls):
            held = getattr(value, attribute)
            if held != default:
                out[name] = held if write is None else write(held)
        return out


def core_value(body: Body) -> Any:
    """A body within another, turned into its value as soon as it is read."""
    return body.to_core()


def absent(default: object, description: str, alias: str | None = None) -> Any:
    """A field that may be left out; what the core has for it then is not told to anyone by the schemas."""

    def hide(schema: dict[str, Any]) -> None:
        schema.pop("default", None)

    return Field(default, description=description, alias=alias, json_schema_extra=hide)


class _Never:
    """The default of a field that has none: equal to nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__


@cache
def _columns(body: type[Body]) -> tuple[tuple[str, str, object, Write | None], ...]:
    """(attribute, name on the wire, default, how it is written) of each field."""
    return tuple(
        (
            attribute,
            field.alias or attribute,
            _Never() if field.is_required() else field.default,
            _writer(field.annotation, tuple(field.metadata)),
        )
        for attribute, field in body.model_fields.items()
    )


def _writer(annotation: Any, metadata: tuple[object, ...] = ()) -> Write | None:
    """How a value of this kind is written; None: as it is."""
    for mark in metadata:
        if isinstance(mark, Written):
            return mark.write
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        return _writer(inner, tuple(marks))
    if origin in (Union, UnionType):
        (inner,) = (kind for kind in get_args(annotation) if kind is not type(None))
        return _unless_none(_writer(inner))
    if origin is tuple:
        return _each(_writer(get_args(annotation)[0]))
    if isinstance(annotation, type) and issubclass(annotation, Body):
        return annotation.written
    return None


def _unless_none(write: Write | None) -> Write | None:
    return None if write is None else lambda value: None if value is None else write(value)


def _each(write: Write | None) -> Write | None:
    return None if write is None else lambda values: [write(value) for value in values]
