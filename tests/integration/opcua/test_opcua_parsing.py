"""Answers taken apart here, put together by the library: whatever it can say is read as it was meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.drivers.opcua.answers import Misdirected, belongs, publish_answer, read_answer
from scowl_edge.drivers.opcua.values import Values, parse

_BITS = {"SByte": 8, "Byte": 8, "Int16": 16, "UInt16": 16, "Int32": 32, "UInt32": 32, "Int64": 64, "UInt64": 64}
_START = datetime(1990, 1, 1, tzinfo=UTC)


def _numbers(kind: str) -> st.SearchStrategy[Any]:
    if kind == "Boolean":
        return st.booleans()
    if kind in ("Float", "Double"):
        return st.floats(width=32 if kind == "Float" else 64)
    bits = _BITS[kind]
    low, high = (
        (0, (1 << bits) - 1) if kind.startswith("U") or kind == "Byte" else (-(1 << bits - 1), (1 << bits - 1) - 1)
    )
    return st.integers(low, high)


_KINDS = st.sampled_from(["Boolean", *_BITS, "Float", "Double"])
_SINGLE = _KINDS.flatmap(lambda kind: _numbers(kind).map(lambda value: ua.Variant(value, ua.VariantType[kind])))
_ODD = st.one_of(
    st.none(),
    st.text(max_size=5).map(lambda text: ua.Variant(text, ua.VariantType.String)),
    st.lists(st.integers(0, 9), max_size=3).map(lambda many: ua.Variant(many, ua.VariantType.Int16, is_array=True)),
)
_TIMES = st.none() | st.integers(0, 2_000_000_000_000).map(lambda ms: _START + timedelta(milliseconds=ms))
_DATA = st.builds(
    ua.DataValue,
    st.one_of(_SINGLE, _SINGLE, _SINGLE, _ODD),
    st.none() | st.sampled_from([0, ua.StatusCodes.BadNoCommunication, 0x40000000]).map(ua.StatusCode),
    _TIMES,
    _TIMES,
)
_RUNS = st.lists(st.tuples(_DATA, st.integers(1, 5)), max_size=8).map(
    lambda runs: [data for data, times in runs for _ in range(times)]
)
"""Values as devices send them: some of the same kind in a row."""


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)


def _compare(found: Values, sent: dict[int, ua.DataValue]) -> None:
    assert len(found) == len(sent)
    for n, item in enumerate(found.items.tolist()):
        data = sent[item]
        assert found.types[n] == data.Value.VariantType.value
        assert _same(float(found.numbers[n]), float(data.Value.Value))
        assert found.codes[n] == (data.StatusCode.value if data.StatusCode is not None else 0)
        stamp = data.SourceTimestamp
        assert found.stamps_ms[n] == (0 if stamp is None else round(stamp.timestamp() * 1000))
        single = found.single(n)
        assert single.Value.VariantType is data.Value.VariantType and type(single.Value.Value) is type(data.Value.Value)
        assert single.StatusCode.value == found.codes[n]
    for item, data in found.others:
        before = sent[item]
        assert data.Value == before.Value or (data.Value.Value is None and before.Value is None)
        assert (data.StatusCode or ua.StatusCode()).value == (before.StatusCode or ua.StatusCode()).value
        assert data.SourceTimestamp == before.SourceTimestamp
    # Single numbers take the short way.
    assert all(
        d.Value is None or d.Value.Value is None or d.Value.is_array or d.Value.VariantType is ua.VariantType.String
        for _, d in found.others
    )


@settings(max_examples=80, deadline=None)
@given(_RUNS)
def test_whatever_a_read_brings(data: list[ua.DataValue]) -> None:
    response = ua.ReadResponse(Results=data)
    _compare(read_answer(Buffer(struct_to_binary(response))), dict(enumerate(data)))


@settings(max_examples=80, deadline=None)
@given(_RUNS, st.integers(1, 1 << 31), st.booleans(), st.data())
def test_whatever_a_notification_brings(
    data: list[ua.DataValue], sequence: int, ended: bool, draw: st.DataObject
) -> None:
    handles = draw.draw(st.lists(st.integers(0, (1 << 32) - 1), min_size=len(data), max_size=len(data), unique=True))
    items = [ua.MonitoredItemNotification(handle, value) for handle, value in zip(handles, data, strict=True)]
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.AvailableSequenceNumbers = [1, 2, 3]
    message = response.Parameters.NotificationMessage
    message.SequenceNumber = sequence
    message.NotificationData = [ua.DataChangeNotification(MonitoredItems=items)]
    if ended:
        message.NotificationData.append(ua.StatusChangeNotification(ua.StatusCode(ua.StatusCodes.BadTimeout)))
    raw = struct_to_binary(response)
    news = publish_answer(Buffer(raw))
    assert (news.subscription, news.sequence, news.is_empty) == (7, sequence, False)
    assert news.ended == ("BadTimeout" if ended else "")
    _compare(news.values[0], dict(zip(handles, data, strict=True)))


def test_a_sign_of_life_is_empty_and_a_fault_is_raised() -> None:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 9
    response.Parameters.NotificationMessage.SequenceNumber = 4
    news = publish_answer(Buffer(struct_to_binary(response)))
    assert (news.subscription, news.sequence, news.is_empty, news.values) == (9, 4, True, [])
    response.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadNoSubscription)
    with pytest.raises(ua.UaStatusCodeError, match="BadNoSubscription"):
        publish_answer(Buffer(struct_to_binary(response)))


@settings(max_examples=60, deadline=None)
@given(_RUNS.filter(bool), st.data())
def test_what_ends_too_soon_is_no_value(data: list[ua.DataValue], draw: st.DataObject) -> None:
    raw = b"".join(struct_to_binary(value) for value in data)
    cut = draw.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(Exception):  # noqa: B017  # by whom is not the point: nothing is handed on
        parse(raw[:cut], 0, len(data), handled=False)
    values, end = parse(raw, 0, len(data), handled=False)
    assert end == len(raw) and len(values) == len(data)


def test_an_answer_belongs_to_one_request() -> None:
    asked = ua.ReadRequest()
    asked.RequestHeader.RequestHandle = 41
    answer = ua.ReadResponse()
    answer.ResponseHeader.RequestHandle = 41
    belongs(asked, Buffer(struct_to_binary(answer)))
    answer.ResponseHeader.RequestHandle = 40
    with pytest.raises(Misdirected, match="answer to request 40 came back to request 41"):
        belongs(asked, Buffer(struct_to_binary(answer)))
    other = ua.WriteResponse()
    other.ResponseHeader.RequestHandle = 41
    with pytest.raises(Misdirected, match="another kind"):
        belongs(asked, Buffer(struct_to_binary(other)))
    with pytest.raises(Misdirected, match="no header"):
        belongs(asked, Buffer(b"\x01\x00"))
