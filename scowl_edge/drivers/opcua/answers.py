"""Answers to requests: which request they belong to, and what lies in those that bring values.

Imported only when a driver connects.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import extensionobject_from_binary, nodeid_from_binary, struct_from_binary

from scowl_edge.drivers.errors import BadReply
from scowl_edge.drivers.opcua.values import Values, parse
from scowl_edge.model.signal import Cause

_HEADER = struct.Struct("<qIIB")
"""Time, request handle, result, and whether there are diagnostics."""
_NO_STRINGS, _NO_MORE = (bytes(4), b"\xff\xff\xff\xff"), bytes(3)
"""An empty table of strings, and no additional header."""
_INT = struct.Struct("<i")
_DATA_CHANGE = int(ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary)


class Misdirected(BadReply):
    """The answer to another request came back: nothing more is believed on this connection."""

    cause = Cause.UNPROVEN


@functools.cache
def _answer_type(request: str) -> int:
    """Number of the encoding that an answer to this kind of request has."""
    return int(getattr(ua.ObjectIds, request.removesuffix("Request") + "Response_Encoding_DefaultBinary"))


def belongs(request: Any, data: Buffer) -> None:
    """Makes sure that an answer is one to this request: of its kind, and with its handle.

    Raises:
        Misdirected: it is not.
    """
    rest = data.copy()
    try:
        kind = nodeid_from_binary(rest)
        _, handle, _, _ = _HEADER.unpack(rest.read(_HEADER.size))
    except Exception as error:
        raise Misdirected(f"the answer has no header ({type(error).__name__}: {error})") from error
    if kind.NamespaceIndex != 0 or kind.Identifier != _answer_type(type(request).__name__):
        raise Misdirected(f"an answer of another kind came back ({kind.to_string()})")
    if handle != request.RequestHeader.RequestHandle:
        asked = request.RequestHeader.RequestHandle
        raise Misdirected(f"the answer to request {handle} came back to request {asked}")


@dataclass(slots=True)
class News:
    """One notification, or sign of life, of one subscription."""

    subscription: int
    sequence: int
    is_empty: bool
    """A sign of life: it has no notification and uses up no sequence number."""
    values: list[Values] = field(default_factory=list)
    ended: str = ""
    """Name of the status with which the server ended the subscription; empty if it did not."""


def _body(data: Buffer) -> tuple[bytes, int]:
    """Bytes of an answer and where they go on after its header.

    Raises:
        UaStatusCodeError: the header says that the request failed.
    """
    raw = bytes(data)
    rest = Buffer(raw)
    nodeid_from_binary(rest)
    _, _, code, diagnostics = _HEADER.unpack_from(raw, rest.cur_pos)
    at = rest.cur_pos + _HEADER.size
    if not code and not diagnostics and raw[at : at + 4] in _NO_STRINGS and raw[at + 4 : at + 7] == _NO_MORE:
        return raw, at + 7
    header = struct_from_binary(ua.ResponseHeader, rest)
    header.ServiceResult.check()
    return raw, rest.cur_pos


def read_answer(data: Buffer) -> Values:
    """What a ReadResponse brings.

    Raises:
        UaError, ValueError, struct.error, IndexError: it failed as a whole, or cannot be decoded.
    """
    raw, at = _body(data)
    (count,) = _INT.unpack_from(raw, at)
    return parse(raw, at + _INT.size, count, handled=False)[0]


def publish_answer(data: Buffer) -> News:
    """What a PublishResponse brings.

    Raises:
        UaError, ValueError, struct.error, IndexError: it failed as a whole, or cannot be decoded.
    """
    raw, at = _body(data)
    subscription, count = struct.unpack_from("<Ii", raw, at)
    at += 8 + 4 * max(count, 0)
    _, sequence, _, parts = struct.unpack_from("<?Iqi", raw, at)
    at += 17
    news = News(subscription, sequence, parts <= 0)
    for _ in range(parts):
        at = _notification(raw, at, news)
    return news


def _notification(raw: bytes, at: int, news: News) -> int:
    """Takes one notification into the news; returns where it ends."""
    rest = Buffer(raw, at)
    kind = nodeid_from_binary(rest)
    encoding, length = struct.unpack_from("<Bi", raw, rest.cur_pos)
    body = rest.cur_pos + 5
    if kind.Identifier == _DATA_CHANGE and encoding == 1 and length >= 0:
        (count,) = _INT.unpack_from(raw, body)
        news.values.append(parse(raw[: body + length], body + _INT.size, count, handled=True)[0])
        return int(body + length)
    rest = Buffer(raw, at)
    part = extensionobject_from_binary(rest)
    if isinstance(part, ua.StatusChangeNotification):
        news.ended = str(part.Status.name)
    return int(rest.cur_pos)
