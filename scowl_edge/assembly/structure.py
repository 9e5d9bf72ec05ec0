"""From a document to a `Configuration`: every fault of structure, and what remains usable of a faulty file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scowl_edge.assembly.device_schema import DEVICES, BehindOpcua, ModbusDeviceSection
from scowl_edge.assembly.keys import keys
from scowl_edge.assembly.kinds import found, suggest
from scowl_edge.assembly.link_schema import LINKS, link_tag
from scowl_edge.assembly.modbus_link_schema import MODBUS_LINKS
from scowl_edge.assembly.point_schema import ModbusPointSection, OpcuaPointSection
from scowl_edge.assembly.protocol import MODBUS, OPCUA
from scowl_edge.assembly.role_schema import ROLES
from scowl_edge.assembly.schema import Configuration
from scowl_edge.assembly.section import Section
from scowl_edge.config import Document, Fault, Path, parse

_MOST_REPAIRS = 100
"""Each repair takes out or fills in what the last one laid bare, so nesting bounds them far below this."""


@dataclass(frozen=True, slots=True)
class Structure:
    """What was found in a file."""

    document: Document
    configuration: Configuration
    """The valid part."""
    faults: tuple[Fault, ...]

    assumed: frozenset[Path]
    """Required values that lack or are faulty, and for which the key's example stands in."""

    faulty: frozenset[Path]
    """Where a value was refused."""

    def names(self, *path: str) -> tuple[str, ...]:
        """Names under a path as they stand in the file, faulty entries included."""
        value = self.document.get(path)
        return tuple(value) if isinstance(value, dict) else ()

    def all_known(self, *path: str) -> bool:
        """Whether a mapping has only keys that exist, so that what it lacks is not just misspelt."""
        return set(self.names(*path)) <= set(_keys_at(self.document, path))

    def unread(self, section: str) -> bool:
        """Whether a part of a section could not be read, so that its names are not all known."""
        return bool(self.document.broken & {section, "*"})


def examine(document: Document) -> Structure:
    """Checks keys, kinds and ranges of a whole document."""
    faults = list(document.faults)
    data = document.data
    if data is None:
        data = {}
    if not isinstance(data, dict):
        faults.append(document.fault((), f"the file holds {found(data)}, not keys", "begin with `site: {id: NAME}`"))
        data = {"site": {"id": "unnamed"}}
    data, early = _without_unsupported(document, data)
    faults += early
    data = _by_protocol(document, data)
    assumed: set[Path] = set()
    faulty: set[Path] = set()
    for attempt in range(_MOST_REPAIRS):
        try:
            configuration = Configuration.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=True, include_input=True)
            if attempt == 0:
                faults += [fault for detail in details if (fault := _translate(document, detail)) is not None]
            data = _repaired(document, data, details, assumed, faulty)
        else:
            return Structure(document, configuration, tuple(faults), frozenset(assumed), frozenset(faulty))
    raise AssertionError("the schema refuses one of its own examples")


def _without_unsupported(document: Document, data: dict[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Takes out what is known but not supported yet."""
    faults: list[Fault] = []
    devices = data.get("devices")
    if isinstance(devices, dict):
        kept = {}
        for name, device in devices.items():
            if isinstance(device, dict) and "template" in device:
                what = "`template` is not yet supported in this version"
                todo = "write the device's points and role here"
                faults.append(document.fault(("devices", name, "template"), what, todo, at_key=True))
                device = {key: value for key, value in device.items() if key != "template"}
            kept[name] = device
        data = {**data, "devices": kept}
    return data, faults


def _by_protocol(document: Document, data: dict[str, Any]) -> dict[str, Any]:
    """Marks the devices whose keys are those of OPC-UA."""
    devices = data.get("devices")
    if not isinstance(devices, dict):
        return data
    marked = {
        name: BehindOpcua(device) if isinstance(device, dict) and protocol_of(document, name) == OPCUA else device
        for name, device in devices.items()
    }
    return {**data, "devices": marked}


def protocol_of(document: Document, device: str) -> str:
    """The protocol that a device's keys are those of: its link's, or its points' where there is no such link."""
    link = document.get(("devices", device, "link"))
    found_link = document.get(("links", link)) if isinstance(link, str) else None
    if isinstance(found_link, dict):
        return OPCUA if link_tag(found_link) == OPCUA else MODBUS
    points = document.get(("devices", device, "points"))
    parts = points.values() if isinstance(points, dict) else ()
    return OPCUA if any(isinstance(point, dict) and "node" in point for point in parts) else MODBUS


def _translate(document: Document, detail: ErrorDetails) -> Fault | None:
    """One complaint of the validation in words, at its place; None if it follows from text that could not be read."""
    path, at_name = _path(detail["loc"])
    unread = bool(document.broken & {str(path[0]) if path else "", "*"})
    if unread and (len(path) == 1 or (len(path) == 2 and detail["type"] == "missing")):
        return None
    key = f"`{path[-1]}`" if path else "the file"
    context: Mapping[str, Any] = detail.get("ctx") or {}
    match detail["type"]:
        case "value":
            if at_name:
                return document.fault(path, f'"{path[-1]}" is no name', str(context["todo"]), at_key=True)
            if _holds_faulty_text(document, path):
                return None
            return document.fault(path, f"{key} {context['what']}", str(context["todo"]))
        case "missing":
            owner = f"{_describe(path[:-1])} lacks its key {key}"
            return document.fault(path[:-1], owner, f"add `{path[-1]}: {_example(document, path)}`")
        case "extra_forbidden":
            allowed = _keys_at(document, path[:-1])
            what = f"{key} is no key of {_describe(path[:-1])}"
            foreign = _foreign(document, path)
            if foreign is not None:
                return document.fault(path, what + foreign.why, foreign.todo, at_key=True)
            tight, colon, value = str(path[-1]).partition(":")
            if colon and tight in allowed and document.get(path) is None:
                return document.fault(
                    path, what, f"write `{tight}: {value}`, with a space behind the colon", at_key=True
                )
            return document.fault(path, what, suggest(str(path[-1]), allowed, noun="its keys are"), at_key=True)
        case "union_tag_not_found" | "union_tag_invalid":
            value = document.get(path)
            kinds = list(ROLES)
            if not isinstance(value, dict):
                return document.fault(path, f"{key} is {found(value)}, not a mapping", "write {kind: ..., ...}")
            if "kind" not in value:
                return document.fault(path, f"{key} lacks its key `kind`", f"add one of kind: {', '.join(kinds)}")
            kind = value["kind"]
            return document.fault(
                (*path, "kind"), f"{found(kind)} is no kind of role", suggest(str(kind), kinds, noun="write one of")
            )
        case "model_type" | "model_attributes_type" | "dict_type":
            value = detail["input"]
            what = f"{key} is {found(value)}, but keys and values are expected"
            return document.fault(path, what, "write them indented below, or as {key: value}")
        case _:
            return document.fault(
                path, f"{key} is {found(detail['input'])}: {detail['msg']}", "see docs/configuration.md"
            )


def _path(loc: tuple[int | str, ...]) -> tuple[Path, bool]:
    """The document's path for a location of the validation, and whether it is the name that is meant."""
    path = list(loc)
    at_name = bool(path) and path[-1] == "[key]"
    if at_name:
        path.pop()
    # Each union inserts which of its sections it is about: the protocol, then the kind of role.
    if len(path) > 2 and path[0] in ("links", "devices"):
        del path[2]
    if len(path) > 3 and path[0] == "devices" and path[2] == "role":
        del path[3]
    return tuple(path), at_name


def _describe(path: Path) -> str:
    """What stands at a path, in words."""
    nouns = {"links": "link", "buses": "bus", "ratings": "rating", "devices": "device"}
    match path:
        case ():
            return "the file"
        case (str() as section, name) if section in nouns:
            return f"{nouns[section]} {name}"
        case ("devices", device, "points", point):
            return f"point {point} of device {device}"
        case ("devices", device, "role", *rest):
            return f"`{rest[-1]}` of device {device}" if rest else f"the role of device {device}"
        case _:
            return f"`{path[-1]}`"


def _model_at(document: Document, path: Path) -> type[Section] | None:
    """The model that checks the mapping at a path."""
    model: Any = Configuration
    depth = 0
    while depth < len(path):
        field = next((f for name, f in model.model_fields.items() if (f.alias or name) == path[depth]), None)
        if field is None:
            return None
        depth += 1
        model = _inner(field.annotation)
        if get_origin(model) is dict:
            # The name of an entry takes a step of its own.
            depth += 1
            model = _inner(get_args(model)[1])
        if get_origin(model) in (Union, UnionType):
            model = _variant(document, path[:depth])
        if not (isinstance(model, type) and issubclass(model, Section)):
            return None
    return model if isinstance(model, type) else None


def _variant(document: Document, path: Path) -> type[Section] | None:
    """Which of several sections checks the mapping at a path."""
    match path:
        case ("links", _):
            return LINKS[link_tag(document.get(path))]
        case ("devices", name):
            return DEVICES[protocol_of(document, str(name))]
        case _:
            kind = document.get((*path, "kind"))
            return ROLES.get(kind) if isinstance(kind, str) else None


class _Foreign(NamedTuple):
    why: str
    todo: str


def _foreign(document: Document, path: Path) -> _Foreign | None:
    """What to say of a key that the same thing has behind another protocol."""
    section = _model_at(document, path[:-1])
    match path:
        case ("links", _, name):
            others = [kind for kind, link in LINKS.items() if link is not section and name in _names(link)]
            if others:
                listed = ", ".join(others[:-1]) + (" or " if len(others) > 1 else "") + others[-1]
                owners = "Modbus links" if set(others) == set(MODBUS_LINKS) else f"links of type {listed}"
                return _Foreign(f", since it is of type {link_tag(document.get(path[:-1]))}", f"only {owners} have it")
        case ("devices", device, name) if name in _names(ModbusDeviceSection):
            todo = "take it out: a node is named by its point alone" if name == "unit" else "take it out"
            return _Foreign(_behind(document, str(device)), todo)
        case ("devices", device, "points", _, name):
            if section is OpcuaPointSection and name in _names(ModbusPointSection):
                had = name != "address" or "node" in (document.get(path[:-1]) or {})
                todo = "take it out" if had else 'write `node: "nsu=URI;s=NAME"` instead'
                return _Foreign(_behind(document, str(device)), todo)
            if section is ModbusPointSection and name in _names(OpcuaPointSection):
                todo = "take it out" if name != "node" else "write `table` and `address` instead, or name another link"
                return _Foreign(_behind(document, str(device)), todo)
    return None


def _behind(document: Document, device: str) -> str:
    link = document.get(("devices", device, "link"))
    known = isinstance(document.get(("links", link)), dict) if isinstance(link, str) else False
    return f", since its link {link} is of type {link_tag(document.get(('links', link)))}" if known else ""


def _names(section: type[Section]) -> list[str]:
    return [key.name for key in keys(section)]


def _inner(annotation: Any) -> Any:
    """An annotation without `Annotated` and without `| None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, UnionType):
            parts = [part for part in get_args(annotation) if part is not type(None)]
            if len(parts) != 1:
                return annotation
            annotation = parts[0]
        else:
            return annotation


def _keys_at(document: Document, path: Path) -> list[str]:
    model = _model_at(document, path)
    return _names(model) if model is not None else []


def _example(document: Document, path: Path) -> str:
    """The example of the key at a path, as it would be written."""
    model = _model_at(document, path[:-1])
    fields = model.model_fields if model is not None else {}
    field = next((field for name, field in fields.items() if (field.alias or name) == path[-1]), None)
    return str(field.examples[0]) if field is not None and field.examples else "..."


def _holds_faulty_text(document: Document, path: Path) -> bool:
    """Whether a part of a list was already reported by the reader."""
    value = document.get(path)
    taken = {(fault.line, fault.column) for fault in document.faults}
    return isinstance(value, list) and any(document.position((*path, place)) in taken for place in range(len(value)))


def _repaired(
    document: Document, data: dict[str, Any], details: list[ErrorDetails], assumed: set[Path], faulty: set[Path]
) -> dict[str, Any]:
    """The data without its faulty values, and with the key's example where something required lacks.

    So names and limits in the rest of an entry are still checked; `assumed` takes the paths that were filled,
    `faulty` those of refused values.
    """
    doomed: set[Path] = set()
    filled: dict[Path, Any] = {}
    for detail in details:
        path, _ = _path(detail["loc"])
        if detail["type"] == "missing":
            filled[path] = parse(f"v: {_example(document, path)}", "").get(("v",))
        else:
            doomed.add(path)
    assumed.update(filled)
    faulty.update(doomed)
    repaired = _without(data, (), doomed)
    assert isinstance(repaired, dict)
    for path, value in filled.items():
        at = repaired
        for step in path[:-1]:
            at = at[step]
        at[str(path[-1])] = value
    return repaired


def _without(value: Any, path: Path, doomed: set[Path]) -> Any:
    """A copy, so that parts which the file shares by aliases can be repaired apart."""
    if isinstance(value, dict):
        kept = {key: _without(part, (*path, key), doomed) for key, part in value.items() if (*path, key) not in doomed}
        return BehindOpcua(kept) if isinstance(value, BehindOpcua) else kept
    return value
