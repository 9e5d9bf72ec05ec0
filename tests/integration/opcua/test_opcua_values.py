"""What a raw value means, what is written, and how nodes are named: without any server."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from opcua_site import device, link, point

from scowl_edge.devices.declaration import OPCUA_TYPES
from scowl_edge.drivers.errors import LayoutError, Unsendable
from scowl_edge.drivers.opcua import OpcuaDriver
from scowl_edge.drivers.opcua.meaning import TYPE_IDS, Meaning
from scowl_edge.drivers.opcua.names import NodeName
from scowl_edge.model.signal import Cause

LIMITS = {
    "sbyte": (-128, 127),
    "byte": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1024),
    "uint64": (0, 2**64 - 2048),
}
"""The largest of 64 bit that a double holds."""


def test_the_package_loads_no_library() -> None:
    code = "import sys, scowl_edge.drivers.opcua; print({'asyncua', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("type_", LIMITS)
def test_integers_end_where_their_type_ends(type_: str) -> None:
    meaning = Meaning(point("p", "i=1", type_))
    low, high = LIMITS[type_]
    for value in (low, high):
        raw = meaning.raw(float(value), TYPE_IDS[type_])
        assert raw == value and type(raw) is int
        assert meaning.base(raw) == (float(value), Cause.NONE)
    above = float(high + 1) if high < 2**53 else float(2 ** (64 if low == 0 else 63))
    for value in (low - 1 if low > -(2**53) else -float(2**64), above):
        with pytest.raises(Unsendable, match=f"beyond what {type_} can hold"):
            meaning.raw(float(value), TYPE_IDS[type_])


def test_base_and_raw_are_inverses() -> None:
    kilowatts = Meaning(point("p", "i=1", "int16", scale=0.1, offset=-5.0, to_base=1000.0))
    assert kilowatts.base(123) == (7300.0, Cause.NONE)
    assert kilowatts.raw(7300.0, TYPE_IDS["int16"]) == 123
    assert kilowatts.raw(7349.0, TYPE_IDS["int16"]) == 123
    reversed_ = Meaning(point("p", "i=1", "double", scale=-1.0, to_base=1000.0))
    assert reversed_.base(2.5) == (-2500.0, Cause.NONE)
    assert reversed_.raw(-2500.0, TYPE_IDS["double"]) == 2.5
    assert Meaning(point("p", "i=1")).raw(1e300, TYPE_IDS["double"]) == 1e300


def test_what_is_no_value_is_none_in_either_direction() -> None:
    meaning = Meaning(point("p", "i=1", nan=(-9999.0, 0.1), low=-3.0, high=0.3))
    assert meaning.base(3 * 0.1)[1] is Cause.NONE
    for raw, cause in (
        (-9999, Cause.SENTINEL),
        (0.10000000149011612, Cause.SENTINEL),
        (math.nan, Cause.SENTINEL),
        (math.inf, Cause.SENTINEL),
        (-3.1, Cause.IMPLAUSIBLE),
        (0.31, Cause.IMPLAUSIBLE),
    ):
        value, found = meaning.base(raw)
        assert math.isnan(value) and found is cause, raw
    for value, words in (
        (0.5, "beyond its high of 0.3"),
        (-4.0, "beyond its low of -3"),
        (0.1, "means 'not available'"),
        (math.nan, "not a number"),
    ):
        with pytest.raises(Unsendable, match=words):
            meaning.raw(value, TYPE_IDS["float"])
    with pytest.raises(Unsendable, match="a boolean is 0 or 1"):
        Meaning(point("p", "i=1")).raw(0.5, TYPE_IDS["boolean"])
    with pytest.raises(Unsendable, match="beyond what float can hold"):
        Meaning(point("p", "i=1")).raw(1e39, TYPE_IDS["float"])
    with pytest.raises(Unsendable, match="only numbers are written"):
        Meaning(point("p", "i=1")).raw(1.0, TYPE_IDS["string"])
    assert list(TYPE_IDS) == list(OPCUA_TYPES)


@pytest.mark.parametrize(
    ("text", "uri", "index", "identifier"),
    [
        ("i=2258", "", 0, 2258),
        ("ns=2;s=Hall/Power", "", 2, "Hall/Power"),
        ("ns=3;s=a;b=c", "", 3, "a;b=c"),
        ("nsu=urn:site;s=Hall/Power", "urn:site", 0, "Hall/Power"),
        ("nsu=urn:a%3Bb%25;i=7", "urn:a;b%", 0, 7),
        ("nsu=http://plant.example/UA/;b=AQI=", "http://plant.example/UA/", 0, b"\x01\x02"),
    ],
)
def test_nodes_are_named_by_index_or_uri(text: str, uri: str, index: int, identifier: object) -> None:
    name = NodeName.of(text)
    assert (name.uri, name.index, name.identifier) == (uri, index, identifier)


def test_a_namespace_is_looked_up_anew() -> None:
    name = NodeName.of("nsu=urn:site;s=x")
    assert name.namespace(["http://opcfoundation.org/UA/", "urn:site"]) == 1
    assert name.namespace(["http://opcfoundation.org/UA/", "urn:other", "urn:site"]) == 2
    assert name.namespace(["http://opcfoundation.org/UA/"]) is None
    assert NodeName.of("ns=2;s=x").namespace(["a", "b"]) is None


@pytest.mark.parametrize("text", ["Power", "s=", "ns=x;i=1", "i=-1", "i=4294967296", "g=1234", "b=!", "nsu=;s=x"])
def test_what_is_no_node_is_refused_when_the_link_is_built(text: str) -> None:
    with pytest.raises(LayoutError, match="is no NodeId"):
        OpcuaDriver(link("opc.tcp://127.0.0.1:1", device("d", point("p", text))), _Clock())


def test_a_scale_of_nothing_is_refused_when_the_link_is_built() -> None:
    with pytest.raises(LayoutError, match="makes every value 0 or none"):
        OpcuaDriver(link("opc.tcp://127.0.0.1:1", device("d", point("p", "i=1", scale=0.0))), _Clock())


class _Clock:
    def mono_ms(self) -> int:
        return 0

    def utc_ms(self) -> int:
        return 0

    def utc_ok(self) -> bool:
        return True
