"""Whether a shed had effect, judged by what the consumer would draw without it."""

from __future__ import annotations

import numpy as np

from scowl_edge.assembly import assemble
from scowl_edge.capacity import Book, Pledge, ShedState
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.signal import Image, Quality
from scowl_edge.model.site import Site
from scowl_edge.tracker import Observation, Steering, Tracker
from scowl_edge.tracker.promises import Promises
from scowl_edge.tracker.region import RegionState

WHY = Reason(declare("test-shed", "a test asks"))
HOME = """
site: {id: one}
links: {plc: {type: modbus-tcp, host: 127.0.0.1}}
devices:
  home:
    link: plc
    points:
      power: {address: 0, unit: W}
      shed_request: {address: 1, unit: W, access: rw}
      shed_granted: {address: 2, unit: W}
    role: {kind: consumer, rated: 6 kW, deferrable: 2 kW, demand_responsive: 1500 W}
"""


class Bench:
    """One home, looked at whenever its meter was read."""

    def __init__(self) -> None:
        self.site: Site = assemble(HOME, "home.yaml").site
        self.tracker = Tracker(self.site)
        self.promises = Promises(self.site, self.tracker.rating_tree)
        self.state = RegionState.new(self.site)
        self.book = Book()

    def look(self, power_w: int, now_ms: int) -> Steering:
        size = len(self.site.signals)
        image = Image(np.zeros(size, np.int64), np.full(size, Quality.GOOD, np.uint8), np.full(size, now_ms))
        image.value[self.site.consumers[0].power] = power_w
        seen: Observation = self.tracker.observe(image, now_ms, {})
        steering = Steering(
            self.site, self.tracker.rating_tree, self.state, self.book, seen, [True] * len(self.site.actuators), 1
        )
        self.promises.settle(steering)
        return steering

    def grants(self, now_ms: int) -> None:
        shed = self.book.sheds[0]
        shed.state, shed.granted_w, shed.judged_at = ShedState.GRANTED, shed.requested_w, now_ms + 5_000


def test_a_shed_asked_for_while_an_earlier_one_returns_is_judged_by_what_it_returns_to() -> None:
    bench = Bench()
    steering = bench.look(3_200, 1_000)
    # The end of the last shed is ordered, the meter does not show it yet.
    bench.book.pledges[0] = Pledge(base_w=3_200, goal_w=4_700, begins_at=1_000, ramp_w_s=0, deadline_at=9_000)
    steering.ask_shed("shed", 0, 1_000, WHY, protective=True)
    bench.grants(1_200)
    bench.look(3_700, 2_000)
    assert bench.book.sheds[0].effective, "without it, it would draw 4700 W"
    assert not bench.book.sheds[0].failed


def test_a_shed_that_is_granted_in_words_fails_even_while_an_earlier_one_returns() -> None:
    bench = Bench()
    steering = bench.look(3_200, 1_000)
    bench.book.pledges[0] = Pledge(base_w=3_200, goal_w=4_700, begins_at=1_000, ramp_w_s=0, deadline_at=9_000)
    steering.ask_shed("shed", 0, 1_000, WHY, protective=True)
    bench.grants(1_200)
    for now_ms in range(2_000, 8_000, 1_000):
        bench.look(4_700, now_ms)
    assert bench.book.sheds[0].failed
    assert not bench.book.sheds[0].effective
