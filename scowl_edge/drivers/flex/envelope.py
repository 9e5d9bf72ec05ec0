"""Frames of `scowl-flex/1`: bytes from a link to a message of the core, and back.

Whatever arrives gives either a message, wholly checked but for what needs to be known of others, or `Refused`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from scowl_edge.drivers.flex.bodies import BODIES, TYPES
from scowl_edge.drivers.flex.body import absent, core_value
from scowl_edge.drivers.flex.content import faults
from scowl_edge.drivers.flex.fields import Count, NodeId, Time, Uuid, VersionName, time_text
from scowl_edge.drivers.flex.refusal import Refused
from scowl_edge.model.exchange import Code, Message

VERSION = "1.0"
"""Of the protocol; all with the same first number understand each other."""
FRAME_MAX_BYTES = 1 << 20
"""The longest frame."""

_WORDS = {"missing": "is needed", "model_type": "should be an object", "tuple_type": "should be an array"}
"""Where the validator's own words name what is not on the wire."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_MAJOR = re.compile(r"([0-9]{1,3})\.[0-9]{1,3}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a frame says beside its message: what belongs to the session."""

    v: str
    type: str
    id: str
    seq: int
    """Counted in the session, each one more than the one before."""


class Frame(BaseModel):
    """What all frames have."""

    model_config = ConfigDict(extra="ignore")

    v: VersionName = Field(description="Version of the protocol; the same first number is compatible.")
    type: str = Field(description="What the body is.")
    id: Uuid = Field(description="Id of the message; with the same body it is the same message for 24 h.")
    ts: Time = Field(description="The sender's clock.")
    seq: Count = Field(description="Counted in the session, one more each time.")
    src: NodeId = Field(description="The sender.")
    dst: NodeId = Field(description="Whom it is for.")
    corr: Uuid = absent("", "Id of the message that this one answers.")


def _frame_of(name: str) -> type[Frame]:
    model = BODIES[name]
    kind: Any = Literal[name]
    body: Any = Annotated[model, AfterValidator(core_value)]
    return create_model(
        f"{model.__name__.removesuffix('Body')}Message",
        __base__=Frame,
        __doc__=model.__doc__,
        type=(kind, Field(description="What the body is.")),
        body=(body, Field(description="The content.")),
    )


FRAMES: dict[str, type[Frame]] = {name: _frame_of(name) for name in BODIES}
"""Frames by the type that they name."""
_VALIDATORS = {name: model.__pydantic_validator__ for name, model in FRAMES.items()}


def parse(frame: bytes | str) -> tuple[Envelope, Message]:
    """The message of a frame.

    Raises:
        Refused: the frame is no message; `message_id` is known where the frame has one.
    """
    data = _bytes(frame)
    raw = _json(data)
    message_id = _message_id(raw)
    name = _type(raw, message_id)
    try:
        read: Any = _VALIDATORS[name].validate_python(raw)
    except ValidationError as error:
        _refuse(error, message_id)
    for code, path, text in faults(read.body):
        raise Refused(code, f"body.{path}", text, message_id)
    message = Message(id=read.id, ts_ms=read.ts, src=read.src, dst=read.dst, body=read.body, corr=read.corr)
    return Envelope(v=read.v, type=name, id=read.id, seq=read.seq), message


def frame(message: Message, seq: int) -> bytes:
    """The frame of a message, as number `seq` of its session.

    Raises:
        Refused: it is longer than a frame may be.
    """
    name = TYPES[type(message.body)]
    out = {
        "v": VERSION,
        "type": name,
        "id": message.id,
        "ts": time_text(message.ts_ms),
        "seq": seq,
        "src": message.src,
        "dst": message.dst,
    }
    if message.corr:
        out["corr"] = message.corr
    out["body"] = BODIES[name].written(message.body)
    data = orjson.dumps(out)
    if len(data) > FRAME_MAX_BYTES:
        text = f"a {name} of {len(data)} bytes is longer than {FRAME_MAX_BYTES}; send less in one message"
        raise Refused(Code.SCHEMA, "", text, message.id)
    return data


def content_bytes(message: Message) -> bytes:
    """What a message says, without when, as which message and in which session: equal for equal contents.

    For digests of what was received. It has no limit, since what arrived in few bytes (`1e9`) may be more when it is
    written by us.
    """
    name = TYPES[type(message.body)]
    return orjson.dumps((name, message.src, message.dst, message.corr, BODIES[name].written(message.body)))


def _bytes(frame: bytes | str) -> bytes:
    if isinstance(frame, str):
        try:
            frame = frame.encode()
        except UnicodeEncodeError as error:
            raise Refused(Code.BAD_JSON, "", f"is no text: {error.reason} at character {error.start}") from None
    if len(frame) > FRAME_MAX_BYTES:
        raise Refused(Code.SCHEMA, "", f"a frame of {len(frame)} bytes is longer than {FRAME_MAX_BYTES}")
    return frame


def _json(data: bytes) -> dict[str, Any]:
    """The object that the bytes are.

    One who writes a name twice may mean either value, and others may read the other one: such a frame is refused.
    Written again, an object without such names and without spare blanks is the same bytes; only where it is not, it is
    read a second time by a slower reader that sees every name.
    """
    try:
        raw = orjson.loads(data)
        if orjson.dumps(raw) != data:
            json.loads(data, object_pairs_hook=_once)
    except orjson.JSONDecodeError as error:
        raise Refused(Code.BAD_JSON, "", f"is no JSON: {error.msg} at byte {error.pos}") from None
    except (orjson.JSONEncodeError, RecursionError):
        raise Refused(Code.BAD_JSON, "", "is nested too deep") from None
    except ValueError as error:
        raise Refused(Code.BAD_JSON, "", f"is no JSON that all read alike: {error}") from None
    if not isinstance(raw, dict):
        raise Refused(Code.SCHEMA, "", "is no JSON object")
    return raw


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name[:40]!r} stands twice in one object")
            seen.add(name)


def _message_id(raw: dict[str, Any]) -> str | None:
    given = raw.get("id")
    return given if isinstance(given, str) and _UUID.match(given) else None


def _type(raw: dict[str, Any], message_id: str | None) -> str:
    """The type that the frame names; the version goes first, since another one may read all else in another way."""
    version, name = raw.get("v"), raw.get("type")
    major = _MAJOR.match(version) if isinstance(version, str) else None
    if major is None:
        raise Refused(Code.SCHEMA, "v", 'should be a version such as "1.0"', message_id)
    if int(major[1]) != 1:
        raise Refused(Code.UNSUPPORTED, "v", f"version {version} is not spoken here, {VERSION} is", message_id)
    if not isinstance(name, str):
        raise Refused(Code.SCHEMA, "type", "should be the name of a message", message_id)
    if name not in BODIES:
        raise Refused(Code.UNSUPPORTED, "type", f"{name[:40]!r} is no message of version {VERSION}", message_id)
    return name


def _refuse(error: ValidationError, message_id: str | None) -> NoReturn:
    """With the first fault that was found."""
    first = error.errors(include_url=False, include_context=False)[0]
    path = ""
    for step in first["loc"]:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    got = first["input"]
    shown = "" if isinstance(got, dict | list | tuple) or first["type"] == "missing" else f", not {str(got)[:40]!r}"
    text = _WORDS.get(first["type"]) or first["msg"][:1].lower() + first["msg"][1:]
    raise Refused(Code.SCHEMA, path, f"{text}{shown}", message_id) from None
