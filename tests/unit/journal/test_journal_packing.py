"""What is stored gives back every byte, from any boot or snapshot on, and is small."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tally import boot

from scowl_edge.contracts import Record
from scowl_edge.journal.packing import BEGINS, CONTINUED, Damaged, Packer, Unpacker
from scowl_edge.journal.records import (
    BOOT,
    INPUTS,
    PLAN,
    SENDING,
    SNAPSHOT,
    inputs_record,
    plan_record,
    read_inputs,
    snapshot_record,
)
from scowl_edge.model.codec import digest
from scowl_edge.model.effect import Inputs, Plan, Read
from scowl_edge.model.event import Event, LinkChanged, Stopping
from scowl_edge.model.tick import Tick

Stored = list[tuple[str, int, bytes]]


def pack(records: Sequence[Record]) -> Stored:
    packer = Packer()
    return [(record.kind, *packer.pack(record)) for record in records]


def unpack(stored: Stored) -> list[bytes]:
    unpacker = Unpacker()
    return [unpacker.unpack(*row) for row in stored]


int64s = st.integers(-(2**63), 2**63 - 1)
ticks = st.builds(
    Tick,
    step=st.integers(0, 2**63 - 1),
    mono_ms=int64s,
    utc_ms=int64s,
    utc_ok=st.booleans(),
    journal_ok=st.booleans(),
    move_budget=st.integers(0, 9),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Stopping, why=st.text()),
    st.builds(LinkChanged, link=st.text(), device=st.text(), up=st.booleans(), at_ms=int64s, cause=st.text()),
)


@st.composite
def inputs(draw: st.DrawFn) -> Inputs:
    signals = draw(st.lists(st.integers(0, 40) | st.integers(-5, 2**31 - 1), max_size=8))
    count = len(signals)

    def column(of: st.SearchStrategy[int], dtype: type) -> np.ndarray:
        return np.array(draw(st.lists(of, min_size=count, max_size=count)), dtype)

    return Inputs(
        tick=draw(ticks),
        signals=np.array(signals, np.int32),
        value=column(int64s, np.int64),
        quality=column(st.integers(0, 255), np.uint8),
        received_ms=column(int64s, np.int64),
        events=tuple(draw(st.lists(events, max_size=2))),
    )


plans = st.builds(
    Plan,
    step=st.integers(0, 2**63 - 1),
    effects=st.lists(st.builds(Read, st.tuples(st.integers(0, 9)), int64s), max_size=2).map(tuple),
    wake_at_ms=int64s,
    digests=st.lists(st.tuples(st.text(), st.integers(0, 3).map(lambda n: digest(b"%d" % n))), max_size=6).map(tuple),
    final=st.booleans(),
)
records = st.one_of(
    st.builds(inputs_record, st.just(1), inputs()),
    st.builds(plan_record, st.just(1), plans),
    st.builds(snapshot_record, st.just(1), st.just(4), st.binary(max_size=400)),
    st.just(boot(2)),
    st.builds(
        Record, boot=st.just(1), step=st.just(1), kind=st.sampled_from([INPUTS, PLAN, SENDING]), payload=st.binary()
    ),
)


@given(st.lists(records, max_size=12), st.data())
def test_every_byte_comes_back_from_the_beginning_and_from_any_boot_or_snapshot(
    story: list[Record], data: st.DataObject
) -> None:
    packer = Packer()
    stored: Stored = []
    for record in story:
        if data.draw(st.booleans()):
            packer.restart()
        stored.append((record.kind, *packer.pack(record)))
    payloads = [record.payload for record in story]
    assert unpack(stored) == payloads
    for i, record in enumerate(story):
        if record.kind in (BOOT, SNAPSHOT):
            assert unpack(stored[i:]) == payloads[i:]


@given(inputs())
def test_inputs_read_back_as_they_were(seen: Inputs) -> None:
    record = inputs_record(1, seen)
    back = read_inputs(record)
    assert (back.tick, back.events) == (seen.tick, seen.events)
    for name in ("signals", "value", "quality", "received_ms"):
        ours, theirs = getattr(back, name), getattr(seen, name)
        assert ours.dtype == theirs.dtype and ours.tolist() == theirs.tolist()
    assert inputs_record(1, back) == record


def day_of_meters(steps: int, signals: int) -> list[Record]:
    """Every second each meter is read; every third has moved by a few watts; one section has not changed."""
    draw = random.Random(7)
    value = np.array([draw.randrange(50_000) for _ in range(signals)], np.int64)
    out = []
    for step in range(1, steps + 1):
        for s in range(0, signals, 3):
            value[s] += draw.randrange(-40, 41)
        seen = Inputs(
            tick=Tick(step=step, mono_ms=step * 1_000 + draw.randrange(4), utc_ms=1_767_268_800_000 + step * 1_000,
                      utc_ok=True, journal_ok=True, move_budget=4),
            signals=np.arange(signals, dtype=np.int32),
            value=value.copy(),
            quality=np.zeros(signals, np.uint8),
            received_ms=np.full(signals, step * 1_000 - 90, np.int64) + np.arange(signals) // 4 * 3,
            events=(),
        )  # fmt: skip
        digests = (("region", digest(b"%d" % step)), ("people", digest(b"")))
        out += [inputs_record(1, seen), plan_record(1, Plan(step, (), step * 1_000 + 700, digests, False))]
    return out


def test_what_did_not_change_costs_next_to_nothing() -> None:
    records = day_of_meters(steps=100, signals=120)
    stored = pack(records)
    assert unpack(stored) == [r.payload for r in records]
    size = {kind: sum(len(s) for k, _, s in stored[2:] if k == kind) / 99 for kind in (INPUTS, PLAN)}
    # 40 values of which each holds 6.3 bits of news; 8 bytes of digest that nobody could foretell.
    assert size[INPUTS] < 110, size
    assert size[PLAN] < 40, size


def test_a_stream_cannot_be_read_from_its_middle() -> None:
    stored = pack(day_of_meters(steps=3, signals=4))
    assert [form for _, form, _ in stored] == [BEGINS, *[CONTINUED] * 5]
    with pytest.raises(Damaged, match="what it continues is missing"):
        unpack(stored[1:])


@pytest.mark.parametrize("spoil", ["flip", "cut", "empty", "form"])
def test_damage_is_seen_and_the_next_snapshot_is_read_again(spoil: str) -> None:
    story = [*day_of_meters(steps=4, signals=30), snapshot_record(1, 4, b"state" * 60), *day_of_meters(2, 30)]
    whole = pack(story)
    draw = random.Random(3)
    for i in range(8):
        stored = list(whole)
        kind, form, data = stored[i]
        at = draw.randrange(len(data))
        damaged = {
            "flip": data[:at] + bytes((data[at] ^ 1 << draw.randrange(8),)) + data[at + 1 :],
            "cut": data[:at],
            "empty": b"",
            "form": data,
        }[spoil]
        stored[i] = (kind, 9 if spoil == "form" else form, damaged)
        unpacker = Unpacker()
        for j in range(i):
            assert unpacker.unpack(*stored[j]) == story[j].payload
        with pytest.raises(Damaged):
            unpacker.unpack(*stored[i])
        assert [unpacker.unpack(*row) for row in stored[8:]] == [r.payload for r in story[8:]]


def test_bytes_of_inputs_of_another_length_are_no_inputs() -> None:
    [record, _] = day_of_meters(1, 3)
    for payload in (record.payload[:-1], record.payload + b" ", b"", b"{}"):
        broken = replace(record, payload=payload)
        assert unpack(pack([broken])) == [payload]
