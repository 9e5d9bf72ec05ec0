"""Which requests of other tools may reach a unit: whatever bytes come, never a write, a hole or too long a read."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_site import device, link, point

from scowl_edge.devices.declaration import Hole, Table
from scowl_edge.drivers.errors import BadReply
from scowl_edge.drivers.modbus.guests import Gate, accepted

WIDE = replace(device("wide", 1, point("a", 0)), holes=(Hole(table=Table.HOLDING, first=100, last=109),))
NARROW = replace(
    device("narrow", 2, point("b", 0), first=1), max_read=10, holes=(Hole(table=Table.COIL, first=7, last=7),)
)
SECOND = replace(
    device("second on unit 2", 2, point("c", 0), first=2), holes=(Hole(table=Table.INPUT, first=0, last=65535),)
)
GATE = Gate(link(1, WIDE, NARROW, SECOND))


def read(function: int, address: int, count: int) -> bytes:
    return struct.pack(">BHH", function, address, count)


def verdict(unit: int, request: bytes) -> tuple[int, str]:
    found = GATE.denied(unit, request)
    return (found.code, found.result) if found else (0, "")


@pytest.mark.parametrize(
    ("unit", "request_"),
    [
        (1, read(3, 0, 100)),
        (1, read(3, 110, 125)),
        (1, read(3, 65535, 1)),
        (1, read(4, 100, 10)),
        (1, read(1, 0, 2000)),
        (2, read(3, 0, 10)),
        (2, read(1, 8, 160)),
        (2, read(2, 7, 1)),
        (1, b"\x11"),
        (2, b"\x2b\x0e\x01\x00"),
    ],
)
def test_reads_pass(unit: int, request_: bytes) -> None:
    assert GATE.denied(unit, request_) is None


@pytest.mark.parametrize(
    ("unit", "request_", "code"),
    [
        (1, read(3, 0, 0), 3),
        (1, read(3, 0, 126), 3),
        (1, read(3, 0, 1) + b"\x00", 3),
        (1, b"\x03\x00\x00", 3),
        (1, read(1, 0, 2001), 3),
        (2, read(3, 0, 11), 3),
        (2, read(2, 0, 161), 3),
        (1, read(3, 65535, 2), 2),
        (1, read(3, 91, 10), 2),
        (1, read(3, 109, 1), 2),
        (2, read(1, 0, 8), 2),
        (2, read(4, 4000, 1), 2),
        (3, read(3, 0, 1), 10),
        (0, read(3, 0, 1), 10),
        (1, b"\x2b\x0d\x01\x00", 1),
        (1, b"\x11\x00", 1),
        (1, b"\x08\x00\x01\x00\x00", 1),
    ],
)
def test_what_must_not_pass_is_told_why(unit: int, request_: bytes, code: int) -> None:
    assert verdict(unit, request_) == (code, "refused")


@pytest.mark.parametrize("function", [5, 6, 15, 16, 21, 22, 23])
@pytest.mark.parametrize("unit", [1, 99])
def test_writes_are_refused_and_told_apart(function: int, unit: int) -> None:
    assert verdict(unit, bytes((function, 0, 0, 0, 1))) == (1, "write_refused")


@given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_whatever_comes_only_reads_within_the_limits_pass(unit: int, request_: bytes) -> None:
    if GATE.denied(unit, request_) is not None:
        return
    assert unit in (1, 2)
    if request_[0] in (17, 43):
        assert request_ == b"\x11" or (request_[:2] == b"\x2b\x0e" and len(request_) == 4)
        return
    function, address, count = struct.unpack(">BHH", request_)
    assert function in (1, 2, 3, 4)
    assert 1 <= count <= {1: (2000, 125), 2: (160, 10)}[unit][function > 2]
    asked = set(range(address, address + count))
    assert max(asked) < 65536
    forbidden = {(1, 3): set(range(100, 110)), (2, 1): {7}, (2, 4): set(range(65536))}
    assert asked.isdisjoint(forbidden.get((unit, function), set()))


@given(st.integers(1, 4), st.integers(1, 125), st.binary(min_size=1, max_size=253))
def test_a_reply_of_another_length_is_no_answer(function: int, count: int, junk: bytes) -> None:
    size = count * 2 if function > 2 else (count + 7) // 8
    right = bytes((function, size)) + bytes(size)
    assert accepted(read(function, 0, count), right) == right
    if len(junk) != len(right):
        with pytest.raises(BadReply):
            accepted(read(function, 0, count), bytes((function,)) + junk[1:])


def test_replies_that_name_a_device_are_checked_too() -> None:
    named = b"\x2b\x0e\x01\x01\x00\x00\x01\x00\x03abc"
    assert accepted(b"\x2b\x0e\x01\x00", named) == named
    assert accepted(b"\x11", b"\x11\x02\x07\xff") == b"\x11\x02\x07\xff"
    for request_, reply in [
        (b"\x2b\x0e\x01\x00", b"\x2b\x0e\x02\x01\x00\x00\x00"),
        (b"\x2b\x0e\x01\x00", b"\x2b\x0e\x01"),
        (b"\x11", b"\x11\x03\x07\xff"),
        (b"\x11", b"\x11"),
    ]:
        with pytest.raises(BadReply):
            accepted(request_, reply)
