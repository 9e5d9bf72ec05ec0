"""The operator's page in a real browser: it shows what the API says, and its orders reach the devices' registers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from black_box import TOKEN, Eyes, Sites
from chromium import Browser, Page, browser, until

RATE = 2
PHONE = (390, 844)
VITALS = ("generation_w", "demand_w", "served_w", "consumers", "shed_w", "worst_alarm", "oldest_data_s", "mode")
SHOWN = ("wind-1", "hospital", "battery-1")
IS_LIVE = "document.getElementById('connection-text').textContent === 'Live'"
_TIMES = {"W": 1, "kW": 1_000, "MW": 1_000_000}


@pytest.fixture
def chromium() -> str:
    """The browser."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium; as root run: sh tests/system-packages.sh")
    return program


def power_of(device: str) -> str:
    """What stands in a device's row as its power."""
    return f"""document.querySelector('#devices tr[data-row="{device}"] td[data-title^="Power"]').textContent"""


def shows(text: str, power_w: float) -> bool:
    """Whether a text is this power to its four digits."""
    number, unit = text.split()
    size = _TIMES[unit]
    return float(number) == float(f"{power_w / size:.4g}")


class Api:
    """What the page should show."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self._http = url, http

    async def get(self, path: str) -> Any:
        async with self._http.get(f"{self.url}/api/v1/{path}") as answer:
            assert answer.status == 200, (path, await answer.text())
            return await answer.json()


async def opened(made: Browser, url: str, width: int, height: int) -> Page:
    """The page, once it lives."""
    page = await made.page(width, height)
    await page.go(url)
    await page.until(IS_LIVE, "the page is live")
    return page


async def test_what_it_shows_and_what_is_ordered_on_it(site: Sites, chromium: str, mbpoll: str, tmp_path: Path) -> None:
    demo = site("demo", rate=RATE)
    demo.simulate()
    url = demo.daemon().ready().url
    async with aiohttp.ClientSession() as http, browser(chromium, tmp_path) as made:
        api = Api(url, http)
        page = await opened(made, url, 1280, 800)
        await it_shows_what_the_api_says(page, api)
        await a_manual_value_reaches_the_register(page, api, Eyes(mbpoll, demo.file))
        await a_device_is_taken_out_of_service(page, api)
        await hold_is_one_key_away(page, api)
        assert page.troubles == []
        assert page.hosts == {url}, "the page asks nobody but its daemon"
        phone = await opened(made, url, *PHONE)
        await all_at_a_glance_on_a_telephone(phone)
        assert phone.troubles == []


async def it_shows_what_the_api_says(page: Page, api: Api) -> None:
    names = await page.run("[...document.querySelectorAll('#devices tbody th')].map((cell) => cell.innerText)")
    assert set(SHOWN) <= set(names)
    for device in SHOWN:

        async def equal(device: str = device) -> bool:
            said = await api.get(f"devices/{device}/points/power")
            return said["value"] is not None and shows(await page.run(power_of(device)), round(said["value"]))

        await until(equal, f"{device} shows its power", 20)

    async def marked() -> bool:
        rung = await page.run("document.querySelector('[aria-current=step]')?.dataset.rung")
        return bool(rung == (await api.get("region"))["rung"])

    await until(marked, "the ladder's present rung is marked", 20)
    texts = await page.run("[...document.querySelectorAll('#trees tbody tr')].map((row) => row.innerText)")
    assert any(re.search(r"wind-1.*kW of .* kW \(\d+ %\)", text, re.DOTALL) for text in texts), texts


async def a_manual_value_reaches_the_register(page: Page, api: Api, eyes: Eyes) -> None:
    await page.click('#devices tr[data-row="wind-1"] button.link')
    await page.until("document.getElementById('device-panel').open", "the device's panel opens")
    await page.click('[aria-label="Manual value for limit"]')
    await page.type("#token-name", "ann")
    await page.type("#token-secret", TOKEN)
    await page.press("Enter")
    await page.type("#order-value", "1000")
    await page.type("#order-why", "a crane works beside it")
    await page.press("Enter")
    assert "must be between" in await page.until(
        "document.querySelector('#order-dialog .fault').textContent", "a value beyond the rating is refused"
    )
    await page.type("#order-value", "50")
    await page.press("Enter")
    await page.until("!document.getElementById('order-dialog').open", "the order is taken")
    share = 50_000 / eyes.rated_w("wind-1")

    async def written() -> bool:
        return eyes.read("wind-1", "limit") == pytest.approx(share, abs=0.001)

    await until(written, "the order is in the register", 20)
    device = await api.get("devices/wind-1")
    assert (device["mode"], device["mode_who"]) == ("manual", "ann")
    ordered = next(each["ordered"] for each in device["actuators"] if each["verb"] == "limit")
    assert (ordered["value"], ordered["why"]) == (50_000, "a crane works beside it")
    await page.until(
        "document.querySelector('#device-panel').innerText.includes('50 kW by ann (operator)')", "the panel says who"
    )

    async def drawn() -> bool:
        await page.click('[aria-label="Trend of power"]')
        told = await page.until("document.querySelector('.trend-place figcaption')?.innerText", "the day is looked at")
        return bool(re.search(r"lowest -\d.* kW, highest .*, last ", told))

    await until(drawn, "what was recorded since the start is drawn", 30)
    await page.press("Escape")
    await page.until(
        """!document.getElementById('device-panel').open &&
           document.activeElement.closest('tr')?.dataset.row === 'wind-1'""",
        "Esc closes the panel, and the focus is back",
    )


async def a_device_is_taken_out_of_service(page: Page, api: Api) -> None:
    await page.type("#device-search", "charger-2")
    await page.until(
        "document.querySelectorAll('#devices tbody tr:not([hidden])').length === 1", "the search leaves one device"
    )
    await page.click('#devices tr[data-row="charger-2"] button.link')
    await page.click("#device-panel .buttons.start button")
    await page.choose("#order-value", "out-of-service")
    await page.type("#order-why", "new cable")
    await page.press("Enter")

    async def out() -> bool:
        device = await api.get("devices/charger-2")
        return (device["mode"], device["mode_who"], device["mode_why"]) == ("out-of-service", "ann", "new cable")

    await until(out, "the device is out of service", 20)
    await page.until("document.querySelector('#device-panel').innerText.includes('by ann: new cable')", "it is shown")
    await page.press("Escape")


async def hold_is_one_key_away(page: Page, api: Api) -> None:
    await page.go(api.url)
    await page.until(IS_LIVE, "the page lives again, and the tab still knows who sits here")
    for _ in range(4):
        await page.press("Tab")
    assert await page.run("document.activeElement.id") == "hold", "Tab does not reach HOLD"
    assert await page.run("document.activeElement.matches(':focus-visible')")
    await page.press("Enter")
    await page.until(
        """document.querySelector('#vitals [data-key="mode"]').innerText.startsWith('hold')""", "HOLD holds"
    )
    assert (await api.get("region"))["mode_who"] == "ann"
    assert await page.run("document.activeElement.id") == "hold", "updates must not take the focus"


async def all_at_a_glance_on_a_telephone(phone: Page) -> None:
    width, height = PHONE
    for key in VITALS:
        box = await phone.run(
            f"""(() => {{
              const box = document.querySelector('#vitals [data-key="{key}"]').getBoundingClientRect();
              return [box.left, box.top, box.right, box.bottom, box.width * box.height];
            }})()"""
        )
        assert min(box[:2]) >= 0 and box[2] <= width and box[3] <= height and box[4] > 0, (key, box)
        assert await phone.text(f'#vitals [data-key="{key}"]') not in ("", "–"), key
    wide = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    assert await phone.run(wide) <= width
    assert await phone.run("[...document.querySelectorAll('.scroll')].every((each) => each.scrollWidth <= innerWidth)")
    await phone.click('#devices tr[data-row="wind-1"] button.link')
    await phone.until("document.querySelectorAll('#device-panel tbody tr').length > 1", "the panel has its points")
    assert await phone.run("document.getElementById('device-panel').scrollWidth") <= width
