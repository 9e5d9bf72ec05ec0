"""The driver against node-opcua, a server in JavaScript: every scalar type, and every trouble that a server makes."""

from __future__ import annotations

import math

import pytest
from modbus_site import RealClock
from opcua_peer import Peer
from opcua_site import SITE, device, link, point, running

from scowl_edge.devices.declaration import OpcuaPoint
from scowl_edge.model.command import CommandId, OutcomeKind, WriteClass
from scowl_edge.model.signal import Cause, Quality

SCALARS = {
    "Boolean": 1.0,
    "SByte": -7.0,
    "Byte": 200.0,
    "Int16": -1234.0,
    "UInt16": 54321.0,
    "Int32": -123456.0,
    "UInt32": 3123456789.0,
    "Int64": -300.0,
    "UInt64": 300.0,
    "Float": 1.5,
    "Double": -2.25,
    "DateTime": 1772366400.5,
}
ASKED = {
    "Boolean": (0, False),
    "SByte": (-100, -100),
    "Byte": (255, 255),
    "Int16": (-32768, -32768),
    "UInt16": (65535, 65535),
    "Int32": (-(2**31), -(2**31)),
    "UInt32": (2**32 - 1, 2**32 - 1),
    "Int64": (-(2**53), str(-(2**53))),
    "UInt64": (2**53, str(2**53)),
    "Float": (0.25, 0.25),
    "Double": (1e-3, 1e-3),
    "DateTime": (1767225600.25, "2026-01-01T00:00:00.250Z"),
}


@pytest.fixture
def peer(opcua_server: Peer) -> Peer:
    opcua_server.reset()
    return opcua_server


@pytest.mark.parametrize("subscribe", [True, False], ids=["subscribed", "polled"])
async def test_every_scalar_type_is_read_and_commanded(peer: Peer, subscribe: bool) -> None:
    points = [point(name, f"{SITE}s={name}", name.lower()) for name in SCALARS]
    untyped = [point(name, f"{SITE}s={name}") for name in SCALARS]
    text = point("text", f"{SITE}s=String", "string")
    site = link(
        peer.endpoint, device("typed", *points, text), device("untyped", *untyped, first=20), subscribe=subscribe
    )
    async with running(site) as it:
        for at, value in enumerate(SCALARS.values()):
            await it.sees(at, value)
            await it.sees(20 + at, value)
        await it.sink.until(lambda: it.driver.texts.get(len(SCALARS)) == "idle")
        assert it.sink.last[len(SCALARS)][1:] == (Quality.UNCERTAIN, Cause.NONE)
        assert math.isnan(it.sink.last[len(SCALARS)][0])
        for at, (name, (asked, held)) in enumerate(ASKED.items()):
            outcome = await it.command((at + 20 * (at % 2), asked))
            assert outcome.kind is OutcomeKind.ACKNOWLEDGED, (name, outcome)
            assert peer.value(name) == held
            assert peer.state()["types"][name] == name
            await it.sees(at, asked)
        assert it.sink.flips("") == [True]
        assert it.sink.flips("typed") == it.sink.flips("untyped") == [True]


async def test_arrays_subtypes_and_scales(peer: Peer) -> None:
    doubles = [point(f"d{n}", f"{SITE}s=Doubles", "double", index=n, to_base=1000.0) for n in range(5)]
    site = link(
        peer.endpoint,
        device(
            "d",
            *doubles,
            point("whole", f"{SITE}s=Doubles"),
            point("duration", f"{SITE}s=Duration", "double", scale=0.001, offset=-1.0),
            point("as-integer", f"{SITE}s=Double", "int32"),
            point("high", f"{SITE}s=UInt16", high=100.0),
            point("none", f"{SITE}s=Int16", nan=(-1234.0,)),
            point("elsewhere", "nsu=urn:nowhere;s=X"),
            point("nobody", f"{SITE}s=Nobody"),
        ),
        device("lost", point("x", f"{SITE}s=Lost"), first=50),
    )
    async with running(site) as it:
        await it.sees(3, 4000.0)
        assert [it.good(n) for n in range(4)] == [1000.0, 2000.0, 3000.0, 4000.0]
        await it.sees(6, 0.5)
        await it.sink.until(lambda: 50 in it.sink.last and 10 in it.sink.last)
        causes = {n: it.sink.last[n][1:] for n in (4, 5, 7, 8, 9, 10, 11, 50)}
        assert causes == {
            4: (Quality.BAD, Cause.WRONG_TYPE),
            5: (Quality.BAD, Cause.WRONG_TYPE),
            7: (Quality.BAD, Cause.WRONG_TYPE),
            8: (Quality.BAD, Cause.IMPLAUSIBLE),
            9: (Quality.BAD, Cause.SENTINEL),
            10: (Quality.BAD, Cause.UNKNOWN_NODE),
            11: (Quality.BAD, Cause.UNKNOWN_NODE),
            50: (Quality.BAD, Cause.UNKNOWN_NODE),
        }
        assert "set `type: double`" in it.driver.faults[7]
        assert it.driver.faults[10] == "the server has no namespace urn:nowhere"
        assert it.driver.faults[11] == "BadNodeIdUnknown"
        await it.sink.until(lambda: it.sink.flips("lost"))
        # A device without a single value is down, however well its server does.
        assert (it.sink.flips(""), it.sink.flips("d"), it.sink.flips("lost")) == ([True], [True], [False])

        assert (await it.command((2, 30_000.0))).kind is OutcomeKind.ACKNOWLEDGED
        assert peer.value("Doubles") == [1, 2, 30, 4]
        assert (await it.command((6, 2.5))).kind is OutcomeKind.ACKNOWLEDGED
        assert peer.value("Duration") == 3500
        outcome = await it.command((7, 1.0))
        assert outcome.kind is OutcomeKind.WITHHELD and "set `type: double`" in outcome.detail


async def test_a_status_becomes_quality(peer: Peer) -> None:
    site = link(peer.endpoint, device("d", point("double", f"{SITE}s=Double"), point("fixed", f"{SITE}s=Fixed")))
    async with running(site) as it:
        await it.sees(0, -2.25)
        for status, quality, cause in (
            ("UncertainLastUsableValue", Quality.UNCERTAIN, Cause.NONE),
            ("BadSensorFailure", Quality.BAD, Cause.EXCEPTION),
            ("GoodLocalOverride", Quality.GOOD, Cause.NONE),
        ):
            peer.put("Double", status=status)
            await it.sink.until(lambda expected=(quality, cause): it.sink.last[0][1:] == expected)
            assert it.driver.faults.get(0) == (status if quality is Quality.BAD else None)
        last = [reading for reading in it.sink.readings if 0 in reading.points][-1]
        assert abs(last.source_utc_ms - RealClock().utc_ms()) < 60_000
        assert it.sink.flips("d") == [True]


async def test_commands_are_sent_once_and_answered_once(peer: Peer) -> None:
    machine = f"{SITE}s=Machine"

    def method(name: str, type_: str = "") -> OpcuaPoint:
        return point(name, machine, type_, method=f"{SITE}s=Machine/{name}", access="w", write_class=WriteClass.PULSE)

    site = link(
        peer.endpoint,
        device(
            "d",
            point("double", f"{SITE}s=Double"),
            point("fixed", f"{SITE}s=Fixed"),
            method("Reset", "none"),
            method("SetLimit"),
            method("Refuse", "none"),
            method("Unsure", "none"),
            method("Sleep", "none"),
            point("byte", f"{SITE}s=Byte"),
            point("limit", machine, "float", method=f"{SITE}s=Machine/SetLimit", access="w", scale=0.1, to_base=1000.0),
        ),
        timeout_ms=2_000,
    )
    sent: list[CommandId] = []

    async def note(command: CommandId) -> None:
        sent.append(command)

    async with running(site) as it:
        it.driver.before_send = note
        await it.sees(0, -2.25)
        rejected = await it.command((1, 1.0))
        assert rejected.kind is OutcomeKind.REJECTED and "BadNotWritable" in rejected.detail
        assert not sent
        for index, kind, word in (
            (2, OutcomeKind.ACKNOWLEDGED, ""),
            (3, OutcomeKind.ACKNOWLEDGED, ""),
            (4, OutcomeKind.REJECTED, "BadInvalidState"),
            (5, OutcomeKind.TIMED_OUT, "BadTimeout"),
            (6, OutcomeKind.TIMED_OUT, "no answer within 2000 ms"),
        ):
            outcome = await it.command((index, 12.5))
            assert outcome.kind is kind and word in outcome.detail, outcome
        assert len(sent) == 5
        assert (await it.command((8, 4000.0))).kind is OutcomeKind.ACKNOWLEDGED
        assert peer.calls() == [
            ["Reset", []], ["SetLimit", [12.5]], ["Refuse", []], ["Unsure", []], ["Sleep", []], ["SetLimit", [40.0]],
        ]  # fmt: skip
        # Several writes of one command: in order, and not beyond the first that is refused.
        assert (await it.command((0, 1.0), (7, 3.0))).kind is OutcomeKind.ACKNOWLEDGED
        partly = await it.command((0, 2.0), (1, 5.0), (7, 9.0))
        assert partly.kind is OutcomeKind.REJECTED and "1 of 3 writes were taken" in partly.detail
        assert peer.state()["writes"] == [["Double", 1], ["Byte", 3], ["Double", 2]]
        too_much = await it.command((7, 256.0))
        assert too_much.kind is OutcomeKind.WITHHELD and "beyond what byte can hold" in too_much.detail
    late = len(it.sink.outcomes)
    assert late == len({outcome.command for outcome in it.sink.outcomes})
    assert peer.has_no_session()
