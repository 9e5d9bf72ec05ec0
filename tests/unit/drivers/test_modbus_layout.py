"""Any layout reads back what an encoder that is not ours wrote; and writing is the inverse of reading."""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_site import point

from scowl_edge.devices.declaration import ModbusPoint, Table
from scowl_edge.drivers.errors import LayoutError, Unsendable
from scowl_edge.drivers.modbus.encoding import Coil, RegisterBit, Registers, encode
from scowl_edge.drivers.modbus.layout import Block, exponents_of
from scowl_edge.drivers.modbus.planner import plan
from scowl_edge.model.signal import Cause, Quality, Reading

FIRST = 700
WIDTH = {"int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "float32": 4, "float64": 8}


def on_wire(type_: str, order: str, raw: float) -> bytes:
    """Big-endian bytes of the number, then moved about as the order's name says, register by register."""
    size = WIDTH[type_]
    if type_.startswith("float"):
        plain = struct.pack(">f" if size == 4 else ">d", raw)
    else:
        plain = int(raw).to_bytes(size, "big", signed=type_.startswith("int"))
    if len(order) == 8:
        return bytes(plain["ABCDEFGH".index(letter)] for letter in order)
    registers = [plain[at : at + 2] for at in range(0, size, 2)]
    if order in ("CDAB", "DCBA"):
        registers.reverse()
    if order in ("BADC", "DCBA"):
        registers = [register[::-1] for register in registers]
    return b"".join(registers)


@dataclass
class Written:
    """One point and the raw number that lies there."""

    point: ModbusPoint
    raw: float


def numbers(type_: str) -> st.SearchStrategy[float]:
    if type_.startswith("float"):
        return st.floats(allow_nan=False, allow_infinity=False, width=32 if type_ == "float32" else 64)
    bits = WIDTH[type_] * 8
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if type_[0] == "i" else st.integers(0, (1 << bits) - 1)


@st.composite
def sites(draw: st.DrawFn) -> list[Written]:
    """Points of all types and orders behind each other, with gaps, in both register tables."""
    found: list[Written] = []
    for table in (Table.HOLDING, Table.INPUT):
        address = draw(st.integers(0, 300))
        for _ in range(draw(st.integers(0, 12))):
            type_ = draw(st.sampled_from(sorted(WIDTH)))
            orders = ["ABCD", "BADC", "CDAB", "DCBA"]
            if WIDTH[type_] == 8:
                orders += ["ABCDEFGH", "HGFEDCBA", "EFGHABCD", "".join(draw(st.permutations("ABCDEFGH")))]
            scale = draw(st.sampled_from([1.0, 0.1, -1.0, 10.0, 0.001]))
            found.append(
                Written(
                    point(
                        f"p{len(found)}",
                        address,
                        type_,
                        table=table,
                        order=draw(st.sampled_from(orders)),
                        scale=scale,
                        offset=draw(st.sampled_from([0.0, -40.0])),
                        to_base=draw(st.sampled_from([1.0, 1000.0, 0.01])),
                    ),
                    draw(numbers(type_)),
                )
            )
            address += WIDTH[type_] // 2 + draw(st.integers(0, 20))
    return found


def memory_of(written: list[Written], seed: int = 1) -> dict[Table, bytearray]:
    """All registers; those of no point hold noise."""
    noise = random.Random(seed)
    memory = {table: bytearray(noise.randbytes(2 * 65536)) for table in (Table.HOLDING, Table.INPUT)}
    for item in written:
        data = on_wire(item.point.type, item.point.order, item.raw)
        memory[item.point.table][item.point.address * 2 : item.point.address * 2 + len(data)] = data
    return memory


def read_all(
    points: list[ModbusPoint], memory: dict[Table, bytearray], *, max_gap: int = 8, max_read: int = 125
) -> dict[int, tuple[float, int, int]]:
    """Value, quality and cause of each point, by its place."""
    values: dict[int, tuple[float, int, int]] = {}
    for transaction in plan(points, max_gap=max_gap, max_read=max_read):
        known: dict[int, float] = {}
        for span in transaction:
            block = Block(span, points, FIRST)
            data = bytes(memory[span.table][span.address * 2 : (span.address + span.count) * 2])
            reading = block.decode(data, 5, 6, exponents=known)
            known |= exponents_of(reading)
            values |= by_place(reading)
    return values


def by_place(reading: Reading) -> dict[int, tuple[float, int, int]]:
    return {
        int(p) - FIRST: (float(v), int(q), int(c))
        for p, v, q, c in zip(reading.points, reading.values, reading.quality, reading.causes, strict=True)
    }


@settings(deadline=None, max_examples=150)
@given(sites(), st.integers(0, 30), st.integers(4, 125))
def test_every_type_and_order_reads_back_what_was_written(written: list[Written], max_gap: int, max_read: int) -> None:
    points = [item.point for item in written]
    found = read_all(points, memory_of(written), max_gap=max_gap, max_read=max_read)
    assert sorted(found) == list(range(len(points)))
    for place, item in enumerate(written):
        p = item.point
        exact = (Fraction(item.raw) * Fraction(str(p.scale)) + Fraction(str(p.offset))) * Fraction(str(p.to_base))
        value, quality, cause = found[place]
        if abs(exact) > Fraction(np.finfo(np.float64).max) * (1 - Fraction(1, 10**12)):
            if abs(exact) < Fraction(np.finfo(np.float64).max) * (1 + Fraction(1, 10**12)):
                continue  # the edge of the doubles: a rounding decides
            assert (quality, cause) == (Quality.BAD, Cause.IMPLAUSIBLE)
            continue
        assert (quality, cause) == (Quality.GOOD, Cause.NONE)
        size = abs(Fraction(item.raw) * Fraction(str(p.scale)) * Fraction(str(p.to_base))) + abs(
            Fraction(str(p.offset)) * Fraction(str(p.to_base))
        )
        assert abs(Fraction(value) - exact) <= size * Fraction(1, 10**14) + Fraction(1, 10**300)


@settings(deadline=None, max_examples=150)
@given(sites())
def test_writing_is_the_inverse_of_reading(written: list[Written]) -> None:
    for item in written:
        p = item.point
        if p.table is not Table.HOLDING or (not p.type.startswith("float") and abs(item.raw) >= 2**40):
            continue
        exact = (Fraction(item.raw) * Fraction(str(p.scale)) + Fraction(str(p.offset))) * Fraction(str(p.to_base))
        if abs(exact) > Fraction(np.finfo(np.float64).max):
            continue
        value = float(exact)
        if p.type.startswith("float"):
            if p.offset or (item.raw and abs(value) < 1e-300):
                continue
            encoded = encode(p, value)
            assert isinstance(encoded, Registers)
            code = ">f" if p.type == "float32" else ">d"
            size = struct.calcsize(code)
            back = bytearray(size)
            for at, source in enumerate(
                on_wire("uint64", p.order, int.from_bytes(bytes(range(8)))) if size == 8 else b""
            ):
                back[source] = encoded.data[at]
            if size == 8:
                assert struct.unpack(code, back)[0] == pytest.approx(item.raw, rel=1e-14, abs=0)
            else:
                assert encoded.data == on_wire(p.type, p.order, item.raw or 0.0)
        else:
            assert encode(p, value) == Registers(p.address, on_wire(p.type, p.order, item.raw))


def test_spans_that_need_each_others_scale_factors_come_between_two_reads_of_them() -> None:
    points = [
        point("sf_a", 0, "int16"),
        point("v_b", 1, "uint16", scale_factor="sf_b"),
        point("v_a", 500, "uint16", scale_factor="sf_a"),
        point("sf_b", 501, "int16"),
    ]
    memory = memory_of([Written(points[n], raw) for n, raw in enumerate((1, 7, 9, -1))])
    assert [[s.address for s in transaction] for transaction in plan(points, max_gap=8, max_read=125)] == [
        [501, 0, 501],
        [0, 500, 0],
    ]
    found = read_all(points, memory)
    assert (found[1][0], found[2][0]) == (pytest.approx(0.7), 90.0)


def test_a_scale_factor_too_far_away_is_read_right_before_and_after() -> None:
    points = [point("v", 0, "uint16", scale_factor="sf"), point("sf", 500, "int16")]
    (transaction,) = plan(points, max_gap=8, max_read=125)
    assert [span.address for span in transaction] == [500, 0, 500]
    memory = memory_of([Written(points[0], 1234), Written(points[1], -2)])
    assert read_all(points, memory)[0] == (pytest.approx(12.34), Quality.GOOD, Cause.NONE)


@pytest.mark.parametrize("raw", [-32768, 11, -11])
def test_a_value_without_its_scale_factor_is_bad(raw: int) -> None:
    points = [point("v", 0, "uint16", scale_factor="sf"), point("sf", 1, "int16", nan=(-32768.0,))]
    value, quality, cause = read_all(points, memory_of([Written(points[0], 7), Written(points[1], raw)]))[0]
    assert math.isnan(value)
    assert (quality, cause) == (Quality.BAD, Cause.SENTINEL if raw == -32768 else Cause.IMPLAUSIBLE)


@pytest.mark.parametrize(
    ("type_", "raw", "nan"),
    [
        ("int16", -32768, 0x8000),
        ("uint16", 0xFFFF, 0xFFFF),
        ("uint16", 0xFFFF, -1),
        ("int32", -(2**31), 0x80000000),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("int64", -(2**63), -(2**63)),
        ("float32", struct.unpack(">f", struct.pack(">f", -3.4e38))[0], -3.4e38),
        ("float32", math.nan, None),
        ("float32", math.inf, None),
        ("float64", -math.inf, None),
    ],
)
def test_what_means_not_available_is_never_a_value(type_: str, raw: float, nan: float | None) -> None:
    p = point("p", 3, type_, nan=() if nan is None else (float(nan),), scale=0.1, low=-5.0, high=5.0)
    value, quality, cause = read_all([p], memory_of([Written(p, raw)]))[0]
    assert math.isnan(value)
    assert (quality, cause) == (Quality.BAD, Cause.SENTINEL)


def test_a_signalling_nan_is_a_sentinel_too() -> None:
    p = point("p", 0, "float32")
    memory = memory_of([])
    memory[Table.HOLDING][0:4] = bytes.fromhex("7fa00000")
    assert read_all([p], memory)[0][1:] == (Quality.BAD, Cause.SENTINEL)


def test_limits_are_in_the_configured_unit_and_belong_to_the_range() -> None:
    p = point("p", 0, "uint16", scale=0.1, to_base=1000.0, low=0.1, high=0.3)
    causes = [read_all([p], memory_of([Written(p, raw)]))[0][2] for raw in (0, 1, 3, 4)]
    assert causes == [Cause.IMPLAUSIBLE, Cause.NONE, Cause.NONE, Cause.IMPLAUSIBLE]


def test_single_bits_of_a_register_in_both_byte_orders() -> None:
    for order in ("ABCD", "BADC"):
        points = [point(f"b{i}", 9, "bits", bit=i, order=order) for i in range(16)]
        points.append(point("all", 9, "bits", order=order))
        memory = memory_of([])
        memory[Table.HOLDING][18:20] = on_wire("uint16", order, 0xA50F)
        found = read_all(points, memory)
        assert [found[i][0] for i in range(16)] == [float(0xA50F >> i & 1) for i in range(16)]
        assert found[16][0] == 0xA50F


def test_coils_come_least_significant_bit_first() -> None:
    points = [point(f"c{i}", 100 + i, "bool", table=Table.COIL) for i in range(11)]
    ((span,),) = plan(points, max_gap=0, max_read=125)
    reading = Block(span, points, FIRST).decode(bytes([0b1000_0101, 0b0000_0110]), 0, 0)
    values = {place: value for place, (value, _, _) in by_place(reading).items()}
    assert [values[i] for i in range(11)] == [1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 1]


def test_a_string_is_a_text_beside_the_reading() -> None:
    points = [point("s", 4, "string", length=4), point("t", 8, "string", length=2, order="BADC"), point("n", 10)]
    ((span,),) = plan(points, max_gap=0, max_read=125)
    texts: dict[int, str] = {}
    reading = Block(span, points, FIRST).decode(b"Ab c \0\0\0" + b"2103" + b"\0\7", 0, 0, texts=texts)
    assert texts == {FIRST: "Ab c", FIRST + 1: "1230"}
    found = by_place(reading)
    assert math.isnan(found[0][0]) and found[0][1:] == (Quality.UNCERTAIN, Cause.NONE)
    assert found[2] == (7.0, Quality.GOOD, Cause.NONE)


@pytest.mark.parametrize(
    ("changes", "value", "words"),
    [
        ({"type": "uint16"}, 65536.0, "can hold"),
        ({"type": "uint16"}, -1.0, "can hold"),
        ({"type": "int16", "scale": 0.1}, 3276.8, "can hold"),
        ({"type": "float32"}, 1e39, "can hold"),
        ({"type": "float64", "scale": 0.001}, 1e308, "can hold"),
        ({"type": "uint16", "scale": 1e-300}, 1e308, "can hold"),
        ({"type": "float32"}, math.nan, "not a number"),
        ({"type": "uint16", "high": 100.0, "to_base": 0.01}, 1.01, "high"),
        ({"type": "int16", "low": 0.0}, -0.5, "low"),
        ({"type": "uint16", "nan": (65535.0,)}, 65535.0, "not available"),
        ({"type": "uint16", "table": Table.INPUT}, 1.0, "no device lets write"),
        ({"type": "bool", "table": Table.COIL}, 2.0, "0 or 1"),
        ({"type": "bits", "bit": 3}, 2.0, "0 or 1"),
        ({"type": "string", "length": 4}, 1.0, "string"),
        ({"type": "uint16", "scale_factor": "sf"}, 1.0, "not known"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_clamped(changes: dict[str, object], value: float, words: str) -> None:
    with pytest.raises(Unsendable, match=words):
        encode(point("p", 0, **changes), value)  # type: ignore[arg-type]


def test_rounding_is_half_to_even_on_the_decimal_that_was_asked() -> None:
    p = point("p", 0, "int16", scale=0.1)
    raws = [encode(p, value) for value in (0.05, 0.15, 0.25, -0.15, 1.05)]
    assert raws == [Registers(0, on_wire("int16", "ABCD", raw)) for raw in (0, 2, 2, -2, 10)]


def test_bits_and_coils_are_written_alone() -> None:
    assert encode(point("c", 5, "bool", table=Table.COIL), 1.0) == Coil(5, True)
    assert encode(point("b", 5, "bits", bit=2), 0.0) == RegisterBit(5, 2, False)
    assert encode(point("b", 5, "bits", bit=2, order="BADC"), 1.0) == RegisterBit(5, 10, True)


def test_a_written_value_is_scaled_by_the_present_scale_factor() -> None:
    p = point("p", 0, "int16", scale_factor="sf", to_base=1000.0)
    assert encode(p, 12_340.0, -2.0) == Registers(0, on_wire("int16", "ABCD", 1234))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "uint16", "order": "ABCDEFGH"}, "order"),
        ({"type": "float32", "order": "ABDC"}, "order"),
        ({"type": "uint64", "order": "ABCDEFGG"}, "order"),
        ({"type": "uint16", "scale": 0.0}, "scale"),
        ({"type": "bits", "bit": 16}, "bit"),
    ],
)
def test_a_layout_that_makes_no_sense_says_so(changes: dict[str, object], words: str) -> None:
    points = [point("p", 0, **changes)]  # type: ignore[arg-type]
    with pytest.raises(LayoutError, match=words):
        Block(plan(points, max_gap=0, max_read=125)[0][0], points, 0)
