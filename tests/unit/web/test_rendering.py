"""Lists that are rendered piece by piece and remembered are the same as lists rendered anew."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.model.reason import Reason
from scowl_edge.model.view import DecisionView, RegionView
from scowl_edge.web import populations, present
from scowl_edge.web.rendering import AT_A_STRETCH, Renderer
from tests.integration.web.cabinet import device, event, population, region_view


def expected(view: RegionView) -> dict[str, bytes]:
    """Every list as it would be without any memory."""
    return {
        "trees": orjson.dumps([present.tree(tree) for tree in view.trees]),
        "devices": orjson.dumps([present.device(device) for device in view.devices]),
        "ratings": orjson.dumps([present.rating(rating) for rating in view.ratings]),
        "alarms": orjson.dumps(present.alarms(view.alarms)),
        "decisions": orjson.dumps([present.decision(decision) for decision in view.decisions]),
        "events": orjson.dumps([present.event(event) for event in view.events]),
        "populations": orjson.dumps([populations.population(each) for each in view.populations]),
    }


async def rendered(renderer: Renderer, view: RegionView) -> dict[str, bytes]:
    lists = await renderer.lists(view)
    assert lists.view is view
    return {name: getattr(lists, name) for name in expected(view)}


def decision(step: int, device_name: str) -> DecisionView:
    return DecisionView(
        step=step, utc_ms=1_700_000_000_000, rung="shed", device=device_name, amount_w=1, reason=Reason("x")
    )


names = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True)
views = st.builds(
    lambda devices, powers, decisions, first, shelved, moves: region_view(
        devices=tuple(device(name, "consumer", power_w=power) for name, power in zip(devices, powers, strict=False)),
        decisions=tuple(decision(step, name) for step, name in decisions),
        events=tuple(event(seq) for seq in range(first + 3, first, -1)),
        alarms=tuple(
            replace(alarm, shelved_until_utc_ms=1_800_000_000_000 * shelved) for alarm in region_view().alarms
        ),
        populations=tuple(population(f"p{n}", score=(("moves", of),)) for n, of in enumerate(moves)),
    ),
    names,
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
    # The same decision may well be made twice in a step.
    st.lists(st.tuples(st.integers(1, 2), st.sampled_from("ab")), max_size=5),
    st.integers(0, 5),
    st.booleans(),
    st.lists(st.integers(0, 1), max_size=2),
)


@given(st.lists(views, min_size=1, max_size=6))
def test_memory_changes_nothing(course: list[RegionView]) -> None:
    async def story() -> None:
        renderer = Renderer()
        for view in course:
            assert await rendered(renderer, view) == expected(view)

    asyncio.run(story())


def test_who_asks_at_once_gets_the_same_and_others_are_let_in_between() -> None:
    many = region_view(devices=tuple(device(f"d{n}", "consumer") for n in range(20 * AT_A_STRETCH)))

    async def story() -> None:
        renderer = Renderer()
        turns = 0
        done = asyncio.Event()

        async def beside() -> None:
            nonlocal turns
            while not done.is_set():
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(beside())
        one, two = await asyncio.gather(renderer.lists(many), renderer.lists(many))
        done.set()
        await counting
        assert one is two
        assert turns >= 20
        assert await renderer.lists(many) is one

    asyncio.run(story())
