"""Thousands of links of `scowl-flex/1` with mutual TLS at one manager, on one core; all its peers on the other.

What is measured: a whole daemon, manager of N appliances, each with a link of its own. A provider sends selections over
its one link, at a pace or all at once. Each is read, journaled on the disk and decided, then acknowledged to the
provider and handed to its appliance, which accepts it; that goes back through journal and core to the provider.

- `ack`: from the provider's selection to the acknowledgement, which is said when it is durable;
- `accept`: from the provider's selection to the appliance's acceptance, back at the provider;
- `state`: from an appliance's message to its acknowledgement, all N at once;
- `late`: how much after its time a turn of the control loop began; it is to stay below the period, a second;
- `again`: all links are broken at once; until all are up again.

`--only relay` is the reference: the same links and messages in one process without core and journal, each message
passed on in the turn of the event loop after it came. `python -m bench.flex_links` runs both and prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO, cast

import structlog
import uvloop

from bench.flex_peers import MANAGER, PROVIDER, BenchClock, Peer, appliances, esa_id, selecting, tls_of, until
from bench.machine import cpu_s, describe, many_files, on_core, quantile, resident_mb
from scowl_edge.assembly import assemble
from scowl_edge.daemon import Daemon
from scowl_edge.drivers.flex.link import Link
from scowl_edge.drivers.flex.listener import FlexListener
from scowl_edge.issuing import Issuer
from scowl_edge.lasting import set_aside_lasting
from scowl_edge.metrics import Metrics
from scowl_edge.model.exchange import Body, NodeRole

Figures = dict[str, float]

SITE = """
site: {{id: bench}}
http: {{listen: 127.0.0.1:0}}
journal: {{path: {folder}/bench.db}}
telemetry: {{enabled: false}}
flex:
  listen: 127.0.0.1:0
  tls: {{certificate: {{file: {tls.certificate}}}, key: {{file: {tls.key}}}, authority: {{file: {tls.ca}}}}}
  peers: {{grid: {{node: "{provider}"}}}}
  manager: {{node: "{node}", provider: grid, failsafe: {{import: 4.2 kW, export: 0 W}}, appliances: {links}}}
"""


class Measured(Protocol):
    """What has the links."""

    async def start(self) -> str:
        """Begins; its URL."""

    def links(self) -> Iterator[Link]:
        """All of them."""

    def turns(self) -> Figures:
        """Of its control loop, since the last look."""

    async def close(self) -> None:
        """Ends."""


class _Nowhere(io.TextIOBase):
    """Where what is logged goes once it is written."""

    def write(self, text: str) -> int:
        """Lets it go."""
        return len(text)


class Relay(Peer):
    """Passes on what comes, and keeps nothing."""

    def __init__(self, folder: Path, links: int) -> None:
        super().__init__(lambda name: self._listener.link(name))
        self._listener = FlexListener(MANAGER, NodeRole.CEM, tls_of(folder, MANAGER), self, BenchClock(), seed=1)
        self._listener.link(PROVIDER).session.carries(links)

    def taken(self, link: str, body: Body) -> None:
        """To the other side."""
        esa = getattr(body, "esa_id", "")
        if link != PROVIDER:
            self.say(PROVIDER, body)
        elif esa:
            self.say(f"esa:{esa}", body)

    async def start(self) -> str:
        """Listens."""
        await self._listener.start("127.0.0.1", 0)
        return self._listener.url

    def links(self) -> Iterator[Link]:
        """All of them."""
        return iter(self._listener.links.values())

    def turns(self) -> Figures:
        """It has no control loop."""
        return {}

    async def close(self) -> None:
        """Ends."""
        await self._listener.close()


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


class WholeDaemon:
    """A manager's daemon as it is installed, its journal on disk."""

    def __init__(self, folder: Path, links: int) -> None:
        text = SITE.format(
            folder=tempfile.mkdtemp(dir=folder),
            tls=tls_of(folder, MANAGER),
            node=MANAGER,
            provider=PROVIDER,
            links=links,
        )
        self._daemon = Daemon(assemble(text, "bench.yaml"))
        self._steps = _Steps(self._daemon)
        self._running: asyncio.Task[None] | None = None
        self._lasting: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Runs."""
        running, flex = asyncio.create_task(self._daemon.run(self._steps)), self._daemon.flex
        assert flex is not None
        self._running = running
        # As the command `run` has it.
        self._lasting = asyncio.create_task(set_aside_lasting(lambda: bool(flex.url)))
        await until(lambda: bool(flex.url) or running.done(), 30)
        return flex.url

    def links(self) -> Iterator[Link]:
        """All of them."""
        assert self._daemon.flex is not None
        return self._daemon.flex.links()

    def turns(self) -> Figures:
        """Steps of the core and the latest turn; what did not come through is failed."""
        timing, took = self._daemon.loop.timing, self._steps.took_s or [0.0]
        told = {"step_ms": quantile(took, 0.5) * 1_000, "step_most_ms": max(took) * 1_000}
        told |= {"steps": float(len(took)), "late_most_ms": timing.latest_s * 1_000}
        self._steps.took_s, timing.latest_s = [], 0.0
        return told

    async def close(self) -> None:
        """Ends."""
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self._daemon.close()


@dataclass
class Child:
    """A process of peers."""

    process: asyncio.subprocess.Process

    @classmethod
    async def of(cls, role: str, url: str, folder: Path, links: int) -> Child:
        """Begins it."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "bench.flex_links", "--role", role, "--url", url, "--folder", str(folder)),
                *("--links", str(links)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )

    async def says(self) -> Figures:
        """Its next line."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of peers ended with code {await self.process.wait()}; see what it printed")
        told: Figures = json.loads(line)
        return told

    async def does(self, order: str) -> Figures:
        """An order, and what became of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n".encode())
        return await self.says()

    async def end(self) -> None:
        """Ends it."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"end\n")
        await self.process.wait()


class Meter:
    """CPU of this process and turns of what it runs, from one look to the next."""

    def __init__(self, of: Measured) -> None:
        self._of = of
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self.reset()

    def reset(self) -> None:
        """From now on."""
        self._of.turns()
        self._cpu_s, self._began = cpu_s(self._pid), self._loop.time()

    async def read(self, name: str, messages: int = 0) -> Figures:
        """Since the last look; with the CPU a message, if there were some."""
        used, passed = cpu_s(self._pid) - self._cpu_s, self._loop.time() - self._began
        # Durations of steps are handed over four times a second.
        await asyncio.sleep(0.3)
        found = {f"{name}_cpu_percent": used / passed * 100}
        if messages:
            found[f"{name}_cpu_ms_each"] = used * 1_000 / messages
        found |= {f"{name}_{key}": value for key, value in self._of.turns().items()}
        self.reset()
        return found


async def measure(of: Measured, folder: Path, links: int, rate: int, seconds: float) -> Figures:
    """All phases."""
    gc.collect()
    before_mb, pid, found = resident_mb(os.getpid()), os.getpid(), Figures()
    url = await of.start()
    meter = Meter(of)
    provider = await Child.of("selecting", url, folder, links)
    await provider.says()
    esas = await Child.of("appliances", url, folder, links)
    found |= await esas.says()
    found |= {"registered": (await provider.does("registered"))["registered"]}
    found |= await meter.read("connect", links)
    gc.collect()
    found["kb_a_link"] = (resident_mb(pid) - before_mb) * 1_024 / links
    meter.reset()
    await asyncio.sleep(min(5.0, seconds))
    found |= await meter.read("idle")
    told = await provider.does(f"pace {rate} {seconds}")
    found |= {f"paced_{key}": value for key, value in told.items()}
    found |= await meter.read("paced", int(rate * seconds))
    for name, child, times in (("burst", provider, 3), ("states", esas, 3)):
        took = []
        for _ in range(times):
            told = await child.does(name)
            took.append(told["acked_s" if child is provider else "burst_s"])
            lost = sum(value for key, value in told.items() if key.endswith("_lost"))
            found[f"{name}_lost"] = found.get(f"{name}_lost", 0) + lost
        found |= {f"{name}_s": quantile(took, 0.5), f"{name}_most_s": max(took)}
        found |= await meter.read(name, links * times)
    for link in list(of.links()):
        if link.name != PROVIDER:
            link.drop("the benchmark breaks all links at once")
    told = await esas.does("again")
    found |= {"again_up": told["up"], "again_s": told["again_s"]}
    found |= await meter.read("again", links)
    told = await provider.does(f"pace {rate} 2")
    found |= {f"after_{key}": value for key, value in told.items() if key.endswith("_lost")}
    await asyncio.gather(esas.end(), provider.end())
    await of.close()
    return found


def issue(folder: Path, links: int) -> None:
    """Certificates of all nodes."""
    issuer = Issuer(folder / "ca.pem", folder / "ca.key")
    issuer.create("bench")
    for node in (MANAGER, PROVIDER, *(f"esa:{esa_id(n)}" for n in range(links))):
        tls = tls_of(folder, node)
        issuer.issue(node, (), tls.certificate, tls.key, node=node)


def main() -> None:
    """Prints a table, or is one of the processes of the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.flex_links", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--links", type=int, default=5_000)
    parser.add_argument("--rate", type=int, default=1_000, help="selections a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="that they are paced")
    parser.add_argument("--loop", choices=["uvloop", "asyncio", "both"], default="both", help="of the daemon")
    parser.add_argument("--only", choices=["daemon", "relay"], help="both unless said")
    parser.add_argument("--log", action="store_true", help="show what the daemon logs")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--role", choices=["appliances", "selecting", "daemon", "relay"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    many_files()
    # Standard output is for figures.
    log = sys.stderr if options.log else cast(TextIO, _Nowhere())
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
    if options.role in ("appliances", "selecting"):
        on_core(1)
        peers = appliances if options.role == "appliances" else selecting
        uvloop.run(peers(options.url, options.folder, options.links))
    elif options.role:
        on_core(0)
        runner = uvloop.run if options.loop == "uvloop" else asyncio.run
        print(json.dumps(runner(_measured(options))), flush=True)
    else:
        _table(options)


async def _measured(options: argparse.Namespace) -> Figures:
    kind = WholeDaemon if options.role == "daemon" else Relay
    of: Measured = kind(options.folder, options.links)
    return await measure(of, options.folder, options.links, options.rate, options.seconds)


def _table(options: argparse.Namespace) -> None:
    print(describe(), flush=True)
    loops = ("uvloop", "asyncio") if options.loop == "both" else (options.loop,)
    runs = [(role, loop) for role in ("relay", "daemon") for loop in loops if options.only in (None, role)]
    with tempfile.TemporaryDirectory() as name:
        issue(Path(name), options.links)
        columns: dict[str, Figures] = {}
        for role, loop in runs:
            command = [sys.executable, "-m", "bench.flex_links", "--role", role, "--folder", name, "--loop", loop]
            command += ["--links", str(options.links), "--rate", str(options.rate), "--seconds", str(options.seconds)]
            command += ["--log"] if options.log else []
            # A process of its own for each: memory that one left behind is not the other's.
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            columns[f"{role}, {loop}"] = json.loads(done.stdout.splitlines()[-1])
    print(f"{'':24}" + "".join(f"{name:>18}" for name in columns))
    for key in dict.fromkeys(key for column in columns.values() for key in column):
        digits = 3 if key.endswith("_s") else 1
        print(f"{key:24}" + "".join(f"{_shown(column.get(key), digits):>18}" for column in columns.values()))
    for name, column in columns.items():
        print(f"{name}: {'; '.join(verdicts(column))}")


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


BOUNDS = {
    "paced_ack_p99_ms": 250,
    "burst_most_s": 2,
    "states_most_s": 2,
    "kb_a_link": 100,
    "paced_late_most_ms": 1_000,
    "burst_late_most_ms": 1_000,
    "states_late_most_ms": 1_000,
    "again_late_most_ms": 1_000,
}
"""What is asked of 5,000 links with uvloop; a turn is due within the period of the control loop."""


def verdicts(found: Figures) -> list[str]:
    """Each bound, met or missed."""
    lost = sum(value for key, value in found.items() if key.endswith("_lost"))
    judged = [
        f"{key} {found[key]:.1f} {'met' if found[key] < bound else 'MISSED'} ({bound})"
        for key, bound in BOUNDS.items()
        if key in found
    ]
    return [*judged, f"lost {lost:.0f} {'met' if not lost else 'MISSED'} (0)"]


if __name__ == "__main__":
    main()
