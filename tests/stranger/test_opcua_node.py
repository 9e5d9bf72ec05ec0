"""The driver against node-opcua, a server in JavaScript: every scalar type, and every trouble that a server makes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from opcua_peer import Peer
from opcua_site import SITE, device, link, point, running

from scowl_edge.model.command import OutcomeKind
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


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    server = Peer()
    yield server
    server.close()


@pytest.mark.parametrize("subscribe", [True, False], ids=["subscribed", "polled"])
async def test_every_scalar_type_is_read_and_commanded(peer: Peer, subscribe: bool) -> None:
    points = [point(name, f"{SITE}s={name}", name.lower()) for name in SCALARS]
    untyped = [point(name, f"{SITE}s={name}") for name in SCALARS]
    text = point("text", f"{SITE}s=String", "string")
    site = link(
        peer.endpoint, device("typed", *points, text), device("untyped", *untyped, first=20), subscribe=subscribe
    )
    peer.reset()
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
