"""Many links of `scowl-flex/1` with mutual TLS on one core, their peers on the other: memory, latency, a burst.

`python -m bench.flex_links --links 5000` prints a table. "Stored" is said there in the turn of the event loop after a
message arrived. With `--daemon` the measured process is a whole provider's daemon: each message goes through the core
and its journal on disk before it is acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import uvloop

from bench.machine import cpu_s, describe, many_files, on_core, quantile, resident_mb
from scowl_edge.assembly import assemble
from scowl_edge.clocks import boottime_ms, wall_ms
from scowl_edge.daemon import Daemon
from scowl_edge.drivers.flex.delivery import FlexLinkChanged
from scowl_edge.drivers.flex.dialer import FlexDialer
from scowl_edge.drivers.flex.link import Link
from scowl_edge.drivers.flex.link_tls import FlexTls
from scowl_edge.drivers.flex.listener import FlexListener
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.issuing import Issuer
from scowl_edge.metrics import Metrics
from scowl_edge.model.exchange import Ack, Body, Heartbeat, Message, NodeRole, Register, Running, Select, State
from scowl_edge.model.flexibility import Control, EsaType, Mode, OverrideScope

PROVIDER = "dsrsp:bench"
_AT_ONCE = 50
"""Connections begun at a time, so that the queue of the port holds them."""


class _Clock:
    """Both processes read the same clocks."""

    def mono_ms(self) -> int:
        return boottime_ms()

    def utc_ms(self) -> int:
        return wall_ms()

    def utc_ok(self) -> bool:
        return True


class _Sink:
    """Stores at once; notes when messages were answered."""

    def __init__(self, find: Callable[[str], Link]) -> None:
        self.find = find
        self.up: set[str] = set()
        self.began: dict[str, float] = {}
        self.took_ms: list[float] = []
        self.failed = 0

    def message(self, link: str, message: Message) -> None:
        if not isinstance(message.body, Heartbeat):
            asyncio.get_running_loop().call_soon(self._store, link, message.id)

    def _store(self, link: str, message_id: str) -> None:
        self.find(link).stored(message_id)

    def answered(self, link: str, message_id: str, ack: Ack | None, cause: str) -> None:
        self.took_ms.append((time.perf_counter() - self.began.pop(message_id)) * 1_000)
        self.failed += ack is None or ack.code is not None

    def link_changed(self, changed: FlexLinkChanged) -> None:
        if changed.state is LinkState.UP:
            self.up.add(changed.link)
        elif changed.state is LinkState.DOWN:
            self.up.discard(changed.link)

    def resync(self, link: str, cause: str) -> None:
        pass

    def send(self, link: Link, body: Body) -> None:
        """One message, its time taken."""
        message = Message(id=str(uuid4()), ts_ms=wall_ms(), src=link.session.node, dst=link.session.peer, body=body)
        self.began[message.id] = time.perf_counter()
        if link.send(message):
            self.failed += 1
            del self.began[message.id]


def _enough(up: set[str], least: int) -> bool:
    return len(up) >= least


async def _until(condition: Callable[[], bool], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return condition()


def _state(n: int) -> State:
    return State(esa_id=f"esa-{n:08d}", value=Running.IDLE, override=OverrideScope.NONE)


def _register(n: int) -> Register:
    return Register(
        esa_id=f"esa-{n:08d}",
        esa_type=EsaType.EVSE,
        p_max_w=7_000,
        p_min_w=0,
        modes=(Mode.RESPONSE,),
        controls=(Control.PROFILE,),
        consent_ref="bench",
        cert_fp="0" * 64,
    )


async def clients(url: str, folder: Path, links: int, rate: int) -> None:
    """All managers: says `up`, then waits for lines on standard input: `register`, `burst`, `pace`, `end`."""
    dialers: dict[str, FlexDialer] = {}
    sink = _Sink(lambda name: dialers[name].link)
    tasks: list[asyncio.Task[None]] = []
    for n in range(links):
        name = f"cem:{n}"
        tls = FlexTls(ca=folder / "ca.pem", certificate=folder / f"cem-{n}.pem", key=folder / f"cem-{n}.key")
        dialers[name] = FlexDialer(name, name, NodeRole.CEM, PROVIDER, url, tls, sink, _Clock(), seed=n)
        tasks.append(asyncio.create_task(dialers[name].run()))
        if n % _AT_ONCE == _AT_ONCE - 1:
            await _until(partial(_enough, sink.up, n - _AT_ONCE), 60)
    await _until(lambda: len(sink.up) == links, 300)
    print(json.dumps({"up": len(sink.up)}), flush=True)
    gc.freeze()
    loop = asyncio.get_running_loop()
    while (command := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) in ("register", "burst", "pace"):
        sink.took_ms.clear()
        sink.failed = 0
        began = time.perf_counter()
        for n, dialer in enumerate(dialers.values()):
            # Paced by the clock, not by the answers: one that is late does not slow the next.
            while command == "pace" and (ahead_s := n / rate - (time.perf_counter() - began)) > 0:  # noqa: ASYNC110
                await asyncio.sleep(min(ahead_s, 0.005))
            sink.send(dialer.link, _register(n) if command == "register" else _state(n))
        await _until(lambda: len(sink.took_ms) >= links, 60)
        told = {"burst_s": time.perf_counter() - began, "acked": len(sink.took_ms), "failed": sink.failed}
        told |= {"p50_ms": quantile(sink.took_ms, 0.5), "p99_ms": quantile(sink.took_ms, 0.99)}
        print(json.dumps(told), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _select(name: str) -> Select:
    return Select(
        select_id=str(uuid4()),
        esa_id=f"esa-{name.rpartition(':')[2]:>08}",
        offer_id=str(uuid4()),
        profile_id=str(uuid4()),
        rev=1,
        start_ms=wall_ms() + 600_000,
        mode=Mode.RESPONSE,
    )


async def provider(folder: Path, links: int, rate: int, seconds: float) -> dict[str, float]:
    """The measured process, with the managers as a child."""
    tls = FlexTls(ca=folder / "ca.pem", certificate=folder / "dsrsp-bench.pem", key=folder / "dsrsp-bench.key")
    sink = _Sink(lambda name: listener.link(name))
    listener = FlexListener(PROVIDER, NodeRole.DSRSP, tls, sink, _Clock(), seed=1)
    await listener.start("127.0.0.1", 0)
    pid = os.getpid()
    gc.collect()
    before_mb = resident_mb(pid)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.flex_links", "--clients", listener.url, "--folder", str(folder), "--links", str(links)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None and child.stdout is not None
    began_cpu = cpu_s(pid)
    up = json.loads(await child.stdout.readline())["up"]
    found: dict[str, float] = {"up": up, "connect_cpu_ms": (cpu_s(pid) - began_cpu) * 1_000 / max(1, up)}
    gc.collect()
    found["kb_a_link"] = (resident_mb(pid) - before_mb) * 1_024 / max(1, up)
    began_cpu = cpu_s(pid)
    await asyncio.sleep(seconds)
    found["idle_cpu_percent"] = (cpu_s(pid) - began_cpu) / seconds * 100
    began_cpu, began = cpu_s(pid), time.perf_counter()
    names = sorted(listener.links)
    for n in range(int(rate * seconds)):
        # Paced by the clock, not by the answers: one that is late does not slow the next.
        while (ahead_s := n / rate - (time.perf_counter() - began)) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(ahead_s, 0.005))
        sink.send(listener.link(names[n * 7919 % len(names)]), _select(names[n % len(names)]))
    await _until(lambda: not sink.began, 30)
    found["paced_cpu_percent"] = (cpu_s(pid) - began_cpu) / (time.perf_counter() - began) * 100
    found["p50_ms"], found["p99_ms"] = quantile(sink.took_ms, 0.5), quantile(sink.took_ms, 0.99)
    found["selections"], found["failed"] = len(sink.took_ms), sink.failed + len(sink.began)
    bursts = []
    for _ in range(3):
        child.stdin.write(b"burst\n")
        told = json.loads(await child.stdout.readline())
        bursts.append(told["burst_s"])
        found["failed"] += told["failed"] + links - told["acked"]
    found["burst_s"], found["burst_worst_s"] = quantile(bursts, 0.5), max(bursts)
    child.stdin.write(b"end\n")
    await child.wait()
    await listener.close()
    return found


class _Steps(Metrics):
    """Metrics that keep how long each step of the core took."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon)
        self.took_s: list[float] = []
        self._observe = self.observe_step
        self.observe_step = self._keep

    def _keep(self, seconds: float) -> None:
        self.took_s.append(seconds)
        self._observe(seconds)


SITE = """
site: {{id: bench}}
http: {{listen: 127.0.0.1:0}}
journal: {{path: {folder}/bench.db}}
telemetry: {{enabled: false}}
flex:
  listen: 127.0.0.1:0
  tls: {{certificate: {{file: {tls.certificate}}}, key: {{file: {tls.key}}}, authority: {{file: {tls.ca}}}}}
  provider: {{node: "{node}", failsafe: {{import: 4.2 kW, export: 0 W}}}}
"""


async def whole_daemon(folder: Path, links: int, rate: int, seconds: float) -> dict[str, float]:
    """As `provider`, with a daemon: a manager has one appliance; states come at a pace, and all at once."""
    tls = FlexTls(ca=folder / "ca.pem", certificate=folder / "dsrsp-bench.pem", key=folder / "dsrsp-bench.key")
    journal = Path(tempfile.mkdtemp(dir=folder))
    daemon = Daemon(assemble(SITE.format(folder=journal, tls=tls, node=PROVIDER), "bench.yaml"))
    steps = _Steps(daemon)
    running = asyncio.create_task(daemon.run(steps))
    flex = daemon.flex
    assert flex is not None
    await _until(lambda: bool(flex.url) or running.done(), 30)
    pid = os.getpid()
    gc.collect()
    before_mb = resident_mb(pid)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.flex_links", "--clients", flex.url, "--folder", str(folder)),
        *("--links", str(links), "--rate", str(rate)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    stdin, stdout = child.stdin, child.stdout
    assert stdin is not None and stdout is not None

    async def tell(command: str) -> dict[str, float]:
        stdin.write(f"{command}\n".encode())
        told: dict[str, float] = json.loads(await stdout.readline())
        found["failed"] += told["failed"] + links - told["acked"]
        return told

    found: dict[str, float] = {"up": json.loads(await stdout.readline())["up"], "failed": 0}
    found["register_s"] = (await tell("register"))["burst_s"]
    gc.collect()
    found["kb_a_link"] = (resident_mb(pid) - before_mb) * 1_024 / links
    gc.freeze()
    steps.took_s.clear()
    began_cpu = cpu_s(pid)
    await asyncio.sleep(seconds)
    found["idle_cpu_percent"] = (cpu_s(pid) - began_cpu) / seconds * 100
    found["idle_step_ms"], found["idle_step_most_ms"] = _steps_ms(steps)
    began_cpu, began = cpu_s(pid), time.perf_counter()
    paced = []
    while time.perf_counter() - began < seconds:
        paced.append(await tell("pace"))
    found["paced_cpu_percent"] = (cpu_s(pid) - began_cpu) / (time.perf_counter() - began) * 100
    found["p50_ms"] = quantile([one["p50_ms"] for one in paced], 0.5)
    found["p99_ms"] = max(one["p99_ms"] for one in paced)
    found["paced_step_ms"], found["paced_step_most_ms"] = _steps_ms(steps)
    bursts = [(await tell("burst"))["burst_s"] for _ in range(3)]
    found["burst_s"], found["burst_worst_s"] = quantile(bursts, 0.5), max(bursts)
    await asyncio.sleep(0.5)
    found["burst_step_ms"], found["burst_step_most_ms"] = _steps_ms(steps)
    stdin.write(b"end\n")
    await child.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    daemon.journal.close()
    return found


def _steps_ms(steps: _Steps) -> tuple[float, float]:
    """Median and longest of the steps since the last look."""
    took, steps.took_s = steps.took_s or [0.0], []
    return quantile(took, 0.5) * 1_000, max(took) * 1_000


def issue(folder: Path, links: int) -> None:
    """Certificates of all nodes."""
    issuer = Issuer(folder / "ca.pem", folder / "ca.key")
    issuer.create("bench")
    for node in (PROVIDER, *(f"cem:{n}" for n in range(links))):
        stem = folder / node.replace(":", "-")
        issuer.issue(node, (), stem.with_suffix(".pem"), stem.with_suffix(".key"), node=node)


def main() -> None:
    """Prints a table, or is one of the processes of the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.flex_links", description=__doc__)
    parser.add_argument("--links", type=int, default=5_000)
    parser.add_argument("--rate", type=int, default=1_000, help="selections a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each phase")
    parser.add_argument("--loop", choices=["uvloop", "asyncio", "both"], default="both")
    parser.add_argument("--daemon", action="store_true", help="measure a whole daemon, with its core and journal")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--clients", help=argparse.SUPPRESS)
    options = parser.parse_args()
    many_files()
    if options.clients:
        on_core(1)
        uvloop.run(clients(options.clients, options.folder, options.links, options.rate))
    elif options.folder:
        on_core(0)
        runner = uvloop.run if options.loop == "uvloop" else asyncio.run
        measured = whole_daemon if options.daemon else provider
        found = runner(measured(options.folder, options.links, options.rate, options.seconds))
        print(json.dumps(found), flush=True)
    else:
        _table(options)


def _table(options: argparse.Namespace) -> None:
    import subprocess

    print(describe(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        issue(Path(name), options.links)
        for loop in ("uvloop", "asyncio") if options.loop == "both" else (options.loop,):
            command = [sys.executable, "-m", "bench.flex_links", "--folder", name, "--loop", loop]
            command += ["--links", str(options.links), "--rate", str(options.rate), "--seconds", str(options.seconds)]
            command += ["--daemon"] if options.daemon else []
            # A process of its own for each loop: memory that one left behind is not the other's.
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"{loop}:")
            for key, value in found.items():
                print(f"  {key:20} {value:10.1f}" if not key.endswith("_s") else f"  {key:20} {value:10.3f}")


if __name__ == "__main__":
    main()
