"""The peers of `bench.flex_links`: thousands of appliances in one process, and their provider in another.

Each says what became of it as lines of JSON, and does what lines on its standard input tell it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

from bench.machine import quantile
from scowl_edge.clocks import boottime_ms, wall_ms
from scowl_edge.drivers.flex.delivery import FlexLinkChanged
from scowl_edge.drivers.flex.dialer import FlexDialer
from scowl_edge.drivers.flex.link import Link
from scowl_edge.drivers.flex.link_tls import FlexTls
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.model.exchange import (
    Ack,
    Body,
    Heartbeat,
    Init,
    InitDone,
    Limit,
    LimitStatus,
    Message,
    NodeRole,
    Outcome,
    Register,
    RegisterResult,
    Running,
    Select,
    SelectStatus,
    State,
)
from scowl_edge.model.flexibility import (
    Control,
    EsaType,
    LimitClass,
    LimitState,
    Mode,
    OverrideScope,
    SelectionState,
)

MANAGER, PROVIDER = "cem:bench", "dsrsp:bench"
AT_ONCE = 50
"""Connections begun at a time, so that the queue of the port holds them."""
PATIENCE_S = 300.0
"""Longest wait for whatever is to happen."""


class BenchClock:
    """All processes read the same clocks."""

    def mono_ms(self) -> int:
        """Monotonic."""
        return boottime_ms()

    def utc_ms(self) -> int:
        """Wall clock."""
        return wall_ms()

    def utc_ok(self) -> bool:
        """They are of one machine."""
        return True


@dataclass(slots=True)
class Tally:
    """What became of messages."""

    began: dict[str, float] = field(default_factory=dict)
    """By id, those that are under way."""
    took_ms: list[float] = field(default_factory=list)
    failed: int = 0

    def start(self, key: str) -> None:
        """It leaves."""
        self.began[key] = time.perf_counter()

    def end(self, key: str, good: bool) -> None:
        """It is answered; what nobody waits for is nothing."""
        began = self.began.pop(key, None)
        if began is not None:
            self.took_ms.append((time.perf_counter() - began) * 1_000)
            self.failed += not good

    def clear(self) -> None:
        """Begins anew."""
        self.began.clear()
        self.took_ms.clear()
        self.failed = 0

    def told(self, name: str) -> dict[str, float]:
        """In figures; what was not answered has failed."""
        return {
            f"{name}_p50_ms": quantile(self.took_ms, 0.5),
            f"{name}_p99_ms": quantile(self.took_ms, 0.99),
            f"{name}_most_ms": max(self.took_ms, default=0.0),
            f"{name}_lost": self.failed + len(self.began),
        }


class Peer:
    """Stores at once what it is told, and measures what becomes of what it says."""

    def __init__(self, find: Callable[[str], Link]) -> None:
        self.find = find
        self.up: set[str] = set()
        self.acked = Tally()

    def message(self, link: str, message: Message) -> None:
        """Acknowledged in the next turn of the event loop; then `taken`."""
        if not isinstance(message.body, Heartbeat):
            asyncio.get_running_loop().call_soon(self._store, link, message)

    def _store(self, link: str, message: Message) -> None:
        self.find(link).stored(message.id)
        self.taken(link, message.body)

    def taken(self, link: str, body: Body) -> None:
        """What it does about it."""

    def answered(self, link: str, message_id: str, ack: Ack | None, cause: str) -> None:
        """Measured."""
        self.acked.end(message_id, ack is not None and ack.code is None)

    def link_changed(self, changed: FlexLinkChanged) -> None:
        """Counted; then `risen`."""
        if changed.state is LinkState.UP:
            self.up.add(changed.link)
            self.risen(changed.link)
        elif changed.state is LinkState.DOWN:
            self.up.discard(changed.link)

    def risen(self, link: str) -> None:
        """What it says first."""

    def resync(self, link: str, cause: str) -> None:
        """Nothing is remembered here."""

    def say(self, link: str, body: Body, *, measured: bool = False) -> None:
        """One message."""
        to = self.find(link)
        message = Message(id=str(uuid4()), ts_ms=wall_ms(), src=to.session.node, dst=to.session.peer, body=body)
        if measured:
            self.acked.start(message.id)
        why = to.send(message)
        if why and measured:
            self.acked.end(message.id, good=False)


def esa_id(number: int) -> str:
    """Of an appliance."""
    return f"esa-{number:08d}"


class Appliances(Peer):
    """Register, settle, and accept whatever is selected."""

    def risen(self, link: str) -> None:
        """Registers anew with each link."""
        register = Register(
            esa_id=link,
            esa_type=EsaType.EVSE,
            p_max_w=7_000,
            p_min_w=0,
            modes=(Mode.RESPONSE,),
            controls=(Control.PROFILE,),
            consent_ref="bench",
            cert_fp="0" * 64,
        )
        self.say(link, register)

    def taken(self, link: str, body: Body) -> None:
        """Answers at once."""
        if isinstance(body, Select):
            self.say(link, SelectStatus(select_id=body.select_id, esa_id=link, state=SelectionState.ACCEPTED))
        elif isinstance(body, Init):
            self.say(link, InitDone(esa_id=link))
        elif isinstance(body, Limit):
            self.say(link, LimitStatus(limit_id=body.limit_id, esa_id=link, applied=True, p_now_w=0))


class Selecting(Peer):
    """Takes in all appliances, sets no limit, selects."""

    def __init__(self, find: Callable[[str], Link]) -> None:
        super().__init__(find)
        self.registered: set[str] = set()
        self.accepted = Tally()

    def risen(self, link: str) -> None:
        """Nothing bounds the site."""
        self.find(link).session.vital = Heartbeat(limit_state=LimitState.UNLIMITED, rev=0)
        self.say(link, Limit(limit_id=str(uuid4()), esa_id="", active=False, klass=LimitClass.CONTRACT))

    def taken(self, link: str, body: Body) -> None:
        """As a provider does."""
        if isinstance(body, Register):
            self.registered.add(body.esa_id)
            self.find(link).session.carries(len(self.registered))
            self.say(link, RegisterResult(esa_id=body.esa_id, outcome=Outcome.ACCEPTED))
        elif isinstance(body, SelectStatus):
            self.accepted.end(body.select_id, body.state is SelectionState.ACCEPTED)

    def select(self, number: int) -> None:
        """One appliance, its way and that of its answer measured."""
        select = Select(
            select_id=str(uuid4()),
            esa_id=esa_id(number),
            offer_id=str(uuid4()),
            profile_id=str(uuid4()),
            rev=1,
            start_ms=wall_ms() + 600_000,
            mode=Mode.RESPONSE,
        )
        self.accepted.start(select.select_id)
        self.say(MANAGER, select, measured=True)


async def until(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Whether it came to be so."""
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return condition()


def tls_of(folder: Path, node: str) -> FlexTls:
    """A node's certificate."""
    stem = folder / node.replace(":", "-")
    return FlexTls(ca=folder / "ca.pem", certificate=stem.with_suffix(".pem"), key=stem.with_suffix(".key"))


def _say(told: dict[str, float]) -> None:
    print(json.dumps(told), flush=True)


async def _orders() -> list[str]:
    line: str = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return line.split()


def _enough(up: set[str], least: int) -> bool:
    return len(up) >= least


async def appliances(url: str, folder: Path, links: int) -> None:
    """All appliances. Says when they are up, then takes `states`, `again` and `end`."""
    dialers: dict[str, FlexDialer] = {}
    peer = Appliances(lambda name: dialers[name].link)
    tasks: list[asyncio.Task[None]] = []
    began = time.perf_counter()
    for n in range(links):
        name = esa_id(n)
        node = f"esa:{name}"
        tls = tls_of(folder, node)
        dialers[name] = FlexDialer(name, node, NodeRole.ESA, MANAGER, url, tls, peer, BenchClock(), seed=n)
        tasks.append(asyncio.create_task(dialers[name].run()))
        if n % AT_ONCE == AT_ONCE - 1:
            await until(partial(_enough, peer.up, n - AT_ONCE))
    await until(partial(_enough, peer.up, links))
    _say({"up": len(peer.up), "connect_s": time.perf_counter() - began})
    gc.freeze()
    while (order := await _orders()) and order[0] != "end":
        peer.acked.clear()
        began = time.perf_counter()
        if order[0] == "states":
            for name in dialers:
                peer.say(name, State(esa_id=name, value=Running.IDLE, override=OverrideScope.NONE), measured=True)
            await until(lambda: not peer.acked.began)
            _say({"burst_s": time.perf_counter() - began, **peer.acked.told("state")})
        else:
            # They were told to go: all come back when their pause is over.
            await until(lambda: len(peer.up) < links, 5.0)
            await until(partial(_enough, peer.up, links))
            _say({"up": len(peer.up), "again_s": time.perf_counter() - began})
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _in_turn(count: int, links: int) -> Iterator[int]:
    """Appliances, far from each other."""
    return (n * 7_919 % links for n in range(count))


async def selecting(url: str, folder: Path, links: int) -> None:
    """The provider. Says when all are registered, then takes `pace RATE SECONDS`, `burst` and `end`."""
    peer, tls = Selecting(lambda _: dialer.link), tls_of(folder, PROVIDER)
    dialer = FlexDialer(MANAGER, PROVIDER, NodeRole.DSRSP, MANAGER, url, tls, peer, BenchClock(), seed=1)
    task = asyncio.create_task(dialer.run())
    await until(lambda: bool(peer.up))
    _say({"up": len(peer.up)})
    while (order := await _orders()) and order[0] != "end":
        peer.acked.clear()
        peer.accepted.clear()
        began = time.perf_counter()
        told: dict[str, float] = {}
        if order[0] == "registered":
            await until(lambda: len(peer.registered) == links)
            told = {"registered": len(peer.registered)}
        elif order[0] == "burst":
            for n in range(links):
                peer.select(n)
            await until(lambda: not peer.acked.began)
            told = {"acked_s": time.perf_counter() - began}
        else:
            rate, seconds = float(order[1]), float(order[2])
            for at, n in enumerate(_in_turn(int(rate * seconds), links)):
                # Paced by the clock, not by the answers: one that is late does not slow the next.
                while (ahead_s := at / rate - (time.perf_counter() - began)) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(min(ahead_s, 0.005))
                peer.select(n)
            await until(lambda: not peer.acked.began)
        await until(lambda: not peer.accepted.began, 60.0)
        _say({"whole_s": time.perf_counter() - began, **told, **peer.acked.told("ack"), **peer.accepted.told("accept")})
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
