"""A whole device of every kind of point, read as it is polled: numbers, bits, strings, coils, with scale factors."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_site import device, link, point

from scowl_edge.devices.declaration import Hole, ModbusPoint, Table
from scowl_edge.drivers.modbus.layout import Block, exponents_of
from scowl_edge.drivers.modbus.planner import plan_device
from scowl_edge.model.signal import Quality

FIRST = 1000
CODES = {
    "int16": ">h",
    "uint16": ">H",
    "bits": ">H",
    "int32": ">i",
    "uint32": ">I",
    "float32": ">f",
    "int64": ">q",
    "uint64": ">Q",
    "float64": ">d",
}
REGISTERS = (Table.HOLDING, Table.INPUT)
BITS = (Table.COIL, Table.DISCRETE)


def arranged(data: bytes, order: str) -> bytes:
    """Big-endian bytes as the letters of the order say: A is the most significant."""
    if len(data) == 8 and len(order) == 4:
        order = {
            "ABCD": "ABCDEFGH",
            "BADC": "BADCFEHG",
            "CDAB": "GHEFCDAB",
            "DCBA": "HGFEDCBA",
        }[order]
    if len(data) == 2:
        order = {"ABCD": "AB", "CDAB": "AB", "BADC": "BA", "DCBA": "BA"}[order]
    return bytes(data["ABCDEFGH".index(letter)] for letter in order)


@dataclass
class Plant:
    """What was declared, what lies there, and what it must read as."""

    points: list[ModbusPoint]
    registers: dict[Table, bytearray] = field(repr=False)
    bits: dict[Table, list[int]] = field(repr=False)
    values: list[Fraction | str]
    holes: tuple[Hole, ...]


def number(draw: st.DrawFn, type_: str) -> tuple[bytes, Fraction]:
    code = CODES[type_]
    if type_.startswith("float"):
        value = draw(st.floats(-(2.0**100), 2.0**100, width=32 if type_ == "float32" else 64))
        return struct.pack(code, value), Fraction(value)
    data = draw(st.binary(min_size=struct.calcsize(code), max_size=struct.calcsize(code)))
    return data, Fraction(struct.unpack(code, data)[0])


@st.composite
def plants(draw: st.DrawFn) -> Plant:
    noise = random.Random(draw(st.integers(0, 99)))
    plant = Plant(
        [],
        {table: bytearray(noise.randbytes(2 * 2000)) for table in REGISTERS},
        {table: [noise.randrange(2) for _ in range(2000)] for table in BITS},
        [],
        (),
    )
    at = {table: draw(st.integers(0, 60)) for table in Table}
    for _ in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from([*CODES, "bit", "string", "coil", "scaled"]))
        table = draw(st.sampled_from(BITS if kind == "coil" else REGISTERS))
        name, address = f"p{len(plant.points)}", at[table]
        order = draw(st.sampled_from(["ABCD", "BADC", "CDAB", "DCBA"]))
        changes: dict[str, Any] = {"table": table, "order": order, "poll_ms": draw(st.sampled_from([0, 0, 250, 4000]))}
        data, value = b"", Fraction(0)
        if kind == "coil":
            value = Fraction(draw(st.integers(0, 1)))
            plant.bits[table][address] = int(value)
            plant.points.append(point(name, address, "bool", **changes))
        elif kind == "bit":
            data, whole = number(draw, "uint16")
            bit = draw(st.integers(0, 15))
            value = Fraction(int(whole) >> bit & 1)
            plant.points.append(point(name, address, "bits", bit=bit, **changes))
        elif kind == "string":
            text = draw(st.text("abcXYZ 0189", max_size=10)).strip() + "."
            size = draw(st.integers(-(-len(text) // 2), 8))
            swapped = order in ("BADC", "DCBA")
            data = text.encode().ljust(size * 2, b"\0")
            if swapped:
                data = b"".join(data[n : n + 2][::-1] for n in range(0, len(data), 2))
            plant.points.append(point(name, address, "string", length=size, **changes))
            plant.values.append(text)
        else:
            type_ = draw(st.sampled_from(sorted(CODES))) if kind == "scaled" else kind
            data, value = number(draw, type_)
            if len(data) == 8 and draw(st.booleans()):
                changes["order"] = "".join(draw(st.permutations("ABCDEFGH")))
            scale, offset = draw(st.sampled_from([1.0, 0.1, -10.0])), draw(st.sampled_from([0.0, -40.0]))
            changes |= {"scale": scale, "offset": offset, "to_base": draw(st.sampled_from([1.0, 1000.0]))}
            data = arranged(data, changes["order"])
            value = value * Fraction(str(scale))
            if kind == "scaled":
                exponent = draw(st.integers(-10, 10))
                value *= Fraction(10) ** exponent
                factor = draw(st.sampled_from(REGISTERS))
                if factor is table:
                    address += 1
                at_factor = at[factor]
                plant.registers[factor][at_factor * 2 : at_factor * 2 + 2] = struct.pack(">h", exponent)
                plant.points.append(point(f"{name}_sf", at_factor, "int16", table=factor))
                plant.values.append(Fraction(exponent))
                at[factor] += 1
                changes["scale_factor"] = f"{name}_sf"
            value = (value + Fraction(str(offset))) * Fraction(str(changes["to_base"]))
            plant.points.append(point(name, address, type_, **changes))
        if kind != "string":
            plant.values.append(value)
        if data:
            if kind == "bit":
                data = arranged(data, order)
            plant.registers[table][address * 2 : address * 2 + len(data)] = data
        at[table] = address + max(len(data) // 2, 1) + draw(st.integers(0, 12))
    plant.holes = tuple(
        Hole(table=table, first=at[table] + 1, last=at[table] + 3) for table in Table if draw(st.booleans())
    )
    return plant


@settings(deadline=None, max_examples=100)
@given(plants(), st.integers(0, 30), st.integers(8, 125))
def test_a_device_reads_back_what_was_written_point_by_point(plant: Plant, max_gap: int, max_read: int) -> None:
    of_device = replace(device("d", 1, *plant.points, first=FIRST), holes=plant.holes)
    found: dict[int, float] = {}
    texts: dict[int, str] = {}
    for poll in plan_device(of_device, link(502, of_device, max_gap=max_gap, max_read=max_read)):
        known: dict[int, float] = {}
        for span in poll.spans:
            if span.table in BITS:
                row = plant.bits[span.table][span.address : span.address + span.count]
                row += [1] * (-len(row) % 8)  # what fills the last byte says nothing
                data = bytes(sum(bit << n for n, bit in enumerate(row[at : at + 8])) for at in range(0, len(row), 8))
            else:
                data = bytes(plant.registers[span.table][span.address * 2 : (span.address + span.count) * 2])
            reading = Block(span, plant.points, FIRST).decode(data, 1, 2, exponents=known, texts=texts)
            known |= exponents_of(reading)
            for index, value, quality in zip(reading.points.tolist(), reading.values, reading.quality, strict=True):
                is_text = plant.points[index - FIRST].type == "string"
                assert quality == (Quality.UNCERTAIN if is_text else Quality.GOOD)
                found[index - FIRST] = float(value)
    assert sorted(found) == list(range(len(plant.points)))
    for place, expected in enumerate(plant.values):
        if isinstance(expected, str):
            assert texts[FIRST + place] == expected and np.isnan(found[place])
            continue
        p = plant.points[place]
        spare = (abs(expected) + abs(Fraction(str(p.offset)) * Fraction(str(p.to_base)))) * Fraction(1, 10**13)
        # Below the smallest normal double nothing is exact.
        assert abs(Fraction(found[place]) - expected) <= spare + Fraction(1, 10**300)
