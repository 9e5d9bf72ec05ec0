"""One region in virtual time: its tracker, its peers and plants, the network between them, and what goes wrong.

The tracker knows nothing but the messages that reach it. What is true is here, and every step is held against the laws.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import ROWS, Assign, Batch, BatchKind, Seated
from scowl_edge.model.effect import Effect, Inputs, Plan
from scowl_edge.model.site import Site
from scowl_edge.tracker.population import census
from scowl_edge.tracker.population.intake import identities
from scowl_edge.tracker.population.population import laid_out
from simulators.world.joining import Identity, Joining
from simulators.world.laws import LawBook
from simulators.world.mail import Mail
from simulators.world.peers import Peers
from simulators.world.plants import Plants
from simulators.world.running import RunningTracker
from simulators.world.schedule import Schedule, mix
from simulators.world.trouble import MINUTE_MS
from simulators.world.watch import Watch

GATEWAYS = 4
STATIONS = 3
"""Each tells the output of every third plant."""
RIDE_THROUGH_MS = 90_000
"""Of a plant: longer than it takes from a report to the assignment that follows from it."""
BLACK_MS = 180_000
"""Until a plant that blacked out is back."""


class Region:
    """A population that is told by messages. Line numbers of the mail: gateways first, then stations of plants."""

    def __init__(
        self, schedule: Schedule, site: Site, seed: int, book: LawBook, *, snapshot_every: int, replay_every: int = 1
    ) -> None:
        """Everything begins with the schedule's present time."""
        self.schedule, self.book, self.seed = schedule, book, seed
        declared = site.populations[0]
        self._watch: Watch | None = None
        self.tracker = RunningTracker(
            site,
            schedule,
            book,
            seed,
            snapshot_every=snapshot_every,
            replay_every=replay_every,
            on_step=self._stepped,
            on_effect=self._leave,
            on_start=self._started,
        )
        _, layout, people = laid_out(declared)
        columns = self.tracker.core.populations[0].columns
        self.peers = Peers(people, columns, layout, seed, GATEWAYS)
        mean = int(people.nominal.sum())
        rated = mean * declared.supply_ppm // 1_000_000
        self.plants = Plants(census.draw_fleet(declared.trees, rated, declared.seed), seed)
        members: dict[Identity, tuple[int, int]] = {}
        for consumer, (high, low) in enumerate(identities(declared.seed, declared.consumers).tolist()):
            slot, feed = int(layout.slot[consumer]), int(layout.feed[consumer])
            members[high, low] = (slot, 1) if slot >= 0 else (self.peers.slots + feed, int(layout.feeds[consumer]))
        self.joining = Joining(self.peers, dict(members), self.send)
        self._watch = Watch(declared, book, columns, self.plants.rated, members)
        self.mail = Mail(schedule, seed, self.peers.gateways + STATIONS)
        self.faults: Counter[str] = Counter()
        """What went wrong, by kind."""
        self.blackouts = 0
        self.silent_plants: NDArray[np.int64] = np.zeros(declared.trees, np.int64)
        """Until when each plant's meter says nothing."""
        self.lying_plants: NDArray[np.int64] = np.zeros(declared.trees, np.int64)
        self.kept: list[tuple[int, BatchKind, int, int, bytes]] = []
        """Old messages, to be sent once more: line, kind, sender, sequence, rows."""
        self.seats = sorted(set(zip(columns.block_zone.tolist(), columns.block_class.tolist(), strict=True)))
        """(zone, class) in which somebody lives."""
        self.small = int(np.abs(columns.demand.astype(np.int64)).max())
        """Largest mean demand of one in a slot."""
        self._sequence: Counter[int] = Counter()
        self._tick = 0
        self.trees = declared.trees
        # A tick at once: the first messages leave as the tracker starts.
        schedule.at(schedule.now_ms, self._minute)
        for line in range(self.peers.gateways + STATIONS):
            schedule.at(schedule.now_ms + 100 + mix(seed, line) % (MINUTE_MS // 2), partial(self._report, line))

    # -- physics -----------------------------------------------------------------------------------------------------

    def _minute(self) -> None:
        now = self.schedule.now_ms
        self._tick += 1
        self.peers.advance(self._tick)
        self.plants.advance(now, self._tick)
        self.joining.minute(now)
        black = self.plants.overloaded(self.peers.loads(self.trees), now, RIDE_THROUGH_MS)
        for tree in black.tolist():
            self.blackouts += 1
            self.plants.trip(tree, now, BLACK_MS)
            self.tell_output(tree % STATIONS)
        self.schedule.at(now + MINUTE_MS, self._minute)

    # -- to the tracker ----------------------------------------------------------------------------------------------

    def _report(self, line: int) -> None:
        """A gateway or station tells what it measures, once a minute."""
        if line < self.peers.gateways:
            big = line == self.peers.gateways - 1
            rows = self.peers.report(line, mix(self.seed, line, self._tick))
            self.send(line, BatchKind.FEED if big else BatchKind.DEMAND, rows)
            if self.peers.forgetful and (lost := self.peers.lost(line)):
                self.send(line, BatchKind.HELD, lost)
        else:
            self.tell_output(line - self.peers.gateways, urgent=False)
        self.schedule.at(self.schedule.now_ms + MINUTE_MS, partial(self._report, line))

    def tell_output(self, station: int, *, urgent: bool = True) -> None:
        """A station tells the output of its plants; urgent if the tracker should not wait for its next minute."""
        now, plants = self.schedule.now_ms, self.plants
        mine = np.arange(station, self.trees, STATIONS)
        rows = np.empty(len(mine), ROWS[BatchKind.OUTPUT])
        rows["tree"], rows["value"] = mine, plants.output[mine]
        for i in np.flatnonzero(now < self.lying_plants[mine]):
            rated = int(plants.rated[mine[i]])
            rows["value"][i] = (-5 * rated, 7 * rated, -(1 << 63))[mine[i] % 3]
        rows = rows[now >= self.silent_plants[mine]]
        if len(rows):
            self.send(self.peers.gateways + station, BatchKind.OUTPUT, rows.tobytes(), urgent=urgent)

    def send(self, line: int, kind: BatchKind, rows: bytes, *, urgent: bool = False) -> None:
        """Sends a message to the tracker, numbered by its sender; each kind has one, joins and leaves the same."""
        sender = line * len(BatchKind) + (BatchKind.JOIN if kind is BatchKind.LEAVE else kind)
        self._sequence[sender] += 1
        self.post(line, kind, sender, self._sequence[sender], rows, urgent=urgent)
        if len(self.kept) < 64:
            self.kept.append((line, kind, sender, self._sequence[sender], rows))
        else:
            self.kept[mix(self.seed, self._tick, line) % 64] = (line, kind, sender, self._sequence[sender], rows)

    def post(
        self, line: int, kind: BatchKind, sender: int, sequence: int, rows: bytes, *, urgent: bool = False
    ) -> None:
        """Puts a message as it is on its way."""

        def arrive() -> None:
            tracker = self.tracker
            if tracker.alive:
                at_ms = tracker.mono_ms
                tracker.take(
                    Batch(population=0, kind=kind, sender=sender, sequence=sequence, at_ms=at_ms, data=rows),
                    urgent=urgent,
                )

        self.mail.to_tracker(line, arrive)

    # -- from the tracker --------------------------------------------------------------------------------------------

    def _leave(self, effect: Effect) -> None:
        if isinstance(effect, Assign):
            for gateway, entries in self.peers.by_gateway(effect.kind, effect.number, effect.tree):
                self.mail.to_peer(gateway, partial(self._heed, gateway, entries, effect.stamp))
                self.tracker.dispatch_boundary()
        elif isinstance(effect, Seated):
            self._answer(effect)

    def _answer(self, seated: Seated) -> None:
        """Whoever came or went is answered by a message of its own."""
        for i, identity in enumerate(zip(seated.high.tolist(), seated.low.tolist(), strict=True)):
            one = slice(i, i + 1)
            answer = replace(
                seated,
                high=seated.high[one],
                low=seated.low[one],
                place=seated.place[one],
                outcome=seated.outcome[one],
            )
            line = self.joining.gateway_of(identity, i % GATEWAYS)
            self.mail.to_peer(line, partial(self._seat, answer))

    def _seat(self, answer: Seated) -> None:
        self.joining.heed(answer, self.schedule.now_ms)

    def _heed(self, gateway: int, entries: NDArray[np.void], stamp: int) -> None:
        held = self.peers.heed(entries, stamp)
        if held:
            self.send(gateway, BatchKind.HELD, held)

    # -- laws --------------------------------------------------------------------------------------------------------

    @property
    def watch(self) -> Watch:
        """Who holds this region against the laws."""
        assert self._watch is not None
        return self._watch

    def _started(self, step: int, whole: bool) -> None:
        if self._watch is not None:
            self._watch.restarted(step, whole=whole)

    def _stepped(self, inputs: Inputs, plan: Plan) -> None:
        self.watch.stepped(self.tracker.core.populations[0], inputs, plan, self.schedule.now_ms)

    @property
    def feeding(self) -> bool:
        """Whether somebody starves though supply suffices."""
        return self.watch.starving(self.tracker.core.populations[0])

    def settled(self) -> None:
        """All has been quiet for long."""
        self.watch.settled(self.tracker.core.populations[0], self.peers, self.schedule.now_ms)

    def happened(self) -> Counter[str]:
        """What followed from the faults: on the network, in the tracker, in the plants."""
        told = Counter({f"messages {name}": count for name, count in self.mail.counts.items()})
        own = Counter({"plants blacked out by their load": self.blackouts})
        came = Counter({f"newcomers: {name}": count for name, count in self.joining.counts.items()})
        return told + self.tracker.counts + own + came + self.watch.counts()
