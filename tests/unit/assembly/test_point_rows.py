"""The point table: rows made on demand are those that a table of all rows would hold."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from scowl_edge.assembly import assemble
from scowl_edge.assembly.point_rows import PointRows

_SITE = """
site: {id: s}
links: {plc: {type: modbus-tcp, host: h}}
devices:
  empty: {link: plc, unit: 7}
  a: {link: plc, unit: 1, poll: 2 s, points: &points {power: {address: 0, unit: kW}, limit: {address: 1, access: rw}}}
  none: {link: plc, unit: 9}
  b: {link: plc, unit: 2, fresh_for: 7 s, points: {power: {address: 0, type: float32, unit: V}}}
  c: {link: plc, unit: 3, poll: 2 s, points: *points}
"""


def test_rows_come_in_the_order_of_the_file_from_either_end() -> None:
    rows = assemble(_SITE, "f").points
    named = [("a", "power"), ("a", "limit"), ("b", "power"), ("c", "power"), ("c", "limit")]
    assert [(row.device, row.name) for row in rows] == named
    assert [(rows[i].device, rows[i].name) for i in range(-5, 0)] == named
    assert [(row.device, row.name) for row in rows[1:4]] == named[1:4]
    assert list(rows.names) == list(rows.names[:]) == named
    assert len(rows) == len(rows.names) == 5
    for outside in (5, -6):
        with pytest.raises(IndexError, match="there are 5"):
            rows[outside]


def test_a_row_says_what_its_point_and_its_device_say() -> None:
    rows = assemble(_SITE, "f").points
    assert [(row.unit, row.access, row.type) for row in rows[:3]] == [
        ("W", "r", "uint16"),
        ("", "rw", "uint16"),
        ("V", "r", "float32"),
    ]
    assert [(row.poll_ms, row.fresh_ms, row.link) for row in rows[1:3]] == [
        (2_000, 6_000, "plc"),
        (1_000, 7_000, "plc"),
    ]


def test_links_of_many_rows_are_told_at_once() -> None:
    text = _SITE.replace("h}}", "h}, other: {type: modbus-tcp, host: i}}").replace("b: {link: plc", "b: {link: other")
    rows = assemble(text, "f").points
    for chosen in ([], [0], [2], [1, 2, 3], [0, 1, 3, 4]):
        assert rows.links_of(np.array(chosen, np.intp)) == {rows[i].link for i in chosen}


def test_points_are_found_by_name() -> None:
    rows = assemble(_SITE, "f").points
    assert [rows.index_of(row.device, row.name) for row in rows] == list(range(5))
    assert rows.index_of("a", "powr") is rows.index_of("d", "power") is rows.index_of("none", "power") is None


def test_equal_lists_of_points_are_one_object_and_stay_so_when_handed_on() -> None:
    assembly = assemble(_SITE, "f")
    for links in (assembly.links, pickle.loads(pickle.dumps(assembly.links))):
        devices = {device.name: device for device in links[0].devices}
        assert devices["a"].points is devices["c"].points


def test_a_table_equals_one_of_the_same_configuration_only() -> None:
    rows = assemble(_SITE, "f").points
    again = pickle.loads(pickle.dumps(rows))
    assert rows == again and hash(rows) == hash(again)
    assert rows != assemble(_SITE.replace("poll: 2 s", "poll: 3 s", 1), "f").points
    assert rows != list(rows) and len(PointRows()) == 0
