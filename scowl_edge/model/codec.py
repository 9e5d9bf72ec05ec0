"""The canonical codec: the same value always gives the same bytes, and the bytes give the value back.

JSON with a fixed form: fields of a dataclass in an order that follows from the class alone, keys of a dict sorted as
text, arrays as lists, a member of a union of dataclasses as `{"ClassName": {...}}`. Only what is exact may occur: int
(64 bit), str, bool, None, enums, tuples, lists, dicts with str or int keys, numpy arrays of integers or bools,
NamedTuples and dataclasses. Floats are refused: no state that decides may hold one.

What a type looks like is worked out from its hints once and kept. A subtree without a union goes to the encoder as it
is, so large state costs no Python per element.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import re
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, overload

import numpy as np
import orjson

from scowl_edge.model.errors import ScowlError

T = TypeVar("T")
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
_SCALARS = (bool, int, str)
_NOTHING = type(None)
_FLOAT_LOOKALIKE = re.compile(rb"[:,\[]-?[0-9]+[.eE]")


class CodecError(ScowlError):
    """A value cannot be encoded, or bytes are not an encoding of the wanted type. The text names the place."""


class _Fault(Exception):
    """A fault on its way up; every container that it passes puts its own step in front of `path`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.path: list[str] = []

    def within(self, step: str) -> _Fault:
        self.path.insert(0, step)
        return self


@dataclasses.dataclass(frozen=True, slots=True)
class _Form:
    """How one type is written and read."""

    native: bool
    """The encoder may take the value as it is."""
    prepare: Callable[[Any], Any]
    """Value to something that the encoder may take as it is."""
    read: Callable[[Any], Any]
    """Parsed JSON to the value; raises `_Fault`."""


def encode(value: object, type_: Any = None) -> bytes:
    """The canonical bytes of a value.

    Args:
        value: What to encode.
        type_: The hint to encode it as. Needed where the bytes are to be decoded as a union (`Event`, `Effect`), or as
            a list, tuple or dict that holds one; else the value's own class is meant.

    Raises:
        CodecError: A float, an integer beyond 64 bit, or a type that has no canonical form.
    """
    options = _OPTIONS
    try:
        if type_ is not None or _is_record(type(value)):
            hint: Any = type(value) if type_ is None else type_
            form = _form(hint)
            if not form.native:
                value = form.prepare(value)
        else:
            options |= orjson.OPT_PASSTHROUGH_DATACLASS
        data = orjson.dumps(value, default=_foreign, option=options)
    except _Fault as fault:
        raise CodecError(f"encode {type(value).__name__}{_place(fault)}: {fault.text}") from None
    except (TypeError, AttributeError) as error:
        cause = error.__cause__
        if isinstance(cause, CodecError):
            raise cause from None
        text = cause.text if isinstance(cause, _Fault) else str(error)
        raise CodecError(f"encode {type(value).__name__}: {text}") from None
    # A float has a point nearly always, and looking for one byte is nearly free.
    if b"." in data and _FLOAT_LOOKALIKE.search(data) and (place := _float_place(orjson.loads(data))):
        raise CodecError(
            f"encode {type(value).__name__} at {place}: a float; quantise it to an integer (W, J, ms, ppm) first"
        )
    return data


@overload
def decode(type_: type[T], data: bytes) -> T: ...
@overload
def decode(type_: Any, data: bytes) -> Any: ...
def decode(type_: Any, data: bytes) -> Any:
    """The value of which `data` is the encoding, as `type_` (a class or any hint that the codec knows).

    Every field must be there and none more: nothing is filled in from defaults. Arrays come back writable; an array of
    more than one dimension with no element comes back with one dimension; dicts come back in the order of their keys'
    text.

    Raises:
        CodecError: Not JSON, or not this type; the text names the path of the first fault.
    """
    name = getattr(type_, "__name__", str(type_))
    try:
        return _form(type_).read(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise CodecError(f"decode {name}: not JSON: {error}") from None
    except _Fault as fault:
        raise CodecError(f"decode {name}{_place(fault)}: {fault.text}") from None


def digest(data: bytes) -> str:
    """16 hex digits that differ when the bytes do (blake2b, 64 bit)."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _place(fault: _Fault) -> str:
    return f" at {''.join(fault.path).removeprefix('.')}" if fault.path else ""


def _float_place(value: object, path: str = "$") -> str:
    """Path of the first float in parsed JSON, empty if there is none."""
    if isinstance(value, float):
        return path
    if isinstance(value, list):
        return next(filter(None, (_float_place(v, f"{path}[{i}]") for i, v in enumerate(value))), "")
    if isinstance(value, dict):
        return next(filter(None, (_float_place(v, f"{path}.{k}") for k, v in value.items())), "")
    return ""


def _foreign(value: object) -> object:
    """What the encoder does not take by itself."""
    kind = type(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return tuple(value)
    if dataclasses.is_dataclass(kind):
        return orjson.Fragment(encode(value))
    if isinstance(value, np.ndarray) and value.dtype.kind in "iub":
        return value.tolist()
    raise _Fault(f"{kind.__module__}.{kind.__qualname__} has no canonical form")


def _is_record(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or _is_named_tuple(kind)


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _hints(kind: Any) -> dict[str, Any]:
    """Resolved hints of the fields of a dataclass or NamedTuple."""
    try:
        hints = typing.get_type_hints(kind)
    except NameError as error:
        raise _Fault(f"the hints of {kind.__name__} cannot be resolved: {error}") from None
    names = kind._fields if _is_named_tuple(kind) else [f.name for f in dataclasses.fields(kind)]
    return {name: hints[name] for name in names}


def _same(value: Any) -> Any:
    return value


def _word(value: object) -> str:
    """A short picture of what was found, for an error text."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"


@cache
def _form(hint: Any) -> _Form:
    """The form of a type hint, worked out once.

    Raises:
        _Fault: The hint is not one that the codec knows.
    """
    if isinstance(hint, str):
        raise _Fault(f"the hint {hint!r} is text; resolve it with typing.get_type_hints first")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is None or hint is _NOTHING or hint in _SCALARS:
        return _scalar_form((hint or _NOTHING,))
    if hint is bytes:
        return _bytes_form()
    if origin in (typing.Union, types.UnionType):
        return _union_form(args)
    if origin is list:
        return _list_form(_form(args[0]))
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return _sequence_form(_form(args[0]))
        return _tuple_form(tuple(_form(a) for a in args))
    if origin is dict:
        return _dict_form(args[0], _form(args[1]))
    if origin is np.ndarray:
        return _array_form(np.dtype(typing.get_args(args[1])[0]))
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return _enum_form(hint)
        if _is_named_tuple(hint):
            return _named_tuple_form(hint)
        if dataclasses.is_dataclass(hint):
            return _dataclass_form(hint)
    raise _Fault(f"the type {hint} has no canonical form")


def _scalar_form(kinds: tuple[type, ...]) -> _Form:
    accepted = frozenset(kinds)
    names = " or ".join("null" if k is _NOTHING else k.__name__ for k in kinds)

    def read(data: Any) -> Any:
        if type(data) not in accepted:
            raise _Fault(f"expected {names}, found {_word(data)}")
        return data

    return _Form(True, _same, read)


def _bytes_form() -> _Form:
    def read(data: Any) -> Any:
        try:
            value = bytes.fromhex(data)
        except (TypeError, ValueError):
            value = None
        if value is None or value.hex() != data:
            raise _Fault(f"expected bytes as hexadecimal digits, found {_word(data)}")
        return value

    return _Form(True, _same, read)


def _enum_form(kind: type[enum.Enum]) -> _Form:
    members = {m.value: m for m in kind}

    def read(data: Any) -> Any:
        # True equals 1 as a key, and is no member.
        member = members.get(data) if type(data) in (int, str) else None
        if member is None:
            raise _Fault(f"expected one of {', '.join(map(str, members))} ({kind.__name__}), found {_word(data)}")
        return member

    return _Form(True, _same, read)


def _read_items(item: Callable[[Any], Any], data: Any) -> list[Any]:
    if type(data) is not list:
        raise _Fault(f"expected a list, found {_word(data)}")
    out: list[Any] = []
    try:
        out.extend(map(item, data))
    except _Fault as fault:
        raise fault.within(f"[{len(out)}]") from None
    return out


def _list_form(item: _Form) -> _Form:
    return _Form(item.native, lambda v: [item.prepare(x) for x in v], lambda data: _read_items(item.read, data))


def _sequence_form(item: _Form) -> _Form:
    return _Form(item.native, lambda v: [item.prepare(x) for x in v], lambda data: tuple(_read_items(item.read, data)))


def _tuple_form(items: tuple[_Form, ...]) -> _Form:
    def prepare(value: Any) -> Any:
        return [f.prepare(x) for f, x in zip(items, value, strict=True)]

    def read(data: Any) -> Any:
        if type(data) is not list or len(data) != len(items):
            raise _Fault(f"expected a list of {len(items)}, found {_word(data)}")
        out = []
        for i, (form, x) in enumerate(zip(items, data, strict=True)):
            try:
                out.append(form.read(x))
            except _Fault as fault:
                raise fault.within(f"[{i}]") from None
        return tuple(out)

    return _Form(all(f.native for f in items), prepare, read)


def _read_int_key(key: str) -> int:
    try:
        number = int(key)
    except ValueError:
        number = None
    if number is None or str(number) != key:
        raise _Fault(f"expected an integer as key, found {key!r}")
    return number


def _dict_form(key: Any, item: _Form) -> _Form:
    read_key: Callable[[str], Any]
    if key is str:
        read_key = _same
    elif key is int:
        read_key = _read_int_key
    elif isinstance(key, type) and issubclass(key, enum.StrEnum):
        read_key = _form(key).read
    elif isinstance(key, type) and issubclass(key, enum.IntEnum):
        members = _form(key).read

        def read_key(text: str) -> Any:
            return members(_read_int_key(text))
    else:
        raise _Fault(f"keys of a dict must be str, int or enums of them, not {key}")

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise _Fault(f"expected an object, found {_word(data)}")
        out = {}
        for k, v in data.items():
            try:
                out[read_key(k)] = item.read(v)
            except _Fault as fault:
                raise fault.within(f"[{k!r}]") from None
        return out

    return _Form(item.native, lambda v: {k: item.prepare(x) for k, x in v.items()}, read)


def _array_form(dtype: np.dtype[Any]) -> _Form:
    if dtype.kind not in "iub":
        raise _Fault(f"an array of {dtype} has no canonical form; only integers and bools are exact")
    kinds = frozenset({bool} if dtype.kind == "b" else {int})
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))

    def check(data: list[Any]) -> None:
        found = set(map(type, data))
        if found == {list}:
            for i, row in enumerate(data):
                try:
                    check(row)
                except _Fault as fault:
                    raise fault.within(f"[{i}]") from None
        elif not found <= kinds:
            i, bad = next((i, x) for i, x in enumerate(data) if type(x) not in kinds)
            raise _Fault(f"expected {dtype}, found {_word(bad)}").within(f"[{i}]")
        elif data and (min(data) < low or max(data) > high):
            i, bad = next((i, x) for i, x in enumerate(data) if not low <= x <= high)
            raise _Fault(f"{bad} does not fit {dtype}").within(f"[{i}]")

    def prepare(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iub":
            raise _Fault(f"expected an array of {dtype}, found {_word(value)}")
        return value

    def read(data: Any) -> Any:
        if type(data) is not list:
            raise _Fault(f"expected a list, found {_word(data)}")
        check(data)
        try:
            return np.array(data, dtype)
        except ValueError:
            raise _Fault("rows of different lengths") from None

    return _Form(True, prepare, read)


def _named_tuple_form(kind: Any) -> _Form:
    hints = _hints(kind)
    fields = _tuple_form(tuple(_form(hints[name]) for name in kind._fields))
    # The encoder hands every NamedTuple to `_foreign`, so none needs preparing for its own sake.
    return _Form(fields.native, fields.prepare, lambda data: kind(*fields.read(data)))


def _dataclass_form(kind: Any) -> _Form:
    """Fields are worked out at first use, so that a class may hold itself."""
    names = [f.name for f in dataclasses.fields(kind)]
    set_later = [f.name for f in dataclasses.fields(kind) if not f.init]
    for name in names:
        if name.startswith("_"):
            raise _Fault(f"{kind.__name__}.{name}: the encoder leaves out fields that begin with _; rename it")

    @cache
    def forms() -> list[tuple[str, _Form]]:
        hints = _hints(kind)
        out = []
        for name in names:
            try:
                out.append((name, _form(hints[name])))
            except _Fault as fault:
                raise fault.within(f".{name}") from None
        return out

    def prepare(value: Any) -> Any:
        out = {}
        for name, form in forms():
            try:
                out[name] = form.prepare(getattr(value, name))
            except _Fault as fault:
                raise fault.within(f".{name}") from None
        return out

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise _Fault(f"expected an object ({kind.__name__}), found {_word(data)}")
        found = {}
        for name, form in forms():
            if name not in data:
                raise _Fault(f"field {name!r} of {kind.__name__} is missing")
            try:
                found[name] = form.read(data[name])
            except _Fault as fault:
                raise fault.within(f".{name}") from None
        if len(data) > len(found):
            extra = ", ".join(repr(k) for k in data if k not in found)
            raise _Fault(f"{kind.__name__} has no field {extra}")
        later = [(name, found.pop(name)) for name in set_later]
        value = kind(**found)
        for name, x in later:
            object.__setattr__(value, name, x)
        return value

    return _Form(_is_native(kind, set()), prepare, read)


def _is_native(hint: Any, seen: set[Any]) -> bool:
    """Whether nothing below a hint needs a tag.

    Raises:
        _Fault: A float anywhere below. Other unknown hints count as native; their fault shows when they are read.
    """
    if hint in seen:
        return True
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        seen.add(hint)
        # Without slots the encoder would write whatever else was set on the instance.
        has_dict = bool(hint.__dictoffset__)
        return all(_is_native(h, seen) for h in _hints(hint).values()) and not has_dict
    if _is_named_tuple(hint):
        return all(_is_native(h, seen) for h in _hints(hint).values())
    if isinstance(hint, type) and issubclass(hint, float | np.floating):
        raise _Fault("the type is float; only integers (W, J, ms, ppm) are exact")
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [a for a in args if a is not _NOTHING]
        if len(inner) > 1 and any(dataclasses.is_dataclass(a) for a in inner):
            return False
    return all(_is_native(a, seen) for a in args if a is not Ellipsis)


def _union_form(args: tuple[Any, ...]) -> _Form:
    inner = [a for a in args if a is not _NOTHING]
    if len(inner) == 1:
        return _optional_form(_form(inner[0]))
    if all(a in _SCALARS for a in inner):
        return _scalar_form(args)
    if not all(dataclasses.is_dataclass(a) for a in inner):
        raise _Fault(
            f"the union of {', '.join(map(str, args))} cannot be told apart; unite dataclasses or scalars only"
        )
    tagged = _tagged_form(tuple(inner))
    return _optional_form(tagged) if len(inner) < len(args) else tagged


def _optional_form(form: _Form) -> _Form:
    return _Form(
        form.native,
        lambda v: None if v is None else form.prepare(v),
        lambda data: None if data is None else form.read(data),
    )


def _tagged_form(kinds: tuple[type, ...]) -> _Form:
    by_tag = {k.__name__: _form(k) for k in kinds}
    if len(by_tag) != len(kinds):
        raise _Fault(f"two classes of a union have the same name: {', '.join(k.__qualname__ for k in kinds)}")
    tags = {k: k.__name__ for k in kinds}

    def prepare(value: Any) -> Any:
        tag = tags.get(type(value))
        if tag is None:
            raise _Fault(f"expected one of {', '.join(by_tag)}, found {_word(value)}")
        form = by_tag[tag]
        return {tag: value if form.native else form.prepare(value)}

    def read(data: Any) -> Any:
        if type(data) is not dict or len(data) != 1:
            raise _Fault(f"expected an object with one of the keys {', '.join(by_tag)}, found {_word(data)}")
        [(tag, body)] = data.items()
        form = by_tag.get(tag)
        if form is None:
            raise _Fault(f"unknown tag {tag!r}; known are {', '.join(by_tag)}")
        try:
            return form.read(body)
        except _Fault as fault:
            raise fault.within(f".{tag}") from None

    return _Form(False, prepare, read)
