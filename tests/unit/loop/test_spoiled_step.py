"""A fault in the program: a step that raises spoils nothing but itself."""

from __future__ import annotations

from pathlib import Path

from scowl_edge.assembly import assemble, load
from scowl_edge.control import Core
from scowl_edge.journal.replay import replay
from scowl_edge.model.effect import Inputs, Plan
from scowl_edge.model.event import Order
from simulators.serving import settings_of
from simulators.world import World

DEMO = Path(__file__).parents[3] / "examples" / "demo.yaml"


class Faulty(Core):
    """The real core, which raises when a certain person gives an order."""

    def step(self, inputs: Inputs) -> Plan:
        plan = super().step(inputs)
        if any(isinstance(e, Order) and e.who == "mallory" for e in inputs.events):
            raise ZeroDivisionError("after half the work")
        return plan


def faulty_world() -> tuple[World, Faulty]:
    assembly = load(DEMO)
    world = World(assembly, settings_of(assembly))
    core = Faulty(world.site)
    core.restore(world.core.snapshot())
    world.core = world.turn.core = core
    return world, core


def test_the_events_of_a_step_that_raises_are_set_aside_and_all_else_goes_on() -> None:
    world, core = faulty_world()
    world.run_for(20_000)
    targets = [e.target for e in core.memory.ledger]
    world.order("wind-1", "manual", who="mallory")
    world.run_for(2_000)
    assert core.memory.situation.device_modes[4].mode == "auto"
    assert core.memory.situation.failed_steps == 1
    assert "step-failed" in core.memory.alarms
    assert [e.target for e in core.memory.ledger] == targets
    world.order("wind-1", "manual", who="alice")
    world.run_for(2_000)
    assert core.memory.situation.device_modes[4].mode == "manual"
    assert not any(e.outstanding and world.now_ms - e.sent_at > 1_000 for e in core.memory.ledger)


def test_a_core_that_cannot_step_at_all_holds_its_targets_and_comes_back() -> None:
    world, core = faulty_world()
    world.run_for(20_000)

    class Once(Faulty):
        left = 2

        def step(self, inputs: Inputs) -> Plan:
            if inputs.tick.step > since and Once.left > 0:
                Once.left -= 1
                raise ValueError("twice in a row")
            return super().step(inputs)

    since = world.turn.step
    twice = Once(world.site)
    twice.restore(core.snapshot())
    world.core = world.turn.core = twice
    world.run_for(1_500)
    assert twice.memory.situation.failed_steps == 1
    failed = next(p for p in world.plans if p.step == since + 1)
    assert failed.effects == ()
    assert not failed.final
    world.run_for(5_000)
    view = twice.view()
    assert view is not None
    assert view.conservation_error_w == 0
    report = replay(world.journal.durable, lambda text: Core(assemble(text, "journal").site))
    assert report.difference is None


def test_a_core_that_raises_always_is_asked_once_a_period_and_not_without_a_pause() -> None:
    world, core = faulty_world()
    world.run_for(20_000)

    class Never(Faulty):
        def step(self, inputs: Inputs) -> Plan:
            if inputs.tick.step > since:
                raise ValueError("each time")
            return super().step(inputs)

    since = world.turn.step
    never = Never(world.site)
    never.restore(core.snapshot())
    world.core = world.turn.core = never
    world.run_for(2_000)
    before = world.turn.step
    world.run_for(10_000)
    assert 5 <= world.turn.step - before <= 12
