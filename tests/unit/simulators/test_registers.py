"""Registers of the simulator: every type and order, written out by hand."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.devices.declaration import ModbusPoint, Table
from scowl_edge.model.command import WriteClass
from simulators.registers import bit_mask, decode, encode


def point(
    wire_type: str = "uint16",
    order: str = "ABCD",
    *,
    table: Table = Table.HOLDING,
    scale: float = 1.0,
    offset: float = 0.0,
    to_base: float = 1.0,
    nan: tuple[float, ...] = (),
    bit: int = -1,
    length: int = 1,
) -> ModbusPoint:
    return ModbusPoint(
        name="power",
        table=table,
        address=0,
        type=wire_type,
        order=order,
        length=length,
        bit=bit,
        scale=scale,
        offset=offset,
        scale_factor="",
        nan=nan,
        unit="",
        to_base=to_base,
        base_unit="",
        access="rw",
        write_class=WriteClass.VOLATILE,
        fresh_for_ms=3000,
        hold_for_ms=60_000,
        low=None,
        high=None,
    )


@pytest.mark.parametrize(
    ("wire_type", "order", "value", "words"),
    [
        ("uint16", "ABCD", 0x1234, [0x1234]),
        ("uint16", "BADC", 0x1234, [0x3412]),
        ("uint16", "CDAB", 0x1234, [0x1234]),
        ("int16", "DCBA", -2, [0xFEFF]),
        ("int16", "ABCD", -2, [0xFFFE]),
        ("uint32", "ABCD", 0x0A0B0C0D, [0x0A0B, 0x0C0D]),
        ("uint32", "BADC", 0x0A0B0C0D, [0x0B0A, 0x0D0C]),
        ("uint32", "CDAB", 0x0A0B0C0D, [0x0C0D, 0x0A0B]),
        ("uint32", "DCBA", 0x0A0B0C0D, [0x0D0C, 0x0B0A]),
        ("int32", "CDAB", -2, [0xFFFE, 0xFFFF]),
        ("float32", "ABCD", 1.0, [0x3F80, 0x0000]),
        ("float32", "CDAB", 1.0, [0x0000, 0x3F80]),
        ("float32", "BADC", 1.0, [0x803F, 0x0000]),
        ("float64", "ABCDEFGH", 1.0, [0x3FF0, 0, 0, 0]),
        ("float64", "GHEFCDAB", 1.0, [0, 0, 0, 0x3FF0]),
        ("float64", "HGFEDCBA", 1.0, [0, 0, 0, 0xF03F]),
        ("uint64", "ABCDEFGH", 0x0102030405, [0x0000, 0x0001, 0x0203, 0x0405]),
        ("uint64", "BADCFEHG", 0x0102030405, [0x0000, 0x0100, 0x0302, 0x0504]),
        ("int64", "CDAB", -2, [0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF]),
    ],
)
def test_types_and_orders(wire_type: str, order: str, value: float, words: list[int]) -> None:
    assert encode(point(wire_type, order), float(value)) == words
    assert decode(point(wire_type, order), words) == value


def test_scale_offset_and_unit() -> None:
    tenths_kw = point("int16", scale=-0.1, to_base=1000.0)
    assert encode(tenths_kw, -12_340.0) == [123]
    assert decode(tenths_kw, [123]) == pytest.approx(-12_300.0)
    temperature = point("uint16", scale=0.5, offset=-40.0)
    assert encode(temperature, 20.0) == [120]
    assert decode(temperature, [120]) == 20.0
    assert encode(point("int16"), 1230.0, exponent=1) == [123]
    assert decode(point("int16"), [123], exponent=-1) == pytest.approx(12.3)


def test_integers_stop_at_their_ends_and_round() -> None:
    assert encode(point("uint16"), -5.0) == [0]
    assert encode(point("uint16"), 70_000.0) == [0xFFFF]
    assert encode(point("int16"), -40_000.0) == [0x8000]
    assert encode(point("uint16"), 41.6) == [42]


def test_not_available_is_the_sentinel() -> None:
    assert encode(point("int16", nan=(0x8000,)), None) == [0x8000]
    assert encode(point("int16", nan=(-32768,)), None) == [0x8000]
    assert encode(point("uint32", nan=(0xFFFFFFFF,)), None) == [0xFFFF, 0xFFFF]
    word = encode(point("float32"), None)
    assert math.isnan(struct.unpack(">f", struct.pack(">HH", *word))[0])


def test_bits_and_text() -> None:
    assert encode(point("bool", table=Table.COIL), 1.0) == [1]
    assert encode(point("bool", table=Table.COIL, scale=-1.0, offset=1.0), 1.0) == [0]
    assert bit_mask(point("bits", bit=3)) == 8
    assert bit_mask(point("bits", "BADC", bit=3)) == 0x800
    serial = point("string", length=3)
    assert encode(serial, "AB1") == [0x4142, 0x3100, 0]
    assert decode(serial, [0x4142, 0x3100, 0]) == "AB1"


@given(
    st.sampled_from(["int32", "uint32", "int64", "uint64", "float64"]),
    st.sampled_from(["ABCD", "BADC", "CDAB", "DCBA"]),
    st.integers(0, 2**31 - 1),
)
def test_what_is_encoded_comes_back(wire_type: str, order: str, value: int) -> None:
    there = point(wire_type, order)
    assert decode(there, encode(there, float(value))) == value


@given(st.permutations("ABCDEFGH"), st.integers(0, 2**52))
def test_any_order_of_eight_bytes_comes_back(letters: list[str], value: int) -> None:
    there = point("uint64", "".join(letters))
    assert decode(there, encode(there, float(value))) == value
