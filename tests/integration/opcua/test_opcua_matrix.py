"""OPC-UA's column of the fault matrix: each fault injected (counted), seen as it should be, left behind, and no value
published that the server never held.

One server for all cells, in the test's process: the first two of its values change all the time, and every value that
it ever held is in its log. Recovery is counted in requests, not in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from asyncua import ua
from asyncua_peer import plant
from cryptography.hazmat.primitives.serialization import Encoding
from machine import MachineWatch
from modbus_site import RealClock
from opcua_matrix_site import (
    AFRESH,
    MEASURED,
    NAMES,
    SET,
    SHORT_MS,
    Case,
    Refusing,
    Source,
    X,
    Y,
    case,
    on_reads,
    raising,
)
from opcua_site import SITE, device, link, point, running
from opcua_wire_proxy import (
    ByteWise,
    Wire,
    WireProxy,
    is_read_answer,
    request_id,
    with_body,
    with_handle,
    with_request_id,
)

from scowl_edge.clocks import RateClock
from scowl_edge.devices.declaration import SecurityMode, SecurityPolicy
from scowl_edge.drivers.opcua.pki import Pki
from scowl_edge.model.command import OutcomeKind
from scowl_edge.model.event import LinkChanged
from scowl_edge.model.signal import Cause, Quality

together = pytest.mark.asyncio(loop_scope="module")

ATTEMPTS, STALL_S = 5, 0.05
EMPTY = {
    "moving-scale-factor": "a point has no scale factor of its own: numbers come with their type, in a fixed unit",
    "pace": "no serial line: messages go through TCP, whose slow pace is the cell byte-wise",
}
"""Cells without a test, and why."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def source(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Source]:
    folder = tmp_path_factory.mktemp("server")
    own = Pki(folder).own(datetime.now(UTC))
    async with plant(folder / "own") as it_there:
        it_there.add_many(NAMES)
        at_work = Source(it_there, own.certificate.public_bytes(Encoding.DER))
        rising = asyncio.create_task(at_work.rise())
        yield at_work
        rising.cancel()


async def delay(source: Source) -> None:
    async with case(source) as it:
        it.proxy.treat = on_reads(lambda _: 0.05)
        await it.during(lambda: it.proxy.injected >= 4)
        await it.sees_more()
        it.proxy.heal()
        await it.recovers(4)
        assert not it.causes() and it.it.sink.flips("") == [True]


async def jitter(source: Source) -> None:
    async with case(source, subscribe=True) as it:
        it.proxy.treat = lambda proxy, _wire, _chunk: (proxy.injected * 37 % 90) / 1000
        await it.during(lambda: it.proxy.injected >= 12)
        await it.sees_more()
        it.proxy.heal()
        await it.recovers(8)
        assert not it.causes() and it.it.sink.flips("") == [True]


async def loss(source: Source) -> None:
    for subscribe in (False, True):
        async with case(source, subscribe=subscribe, timeout_ms=SHORT_MS) as it:
            it.proxy.treat = lambda proxy, _wire, chunk: chunk if proxy.injected else None
            # What TCP would never lose is missed by its sequence number in the next chunk: nothing of it is believed.
            await it.during(lambda: it.proxy.accepted == 2)
            it.proxy.heal()
            await it.recovers(AFRESH)
            assert it.causes() <= {Cause.LINK_DOWN, Cause.TIMEOUT} and it.it.sink.flips("") == [True]


async def half_open(source: Source) -> None:
    async with case(source, timeout_ms=SHORT_MS) as it:
        it.proxy.mute = True
        await it.during(lambda: it.it.sink.last[X][1:] == (Quality.BAD, Cause.TIMEOUT))
        command = await it.it.command((SET, 2.0))
        assert command.kind in (OutcomeKind.TIMED_OUT, OutcomeKind.WITHHELD)
        await it.it.sink.until(lambda: it.it.sink.flips("") == [True, False])
        assert it.it.sink.counts["timeout"] >= 3
        it.proxy.heal()
        await it.recovers(AFRESH)
        assert it.causes() == {Cause.TIMEOUT, Cause.LINK_DOWN}


async def reset(source: Source) -> None:
    async with case(source) as it:

        def cut(_proxy: WireProxy, wire: Wire, _chunk: bytes) -> None:
            wire.reset()

        it.proxy.treat = cut
        await it.during(lambda: it.proxy.accepted >= 2)
        it.proxy.heal()
        await it.recovers(AFRESH)
        assert it.causes() == {Cause.LINK_DOWN}


async def truncation(source: Source) -> None:
    async with case(source) as it:

        def half(_proxy: WireProxy, wire: Wire, chunk: bytes) -> bytes:
            asyncio.get_running_loop().call_soon(wire.client.close)
            return chunk[: len(chunk) // 2]

        it.proxy.treat = half
        await it.during(lambda: it.proxy.accepted >= 2)
        it.proxy.heal()
        await it.recovers(AFRESH)
        assert it.causes() == {Cause.LINK_DOWN}


async def byte_wise(source: Source) -> None:
    async with case(source, ByteWise) as it:
        it.proxy.treat = lambda _proxy, _wire, chunk: chunk
        await it.during(lambda: it.proxy.injected >= 4)
        await it.sees_more()
        it.proxy.heal()
        await it.recovers(4)
        assert not it.causes()


async def duplicate(source: Source) -> None:
    for subscribe in (False, True):
        async with case(source, subscribe=subscribe) as it:
            it.proxy.treat = lambda _proxy, _wire, chunk: chunk + chunk
            await it.during(lambda: it.proxy.accepted >= 2)  # its sequence number was there before
            it.proxy.heal()
            await it.recovers(AFRESH)
            assert it.causes() <= {Cause.LINK_DOWN}


async def late(source: Source) -> None:
    async with case(source, timeout_ms=SHORT_MS) as it:
        it.proxy.treat = on_reads(lambda chunk: chunk if it.proxy.injected else SHORT_MS * 2 / 1000)
        await it.during(lambda: it.it.sink.counts["timeout"])
        # It comes after its request was given up, before the next answer: it is nobody's.
        await it.recovers(4)
        assert it.causes() == {Cause.TIMEOUT} and it.proxy.accepted == 1


async def shifted(source: Source) -> None:
    async with case(source) as it:

        def previous(proxy: WireProxy, _wire: Wire, chunk: bytes) -> bytes:
            if not is_read_answer(chunk):
                return chunk
            before, proxy.kept = proxy.kept, chunk
            return with_body(chunk, before) if len(before) == len(chunk) else chunk

        it.proxy.treat = previous
        await it.during(lambda: Cause.UNPROVEN in it.causes())
        it.proxy.heal()
        await it.recovers(AFRESH)
        assert it.causes() <= {Cause.UNPROVEN, Cause.LINK_DOWN} and it.it.sink.counts["bad_reply"]


async def wrong_id(source: Source) -> None:
    foreign: tuple[tuple[Callable[[bytes], bytes], Cause], ...] = (
        (lambda chunk: with_request_id(chunk, request_id(chunk) + 9_000), Cause.LINK_DOWN),
        (lambda chunk: with_handle(chunk, 1), Cause.UNPROVEN),
    )
    for change, cause in foreign:
        async with case(source) as it:
            it.proxy.treat = on_reads(change)
            await it.during(lambda it=it: it.proxy.accepted >= 2)  # type: ignore[misc]
            it.proxy.heal()
            await it.recovers(AFRESH)
            assert cause in it.causes() <= {cause, Cause.LINK_DOWN}
    # An answer that comes to the wait for news: the two have swapped their numbers.
    async with case(source, subscribe=True) as it:
        waits: list[int] = []

        def swap(_proxy: WireProxy, _wire: Wire, chunk: bytes) -> bytes:
            if not is_read_answer(chunk):
                waits.append(request_id(chunk) + 2)  # asked for as soon as this one was answered
                return chunk
            return with_request_id(chunk, waits[-1]) if waits else chunk

        it.proxy.treat = swap
        it.it.driver.read([X], 0)
        await it.during(lambda: it.proxy.accepted >= 2)
        it.proxy.heal()
        await it.recovers(AFRESH)


async def busy(source: Source) -> None:
    for code in (ua.StatusCodes.BadTooManyOperations, ua.StatusCodes.BadResourceUnavailable):
        with pytest.MonkeyPatch.context() as patch:
            async with case(source) as it:
                refusing = Refusing(patch, "read", raising(code))
                await it.it.sink.until(lambda it=it: it.it.sink.last[X][1:] == (Quality.BAD, Cause.EXCEPTION))  # type: ignore[misc]
                refusing.active = False
                await it.recovers(8)
                assert refusing.injected and it.causes() == {Cause.EXCEPTION}
                assert it.it.sink.flips("") == [True] and it.proxy.accepted == 1


async def gateway(source: Source) -> None:
    def behind(params: Any, _usual: Any) -> list[ua.DataValue]:
        return [
            ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNoCommunication)))
            for _ in params.NodesToRead
        ]

    with pytest.MonkeyPatch.context() as patch:
        async with case(source) as it:
            refusing = Refusing(patch, "read", behind)
            await it.it.sink.until(lambda: it.it.sink.flips("d") == [True, False])
            assert it.it.sink.last[X][1:] == (Quality.BAD, Cause.EXCEPTION)
            assert it.it.driver.faults[X] == "BadNoCommunication"
            refusing.active = False
            await it.recovers(4)
            assert refusing.injected and it.causes() == {Cause.EXCEPTION}
    with pytest.MonkeyPatch.context() as patch:
        async with case(source) as it:
            refusing = Refusing(patch, "read", raising(ua.StatusCodes.BadServerHalted))
            await it.it.sink.until(lambda: it.it.sink.flips("") == [True, False])
            refusing.active = False
            await it.recovers(AFRESH)
            assert refusing.injected and it.causes() == {Cause.LINK_DOWN}


GOOD = [ua.StatusCode()]


async def ack_not_applied(source: Source) -> None:
    await source.put(SET, 2.0)
    with pytest.MonkeyPatch.context() as patch:
        async with case(source, subscribe=True) as it:
            await it.it.sees(SET, 2.0)
            swallowing = Refusing(patch, "write", lambda _params, _usual: GOOD)
            assert (await it.it.command((SET, 55.0))).kind is OutcomeKind.ACKNOWLEDGED
            it.it.driver.read([SET], 0)
            await it.sees_more()
            assert swallowing.injected == 1 and it.it.good(SET) == 2.0
            assert 55.0 not in it.it.sink.good[SET]
            swallowing.active = False
            source.log[SET][56.0] = RealClock().mono_ms()
            assert (await it.it.command((SET, 56.0))).kind is OutcomeKind.ACKNOWLEDGED
            await it.it.sees(SET, 56.0)


async def echo_without_effect(source: Source) -> None:
    await source.put(SET, 2.0)
    await source.put(MEASURED, 3.0)
    async with case(source, subscribe=True) as it:
        source.log[SET][57.0] = RealClock().mono_ms()
        assert (await it.it.command((SET, 57.0))).kind is OutcomeKind.ACKNOWLEDGED
        await it.it.sees(SET, 57.0)
        it.it.driver.read([MEASURED], 0)
        await it.sees_more()
        # What is written is shown as what was written; what is measured is not made to follow it.
        assert it.it.good(MEASURED) == 3.0 and set(it.it.sink.good[MEASURED]) == {3.0}


async def revert(source: Source) -> None:
    await source.put(SET, 2.0)
    async with case(source, subscribe=True) as it:
        source.log[SET][58.0] = RealClock().mono_ms()
        assert (await it.it.command((SET, 58.0))).kind is OutcomeKind.ACKNOWLEDGED
        await it.it.sees(SET, 58.0)
        await source.put(SET, 2.0)
        await it.it.sees(SET, 2.0)
        assert await source.plant.value("Set") == 2.0


async def second_master(source: Source) -> None:
    await source.put(SET, 2.0)
    async with case(source, subscribe=True) as it, case(source, subscribe=False, name="other") as other:
        for value, writer, watcher in ((59.0, other, it), (60.0, it, other), (61.0, other, it)):
            source.log[SET][value] = RealClock().mono_ms()
            assert (await writer.it.command((SET, value))).kind is OutcomeKind.ACKNOWLEDGED
            await watcher.it.sees(SET, value)
            await writer.it.sees(SET, value)


async def stuck(source: Source) -> None:
    async with case(source, more={X: {"stuck_after_ms": 300}}, subscribe=True) as it:
        source.rising = False
        try:
            await it.it.sink.until(lambda: it.it.sink.last[X][1:] == (Quality.UNCERTAIN, Cause.STUCK))
            assert it.it.sink.last[Y][1] is Quality.GOOD
        finally:
            source.rising = True
        await it.recovers(8)
        assert it.causes() == {Cause.STUCK}


async def jumping(source: Source) -> None:
    await source.put(MEASURED, 3.0)
    for subscribe in (True, False):
        async with case(source, more={MEASURED: {"max_change": 5.0}}, subscribe=subscribe) as it:
            await it.it.sees(MEASURED, 3.0)
            await source.put(MEASURED, 5_000.0)
            await it.it.sink.until(
                lambda it=it: it.it.sink.last[MEASURED][1:] == (Quality.BAD, Cause.IMPLAUSIBLE)  # type: ignore[misc]
            )
            await source.put(MEASURED, 3.0)
            await it.it.sees(MEASURED, 3.0)
            assert it.causes() == {Cause.IMPLAUSIBLE}


class _Moved(RealClock):
    """A wall clock that somebody sets."""

    ahead_ms = 0

    def utc_ms(self) -> int:
        return super().utc_ms() + self.ahead_ms


async def certificate_expiry(source: Source, folder: Path) -> None:
    clock = _Moved()
    clock.ahead_ms = 200 * 365 * 86_400_000
    Pki(folder).own(datetime.now(UTC) + timedelta(milliseconds=clock.ahead_ms))
    (folder / "trusted" / "server.der").write_bytes(source.certificate)
    policy = {"policy": SecurityPolicy.BASIC256_SHA256, "mode": SecurityMode.SIGN_AND_ENCRYPT, "pki": str(folder)}
    points = [point(name, f"{SITE}s={name}") for name in NAMES]
    site = link(source.plant.endpoint, device("d", *points), **policy)
    async with running(site, clock=RateClock(20, clock), rate=20.0) as it:

        def why() -> list[str]:
            return [e.cause for e in it.sink.events if isinstance(e, LinkChanged) and not e.device and not e.up]

        await it.sink.until(why)
        assert "expired" in why()[0] and it.sink.last[X][1:] == (Quality.BAD, Cause.LINK_DOWN)
        assert not it.sink.good
    # The day before, the same certificate is taken.
    for own in (folder / "own").iterdir():
        own.unlink()
    async with running(site) as it:
        await it.sink.until(lambda: it.good(X) is not None)
        at_work = Case(it, WireProxy(0), source)
        await at_work.sees_more()
        at_work.prove()


async def clock_jump(source: Source) -> None:
    async with case(source, subscribe=True) as it:
        for n, stamp in enumerate((datetime(2001, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC), None)):
            value = 70.0 + n
            await source.put(MEASURED, value, stamp)
            await it.it.sees(MEASURED, value)
            shown = [
                reading for reading in it.it.sink.readings if MEASURED in reading.points and value in reading.values
            ]
            expected = (stamp or datetime.now(UTC)).timestamp() * 1000
            assert all(abs(reading.source_utc_ms - expected) < 60_000 for reading in shown)
            # Its age is that of its arrival: neither old nor of tomorrow.
            assert all(abs(reading.received_ms - source.log[MEASURED][value]) < 60_000 for reading in shown)
        await it.recovers(4)
        assert not it.causes()


CELLS: dict[str, Callable[..., Awaitable[None]]] = {
    "delay": delay,
    "jitter": jitter,
    "loss": loss,
    "half-open": half_open,
    "reset": reset,
    "truncation": truncation,
    "byte-wise": byte_wise,
    "duplicate": duplicate,
    "late": late,
    "shifted": shifted,
    "wrong-id": wrong_id,
    "busy": busy,
    "gateway": gateway,
    "ack-not-applied": ack_not_applied,
    "echo-without-effect": echo_without_effect,
    "revert": revert,
    "second-master": second_master,
    "stuck": stuck,
    "jumping": jumping,
    "certificate-expiry": certificate_expiry,
    "clock-jump": clock_jump,
}


@together
@pytest.mark.parametrize("fault", CELLS)
async def test_cell(fault: str, source: Source, tmp_path: Path) -> None:
    """Where the machine itself stood still during a case, it is done again; a wrong value is one at any time."""
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with MachineWatch() as machine:
            try:
                await (certificate_expiry(source, folder) if fault == "certificate-expiry" else CELLS[fault](source))
            except AssertionError:
                if machine.stood_still_s < STALL_S or attempt == ATTEMPTS - 1:
                    raise
            else:
                return


@together
async def test_a_subscription_that_is_forgotten_is_made_anew(source: Source) -> None:
    async with case(source, subscribe=True, timeout_ms=1_500, connect_timeout_ms=5_000) as it:
        before = source.plant.subscriptions()
        await source.plant.server.iserver.subscription_service.delete_subscriptions(before)
        await it.it.sink.until(lambda: set(source.plant.subscriptions()) - set(before))
        await it.recovers(8)
        assert it.proxy.accepted == 1 and it.it.sink.flips("") == [True]


@together
async def test_a_session_that_is_kicked_is_opened_anew(source: Source) -> None:
    async with case(source, subscribe=True) as it:
        for session in list(source.plant.server.iserver._external_sessions.values()):
            await session.close_session(True)
        await it.it.sink.until(lambda: it.proxy.accepted == 2)
        await it.recovers(AFRESH)
        assert it.it.sink.flips("") == [True] and it.causes() <= {Cause.LINK_DOWN}


@together
async def test_namespaces_that_moved_between_two_sessions_are_asked_for_anew(source: Source) -> None:
    async with case(source, subscribe=True) as it:
        held = list(await source.plant.server.get_namespace_array())
        old, new = source.plant.namespace, len(held)
        array = source.plant.server.get_node(ua.NodeId(ua.ObjectIds.Server_NamespaceArray))
        try:
            source.move(new)
            await array.write_value([*held[:old], "urn:was-here", *held[old + 1 :], "urn:site"])
            for session in list(source.plant.server.iserver._external_sessions.values()):
                await session.close_session(True)
            await it.recovers(2 * AFRESH)
            assert it.causes() <= {Cause.LINK_DOWN, Cause.UNKNOWN_NODE}
        finally:
            source.move(old)
            await array.write_value(held)


def test_every_fault_has_a_cell_or_a_reason() -> None:
    faults = """
        delay jitter loss half-open reset truncation byte-wise duplicate late shifted wrong-id busy gateway
        ack-not-applied echo-without-effect revert second-master moving-scale-factor stuck jumping
        certificate-expiry clock-jump pace
    """
    assert sorted(faults.split()) == sorted([*CELLS, *EMPTY])
    assert all(EMPTY.values()) and np.unique(list(EMPTY.values())).size == len(EMPTY)
