"""How a running site is: its checks, whether it is ready or stuck, and one line for the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scowl_edge.assembly import Assembly
from scowl_edge.contracts import Clock
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.inbox import PointTable
from scowl_edge.journal.store import SqliteJournal
from scowl_edge.loop import Loop
from scowl_edge.model.signal import Cause
from scowl_edge.model.view import RegionView
from scowl_edge.service import status_line
from scowl_edge.supervision import Supervised
from scowl_edge.web.published import Check

if TYPE_CHECKING:
    from scowl_edge.drivers.opcua import OpcuaDriver

LATE_MS = 5_000
"""A loop without a turn for this long beyond its period is not healthy."""
LINK_STUCK_MS = 30_000
"""A link's task that does nothing for this long, beyond its own time-outs, is stuck in a defect."""
_TOO_LARGE = "what a restart needs is alone larger than journal.limit; raise it, or the disk fills up"


class Health:
    """Looks at the parts of one site, and changes none. Implements `notify.Attended`."""

    def __init__(
        self,
        assembly: Assembly,
        drivers: Mapping[str, ModbusDriver | OpcuaDriver],
        loop: Loop,
        journal: SqliteJournal,
        table: PointTable,
        clock: Clock,
        region: Callable[[], RegionView | None],
        *,
        rate: int,
    ) -> None:
        """The site begins now; `drivers` are by link, `rate` is seconds of the clock in a real one."""
        self.notice = ""
        """What the operator should know beside how the region does: the answer to the last reload."""
        self._assembly = assembly
        self._drivers = drivers
        self._loop = loop
        self._journal = journal
        self._table = table
        self._now = clock.mono_ms
        self._region = region
        self._rate = rate
        self._started_ms = clock.mono_ms()
        self._links: Mapping[str, Supervised] = {}
        self._tasks: Sequence[Supervised] = ()
        self._untried = {link.name for link in assembly.links}
        self._tried = False
        self._status = ""

    def watch(self, links: Mapping[str, Supervised], others: Sequence[Supervised]) -> None:
        """Names the tasks that run from now on: those of links, by link, and the others."""
        self._links, self._tasks = links, (*links.values(), *others)

    def checks(self) -> dict[str, Check]:
        """Every check by its name, as `/healthz` tells them."""
        late_ms, allowed = self._late_ms()
        untried = self.untried()
        down = self._down()
        restarts = sum(t.restarts for t in self._tasks)
        error = self._journal.last_error
        too_large = _TOO_LARGE if self._journal.keeper.over_limit else ""
        checks = {
            "loop": Check(ok=late_ms <= allowed, detail=f"last turn {late_ms} ms ago, at most {allowed} ms allowed"),
            "journal": Check(
                ok=self._journal.healthy and self._loop.turn.journal_ok and not too_large,
                detail=error or too_large or f"{self._journal.queued} records wait",
                vital=False,
            ),
            "links": Check(ok=not down, detail="down: " + ", ".join(down) if down else "all up", vital=False),
            "tried": Check(
                ok=not untried, detail="not tried yet: " + ", ".join(untried) if untried else "every link was tried",
                vital=False,
            ),
            "tasks": Check(ok=restarts == 0, detail=f"{restarts} restarts of tasks since the start", vital=False),
        }  # fmt: skip
        if proxies := self._proxies():
            deaf = "; ".join(f"link {name}: {fault}" for name, fault in proxies.items() if fault)
            checks["proxies"] = Check(ok=not deaf, detail=deaf or "all listen", vital=False)
        return checks

    def _proxies(self) -> dict[str, str]:
        """Link with a proxy -> why that does not listen, empty while it does."""
        modbus = {name: driver for name, driver in self._drivers.items() if isinstance(driver, ModbusDriver)}
        return {name: driver.tap.fault for name, driver in modbus.items() if driver.tap is not None}

    def _late_ms(self) -> tuple[int, int]:
        """How long ago the last turn was, and how long it may be."""
        last = self._loop.timing.last_turn_ms
        allowed = self._assembly.site.policy.period_ms + LATE_MS * self._rate
        return self._now() - (last if last >= 0 else self._started_ms), allowed

    def _down(self) -> list[str]:
        links = self._loop.turn.core.memory.situation.links
        return [name for name, link in sorted(links.items()) if link.up is False]

    def ready(self) -> bool:
        """Whether the first step is done and every link was tried, as `/readyz` has it."""
        return self._loop.timing.last_turn_ms >= 0 and not self.untried()

    def stuck(self) -> str:
        """Which loop makes no progress although nothing outside keeps it from it; empty while all do."""
        late_ms, allowed = self._late_ms()
        if late_ms > allowed:
            return f"the region's loop: its last turn was {late_ms} ms ago, at most {allowed} ms are allowed"
        if not self._journal.alive:
            return "the journal: its writer thread has ended"
        now = self._now()
        for link in self._assembly.links if self._links else ():
            idle_ms = now - max(self._drivers[link.name].last_progress_ms, self._started_ms)
            allowed = LINK_STUCK_MS * self._rate + link.timeout_ms + link.connect_timeout_ms
            if idle_ms > allowed and not self._links[link.name].pausing:
                return f"link {link.name}: its task has done nothing for {idle_ms} ms, at most {allowed} ms are allowed"
        return ""

    def status(self) -> str:
        """How the region does, in one line."""
        if self._loop.settled.is_set():
            view = self._region() if self._loop.timing.last_turn_ms >= 0 else None
            self._status = status_line(view, self._down(), [] if self._was_ready() else self.untried())
        return f"{self._status}; {self.notice}" if self.notice else self._status

    def _was_ready(self) -> bool:
        self._tried = self._tried or self.ready()
        return self._tried

    def untried(self) -> list[str]:
        """Links of which no point was read or failed yet."""
        # Tried once is tried for good, so that a large site is looked through only while it starts.
        if self._untried:
            tried = np.flatnonzero(self._table.cause != Cause.NOT_READ_YET)
            self._untried -= self._assembly.points.links_of(tried)
        return [link.name for link in self._assembly.links if link.name in self._untried]
