"""What is sent arrives as it was; whatever else arrives is refused with a reason, and never breaks the reader."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import orjson
import pytest
from flex_messages import BODIES, any_message, counts, messages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scowl_edge.drivers.flex import Refused, content_bytes, frame, parse
from scowl_edge.drivers.flex.bodies import BODIES as DECLARED
from scowl_edge.model.exchange import Body, Message

CALM = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
QUICK = settings(CALM, max_examples=30)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
    | st.sampled_from(["2026-02-30T00:00:00Z", "2026-01-01T00:00:00+00:00", "1.5", "", "\n", -1, 0, 10**12, 1e308])
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def test_every_body_of_the_core_is_declared_and_drawn() -> None:
    assert {body.value_class for body in DECLARED.values()} == set(get_args(Body))
    assert list(DECLARED) == list(BODIES)


@pytest.mark.parametrize("name", list(BODIES))
def test_a_message_arrives_as_it_was_sent(name: str) -> None:
    @QUICK
    @given(messages(BODIES[name]), counts)
    def law(message: Message, seq: int) -> None:
        sent = frame(message, seq)
        envelope, arrived = parse(sent)
        assert arrived == message
        assert (envelope.v, envelope.type, envelope.id, envelope.seq) == ("1.0", name, message.id, seq)
        assert parse(sent.decode())[1] == message
        assert frame(arrived, seq) == sent

    law()


@CALM
@given(any_message, json_values)
def test_unknown_fields_are_ignored_and_blanks_and_order_do_not_count(message: Message, extra: object) -> None:
    raw = orjson.loads(frame(message, 3))
    raw["later"] = extra
    raw["body"]["later"] = extra
    backwards = dict(reversed(raw.items()))
    assert parse(json.dumps(backwards, indent=2))[1] == message


@CALM
@given(any_message, any_message)
def test_contents_are_the_same_bytes_if_and_only_if_they_are_equal(one: Message, other: Message) -> None:
    again = parse(frame(replace(one, id=other.id, ts_ms=other.ts_ms), 9))[1]
    assert content_bytes(again) == content_bytes(one)
    for changed in (replace(one, body=other.body), replace(one, corr=other.corr), replace(one, src=other.src)):
        assert (content_bytes(changed) == content_bytes(one)) == (changed == one)


def check(data: bytes | str) -> None:
    """Either a message, which can be sent on, or a refusal, which can be sent back."""
    try:
        _, message = parse(data)
    except Refused as refused:
        assert refused.text and len(refused.detail) <= 200
        answer = Message(
            id=refused.message_id or "00000000-0000-4000-8000-000000000000",
            ts_ms=1_800_000_000_000,
            src="cem:a",
            dst="dsrsp:b",
            body=refused.ack(),
        )
        assert parse(frame(answer, 0))[1] == answer
    else:
        assert parse(frame(message, 1))[1] == message


@CALM
@given(st.binary(max_size=200) | st.text(max_size=100) | json_values.map(json.dumps))
def test_any_bytes_are_a_message_or_refused(data: bytes | str) -> None:
    check(data)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        found += places(inner, (*path, step))
    return found


@settings(CALM, max_examples=400)
@given(any_message, st.data())
def test_any_changed_message_is_a_message_or_refused(message: Message, data: st.DataObject) -> None:
    raw = orjson.loads(frame(message, 5))
    *way, last = data.draw(st.sampled_from(places(raw)))
    holder = raw
    for step in way:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[last] = data.draw(json_values)
    else:
        del holder[last]
    check(json.dumps(raw))


@CALM
@given(any_message, st.data())
def test_any_damaged_frame_is_a_message_or_refused(message: Message, data: st.DataObject) -> None:
    sent = bytearray(frame(message, 5))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(sent) - 1))
        sent[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    check(bytes(sent))
