"""The page's scripts in a real browser, over views built by hand: what a running region shows too rarely."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from scowl_edge.model.event import AlarmAction, AlarmOrder, Order
from scowl_edge.model.reason import Reason
from scowl_edge.model.signal import Cause
from scowl_edge.model.view import ActuatorView, AlarmView, EventView, RatingView, TreeView
from scowl_edge.web import TokenSource
from scowl_edge.web.published import TrendRow
from scowl_edge.web.tables import LADDER
from tests.integration.web.cabinet import (
    NOON_UTC_MS,
    TOKEN,
    Site,
    State,
    device,
    flex_appliance,
    flex_selection,
    flex_view,
    population,
    population_tree,
    region_view,
    serving,
    serving_site,
)
from tests.system.chromium import Browser, Page, browser

IS_LIVE = "document.getElementById('connection-text').textContent === 'Live'"
TEXTS = """[...document.querySelectorAll('nav li, h2, h3, dd, figcaption, tbody tr > :not(.orders), [aria-current]')]
    .map((node) => node.textContent)"""
BARS = "[...document.querySelectorAll('.strip rect')].map((bar) => bar.outerHTML).join('')"
NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def chromium(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium; as root run: sh tests/system-packages.sh")
    async with browser(program, tmp_path) as made:
        yield made


async def opened(made: Browser, url: str) -> Page:
    page = await made.page(1280, 800)
    await page.go(url)
    await page.until(IS_LIVE, "the page is live")
    return page


def actuator(verb: str, target: int | None, **changes: object) -> ActuatorView:
    fields: dict[str, object] = {
        "verb": verb, "target": target, "confirmed": target, "state": "timed_out", "klass": 3, "reason": None,
        "stays_as_left": True, "low": 0, "high": 9_000,
    }  # fmt: skip
    return ActuatorView(**(fields | changes))  # type: ignore[arg-type]


def of_everything() -> dict[str, object]:
    """Whatever needs words: every kind of cell with more than one thing to say."""
    loads = ((0, 0, 0), (900, 10, 0), (900, 0, -600), (-600, -601, 0))
    limits = ((1_000, 1_000), (1_000, -1), (1_000, 500), (-1, -1), (0, -1))
    powers = (0, 7, -999, 1_000, 12_345, -99_995, 999_999, 1_250_000, 87_654_321)
    return {
        "consumers": (("served", 1), ("shed", 1), ("starved", 2), ("choked", 1), ("unassigned", 0)),
        "rung": "curtail",
        "mode": "hold",
        "mode_who": "ann",
        "mode_why": "a crane",
        "mode_until_utc_ms": NOON_UTC_MS,
        "grid_net_w": -1,
        "trees": tuple(
            TreeView(
                name=f"tree-{n}", bus="main", output_w=power, safe_w=abs(power) // 2, load_w=max(0, power),
                over_assigned_w=0, members=("a", "b")[: n % 3], blackout=n == 1, fresh=n != 2,
            )
            for n, power in enumerate(powers)
        ),
        "devices": (
            device("d0", "consumer", state="shed", mode_until_utc_ms=NOON_UTC_MS, mode_who="bob", mode_why="x"),
            device("d1", "consumer", state="starved", up=False, down_cause="connection refused", unserved_w=5),
            device("d2", "consumer", state="choked", up=False, vetoed=True, veto_who="eve", veto_why="guests"),
            device("d3", "generator", up=None, mode="out-of-service", tree="", actuators=(
                actuator("connect", 0), actuator("limit", 1_500), actuator("supply", 3), actuator("shed", None))),
            device("d4", "consumer", stays_as_left=True, actuators=(
                actuator("limit", 2_500, withheld=Reason("test-short", (7,))), actuator("failsafe", 4_140),
                actuator("failsafe_timeout", 61_500), actuator("heartbeat", 17))),
            device("d5", "storage", stays_as_left=False),
            device(NASTY, "meter", why=Reason("test-short", (1,))),
        ),
        "ratings": tuple(
            RatingView(
                name=f"rating-{n}-{m}", kind="feeder", within="", load_va=load, import_va=imports, export_va=exports,
                headroom_w=-5, unmetered_w=3, metered=n % 2 == 0, fresh=m % 2 == 0,
                uses=tuple((f"d{i}", 100 * i) for i in range(n + m)),
            )
            for n, load in enumerate(loads)
            for m, (imports, exports) in enumerate(limits)
        ),
        "alarms": tuple(alarm(f"alarm-{n}", n) for n in range(4)),
        "events": tuple(
            EventView(
                seq=n, source_utc_ms=n and NOON_UTC_MS, utc_ms=NOON_UTC_MS, utc_ok=True, kind=kind, source="",
                priority="", who="", text=Reason("test-short", (n,)),
            )
            for n, kind in enumerate(("alarm-raised", "no-such-kind"))
        ),
        "populations": (
            population(),
            population(
                "isle", wanted_w=-5, served_w=32_400_000_000, refused=(), score=(), feeders=(), compiled=False,
                starved=(0,) * 8, trees=tuple(population_tree(load_w=999 * n) for n in range(900)),
            ),
            population("third", wanted_w=3, served_w=2, members=(1_234_567,) * 8),
        ),
        "flex": flex_view(
            promised_w=-5_000, delivered_w=-2_345, appliance_list=(
                flex_appliance(life="DETACHED", override="GRID", override_by="USER"),
                flex_appliance(esa_id=NASTY, life="SUSPENDED", weight_ppm=50_999, limit_state=""),
            ),
            selection_list=tuple(
                flex_selection(select_id=f"s{n}", state=state, code=code, start_utc_ms=0)
                for n, (state, code) in enumerate((("ABORTED", "DEVIATION"), ("OVERRIDDEN", ""), ("no-such-state", "")))
            ),
        ),
    }  # fmt: skip


def alarm(key: str, handled: int = 0) -> AlarmView:
    """1 acknowledged, 2 shelved, 3 both."""
    person = {"acknowledged_by": "ann", "acknowledged_why": "seen", "acknowledged_utc_ms": NOON_UTC_MS}
    shelf = {"shelved_by": "bob", "shelved_why": "known", "shelved_until_utc_ms": NOON_UTC_MS}
    fields: dict[str, object] = {
        "key": key, "priority": "high", "since_utc_ms": NOON_UTC_MS, "since_utc_ok": True,
        "cause": Reason("test-short", (1,)),
    }  # fmt: skip
    return AlarmView(**(fields | (person if handled & 1 else {}) | (shelf if handled & 2 else {})))  # type: ignore[arg-type]


async def test_scripts_say_what_the_server_says(site: Site, chromium: Browser) -> None:
    site.state.view = region_view(**of_everything())
    page = await chromium.page(1280, 800)
    await page.send("Emulation.setScriptExecutionDisabled", value=True)
    await page.go(site.url)
    said_by_server = await page.run(TEXTS)
    drawn_by_server = await page.run(BARS)
    assert drawn_by_server.count("<rect") == 4 + 300 + 4
    assert len(said_by_server) > 200
    await page.send("Emulation.setScriptExecutionDisabled", value=False)
    await page.go(site.url)
    await page.until(IS_LIVE, "the page is live")
    assert await page.run(TEXTS) == said_by_server
    assert await page.run(BARS) == drawn_by_server
    # Once more with rows that the scripts make themselves.
    site.state.step(trees=(), devices=(), ratings=(), alarms=(), decisions=(), events=(), populations=())
    await page.until("document.querySelectorAll('tbody tr').length === 0", "all rows are gone")
    site.state.step(**(of_everything() | {"step": 44}))
    await page.until("document.querySelectorAll('tbody tr').length > 30", "all rows are back")
    assert await page.run(TEXTS) == said_by_server
    assert [sorted(bar) for bar in (await page.run(BARS)).split("<rect")] == [
        sorted(bar) for bar in drawn_by_server.split("<rect")
    ], "the same attributes in any order"
    assert await page.run("document.querySelectorAll('img').length") == 0, "a name became an element"
    for n, name in enumerate(LADDER[0].names[:2]):
        site.state.step(rung=name, step=45 + n)
        marked = f"document.querySelector('[aria-current=step]')?.dataset.rung === '{name}'"
        await page.until(
            f"document.querySelectorAll('[aria-current=step]').length === 1 && {marked}", f"{name} is marked"
        )
    assert page.troubles == []


async def test_a_population_lives_and_shows_its_trees_when_asked(site: Site, chromium: Browser) -> None:
    page = await opened(chromium, site.url)
    assert await page.run("document.querySelectorAll('.population').length") == 0
    site.state.step(populations=(population(),))
    await page.until("Boolean(document.querySelector('nav a[href=\"#population-town\"]'))", "there is a way to it")
    summary = "#population-town summary"
    assert await page.run("document.querySelectorAll('#population-town details tbody tr').length") == 0, "not asked yet"
    await page.run(f"document.querySelector('{summary}').focus()")
    await page.press("Enter")
    shown = "document.querySelector('#population-town details tbody').innerText"
    assert "town/3" in await page.until(f"{shown}.includes('town/3') && {shown}", "the trees are shown")
    site.state.step(step=44, populations=(population(starved=(0, 0, 0, 41, 0, 0, 0, 0)),))
    starved = "document.querySelector('#population-town [data-key=starved]').textContent"
    await page.until(f"{starved} === '41'", "the next step is shown")
    labelled = """[...document.querySelectorAll('#populations [aria-labelledby]')]
        .every((node) => document.getElementById(node.getAttribute('aria-labelledby'))?.textContent)"""
    assert await page.run(labelled), "a part has no name for who does not see it"
    ids = "[...document.querySelectorAll('[id]')].map((node) => node.id)"
    assert len(set(await page.run(ids))) == len(await page.run(ids)), "an id stands twice"
    site.state.step(step=45, populations=())
    await page.until("!document.querySelector('.population, nav a[href^=\"#population\"]')", "it is gone")
    assert page.troubles == []


async def test_flexibility_shows_itself_where_a_site_has_a_part_in_it(site: Site, chromium: Browser) -> None:
    page = await opened(chromium, site.url)
    assert await page.run("document.getElementById('flex').hidden")
    site.state.step(flex=flex_view())
    await page.until("Boolean(document.querySelector('nav a[href=\"#flex\"]'))", "there is a way to it")
    said = "document.getElementById('flex').innerText"
    shown = await page.until(f"{said}.includes('3 kW of 3.6 kW (83 %)') && {said}", "delivered stands against promised")
    for words in ("a change of -4 kW", "charger-1 waits for the night", "washer-1", "delivers less than promised"):
        assert words in shown, words
    site.state.step(step=44, flex=flex_view(delivered_w=3_600))
    await page.until(f"{said}.includes('(100 %)')", "the next step is shown")
    ids = "[...document.querySelectorAll('[id]')].map((node) => node.id)"
    assert len(set(await page.run(ids))) == len(await page.run(ids)), "an id stands twice"
    site.state.step(step=45, flex=None)
    await page.until("document.getElementById('flex').hidden", "it is gone")
    assert await page.run("document.querySelector('nav a[href=\"#flex\"]')") is None
    assert page.troubles == []


async def test_updates_leave_focus_scroll_and_rows_alone(site: Site, chromium: Browser) -> None:
    def devices(*names: str) -> dict[str, object]:
        return {"devices": tuple(device(name, "consumer") for name in names), "step": site.state.view.step + 1}  # type: ignore[union-attr]

    many = [f"home-{n}" for n in range(60)]
    site.state.view = region_view(**devices(*many))
    page = await opened(chromium, site.url)
    await page.run(
        """(() => {
          const row = document.querySelector('#devices [data-row="home-30"]');
          row.mark = 1;
          row.querySelector('button').focus();
          scrollTo(0, 900);
        })()"""
    )
    place = await page.run("scrollY")
    assert place > 0
    site.state.step(**devices("new", *reversed(many)))
    await page.until("Boolean(document.querySelector('#devices [data-row=new]'))", "a new device is there")
    shown = await page.run("[...document.querySelectorAll('#devices tbody tr')].map((row) => row.dataset.row)")
    assert shown == ["new", *reversed(many)]
    kept = "document.activeElement.closest('tr')?.dataset.row"
    assert await page.run(kept) == "home-30"
    assert await page.run("document.querySelector('#devices [data-row=\"home-30\"]').mark") == 1, (
        "the row was built anew"
    )
    site.state.step(**devices("new"))
    await page.until("document.querySelectorAll('#devices tbody tr').length === 1", "the others are gone")
    assert await page.run("document.activeElement.id") == "devices-title", "the focus fell off the page"
    assert await page.run("document.getElementById('alarm-news').textContent") == "", "old alarms are no news"
    site.state.step(alarms=(alarm("over-rating:grid"), alarm("hidden", 2)), step=site.state.view.step + 1)
    told = await page.until("document.getElementById('alarm-news').textContent", "a new alarm is told")
    assert "New alarm, high: over-rating:grid" in told and "hidden" not in told
    assert page.troubles == []


@dataclass
class Recorded:
    """A store that has one day of one point, with a gap."""

    async def trend(self, point: int, from_utc_ms: int, to_utc_ms: int, most: int) -> Sequence[TrendRow]:
        rows = [TrendRow(from_utc_ms + n * 3_600_000, -2e3 - n, -1e3, 5e3 + n) for n in range(24)]
        return [*rows[:9], TrendRow(rows[9].utc_ms, None, None, None), *rows[10:]]

    async def events(self, before_seq: int | None, most: int) -> Sequence[EventView]:
        return []


async def test_a_day_of_a_point_is_drawn(site: Site, chromium: Browser) -> None:
    site.state.history = Recorded()  # type: ignore[assignment]
    page = await opened(chromium, site.url)
    await page.click('#devices [data-row="wind-1"] button.link')
    await page.click('[aria-label="Trend of power"]')
    told = await page.until("document.querySelector('.trend figcaption')?.textContent", "the day is drawn")
    assert "lowest -2.023 kW, highest 5.023 kW, last -1 kW" in told
    assert await page.run("document.querySelectorAll('.trend polyline').length") == 2, "a gap is no line"
    assert await page.run("document.querySelector('.trend svg').getAttribute('aria-label')") == told
    assert page.troubles == []


async def test_a_bad_point_says_what_was_answered(site: Site, chromium: Browser) -> None:
    site.state.read(0, float("nan"), cause=Cause.UNKNOWN_NODE)
    site.state.faults[0] = "BadNodeIdUnknown"
    page = await opened(chromium, site.url)
    await page.click('#devices tr[data-row="wind-1"] button.link')
    await page.until(
        """document.querySelector('#device-panel tr[data-row="power"]')
             ?.innerText.includes('bad: unknown node, BadNodeIdUnknown')""",
        "the panel says why",
    )
    assert page.troubles == []


async def test_without_a_token_nothing_is_seen(state: State, tmp_path: Path, chromium: Browser) -> None:
    (tmp_path / "viewer").write_text(TOKEN)
    viewer = TokenSource("viewer", tmp_path / "viewer", None)
    async with serving_site(state, tmp_path, viewer=viewer) as closed:
        page = await chromium.page(1280, 800)
        await page.go(closed.url)
        await page.until("document.getElementById('token-dialog').open", "it asks for a token")
        assert "wind-1" not in await page.run("document.documentElement.outerHTML")
        await page.type("#token-secret", "wrong")
        await page.press("Enter")
        await page.until("document.querySelector('#token-secret')?.value === ''", "it asks again")
        await page.type("#token-secret", TOKEN)
        await page.press("Enter")
        await page.until(IS_LIVE, "the page is live")
        assert "wind-1" in await page.text("#devices")


async def test_what_is_old_is_said_to_be_old(state: State, chromium: Browser) -> None:
    for point in range(5):
        state.read(point, 1.0)
    listener, _ = await serving(state)
    page = await opened(chromium, listener.url)
    age = "parseFloat(document.querySelector('#vitals [data-key=oldest_data_s]').textContent)"
    assert await page.run(age) == 0
    assert await page.run("document.getElementById('stale').hidden")
    await listener.close()
    told = await page.until("document.getElementById('stale').innerText", "it is said", 30)
    assert told.startswith("No news from the daemon since ") and told.endswith("What is shown is old.")
    assert await page.run("document.getElementById('connection').dataset.tone") == "bad"
    await page.until(f"{age} > 5", "what is shown grows old")


async def test_alarms_are_handled_by_who_may(state: State, tmp_path: Path, chromium: Browser) -> None:
    for name in ("operator", "viewer"):
        (tmp_path / name).write_text(name)
    sources = {name: TokenSource(name, tmp_path / name, None) for name in ("operator", "viewer")}
    state.view = region_view(alarms=(alarm("device-down:a/b c"),))
    async with serving_site(state, tmp_path, **sources) as closed:
        page = await chromium.page(1280, 800)
        await page.go(closed.url)
        await page.type("#token-name", "ann")
        await page.type("#token-secret", "viewer")
        await page.press("Enter")
        await page.until(IS_LIVE, "the page is live")
        await page.click('[aria-label="Acknowledge device-down:a/b c"]')
        await page.type("#order-why", "on my way")
        await page.press("Enter")
        assert "viewer's" in await page.text("#token-dialog"), "it says whose token is needed"
        assert state.orders == []
        await page.type("#token-secret", "operator")
        await page.press("Enter")
        await page.until("!document.getElementById('order-dialog').open", "the order is taken")
        await page.click('[aria-label="Shelve device-down:a/b c"]')
        await page.type("#order-why", "known")
        await page.press("Enter")
        await page.until("!document.getElementById('order-dialog').open", "the order is taken")
        await page.until("document.getElementById('notice').textContent.includes('shelved')", "it is said")
        await page.click("#hold")
        await page.until("document.getElementById('notice').textContent.includes('HOLD')", "HOLD asks for nothing more")
    acknowledged, shelved, hold = state.orders
    assert isinstance(acknowledged, AlarmOrder) and isinstance(shelved, AlarmOrder) and isinstance(hold, Order)
    assert (acknowledged.key, acknowledged.action) == ("device-down:a/b c", AlarmAction.ACKNOWLEDGE)
    assert (acknowledged.who, acknowledged.why) == ("ann", "on my way")
    assert (shelved.action, shelved.until_utc_ms) == (
        AlarmAction.SHELVE,
        pytest.approx(NOON_UTC_MS + 3_600_000, abs=9e4),
    )
    assert (hold.mode, hold.who) == ("hold", "ann")


async def test_where_nobody_may_order_it_says_so(state: State, chromium: Browser) -> None:
    async with serving_site(state) as closed:
        page = await opened(chromium, closed.url)
        await page.click("#hold")
        await page.type("#token-name", "ann")
        await page.type("#token-secret", "anything")
        await page.press("Enter")
        told = await page.until("document.getElementById('notice').textContent", "the refusal is said")
        assert told.startswith("HOLD was not taken: No token is configured")
        assert not await page.run("document.getElementById('token-dialog').open")
    assert state.orders == []
