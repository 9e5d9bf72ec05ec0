"""Draws the pictures of the README anew: the demo in a shortage, on a desk and on a telephone. `make screenshots`."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from black_box import Http, Site, copy_of, wait_for
from chromium import browser

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZES = {"desktop": (1280, 1150), "phone": (390, 844)}
WEATHER = {"wind": 0.12, "sun": 0.15}
LOAD = {"fraction": 1.5}
STORY_S = 180.0


def shortage(site: Site) -> Http:
    """The demo, short of power: some gave way and some are cut off."""
    control = site.simulate().control
    http = site.daemon().ready()
    control.post("/weather", WEATHER)
    control.post("/load", LOAD)
    wait_for(lambda: http.get("/api/v1/region")["consumers"]["starved"], STORY_S, "somebody is cut off")
    return http


async def draw(program: str, url: str, directory: Path) -> dict[str, bytes]:
    """The page in each size, as PNG."""
    drawn = {}
    async with browser(program, directory) as made:
        for name, (width, height) in SIZES.items():
            page = await made.page(width, height)
            await page.go(url)
            await page.until("document.getElementById('connection-text').textContent === 'Live'", "the page is live")
            drawn[name] = await page.screenshot()
            assert page.troubles == [], page.troubles
    return drawn


def main() -> None:
    """Writes docs/images."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("There is no chromium; as root run: sh tests/system-packages.sh")
    with TemporaryDirectory() as made:
        directory = Path(made)
        site = Site(copy_of("demo", directory), 1)
        try:
            drawn = asyncio.run(draw(program, shortage(site).url, directory))
        finally:
            site.close()
    IMAGES.mkdir(exist_ok=True)
    for name, image in drawn.items():
        file = IMAGES / f"{name}.png"
        file.write_bytes(image)
        print(f"{file}: {len(image)} bytes")


if __name__ == "__main__":
    main()
