"""`/` without a script: what the server fills in, and that nothing foreign can run or load."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest

from scowl_edge.model.view import AlarmView, RatingView, Reason, TreeView
from scowl_edge.web.tables import FLEX_TABLES, LADDER, TABLES
from scowl_edge.web.words import RUNGS
from tests.integration.web.cabinet import NOON_UTC_MS, Site, device, population, region_view

CODE = Path(__file__).parents[3] / "scowl_edge"


class Shown(HTMLParser):
    """Cells of the page by table, entries, the marked rung, and every attribute that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.tones: dict[str, list[str]] = {}
        self.entries: dict[str, str] = {}
        self.captions: list[str] = []
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.rung = ""
        self.layout = ""
        self._in_template = False
        self._table = ""
        self._into: str | None = None
        self._entry = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [value or "" for key, value in attrs if key in ("src", "href")]
        self.inline += [f"{tag} {key}" for key in given if key.startswith("on") or key == "style"]
        if tag == "template" or self._in_template:
            # Not part of what is seen.
            self._in_template = True
            return
        if tag == "table":
            self._table = given["data-table"] or ""
            self.rows[self._table], self.tones[self._table] = [], []
        elif tag == "tr":
            self.rows[self._table].append([])
            self.tones[self._table].append(given.get("data-tone") or "")
        elif tag in ("td", "th"):
            self.rows[self._table][-1].append("")
            self._into = "cell"
        elif tag == "li" and "aria-current" in given:
            self.rung = given["data-rung"] or ""
        elif tag == "script" and "src" not in given:
            assert given == {"type": "application/json", "id": "layout"}, "a script stands in the page itself"
            self._into = "layout"
        elif tag in ("dt", "dd", "caption"):
            self._into = tag
        elif tag == "style":
            self.inline.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self._in_template = False
        if tag in ("td", "th", "dt", "dd", "caption", "script"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into == "cell":
            self.rows[self._table][-1][-1] += data
        elif self._into == "dt":
            self._entry = data
        elif self._into == "dd":
            self.entries[self._entry] = data
        elif self._into == "caption":
            self.captions.append(data)
        elif self._into == "layout":
            self.layout += data


async def read(site: Site, url: str = "") -> tuple[Shown, str, str]:
    async with site.http.get((url or site.url) + "/") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        text = await answer.text()
        shown = Shown()
        shown.feed(text)
        return shown, text, answer.headers["Content-Security-Policy"]


def row(shown: Shown, table: str, name: str) -> dict[str, str]:
    """A row by the text of its first cell, with the heads as keys."""
    heads, *rows = shown.rows[table]
    return next(dict(zip(heads, cells, strict=True)) for cells in rows if cells[0] == name)


async def test_first_state_is_readable_without_a_script(site: Site) -> None:
    shown, _, _ = await read(site)
    assert shown.entries["Mode"] == "auto"
    assert shown.rung == "shed"
    assert shown.entries["Generation"] == "1.25 MW"
    assert shown.entries["Starved"] == "0 (1 kW)"
    assert shown.entries["Worst alarm"] == "high (2)"
    assert shown.entries["Grid, + import"] == "–"
    assert shown.entries["Time (UTC)"] == "2026-03-01 12:00:00"
    assert [cells[0] for cells in shown.rows["alarms"]] == ["Alarm", "device-down:<b>&", "stale:hall-a"]
    tree = row(shown, "trees", "wind-1")
    assert (tree["Load of safe load"], tree["State"]) == ("18 kW of 1.125 MW (2 %)", "fed")
    wind, hall = row(shown, "devices", "wind-1"), row(shown, "devices", "hall-a")
    assert (wind["State"], wind["Power, + consumed"]) == ("curtailed", "-1.25 MW")
    assert (wind["Why"], wind["Commands"]) == ("test-unknown-code grid 5", "limit 1.25 MW: holding")
    assert (wind["Data"], wind["Age"]) == ("bad", "–"), "its limit was never read"
    assert (hall["Data"], hall["Mode"], hall["Power, + consumed"]) == ("not tried yet", "manual", "–")
    assert row(shown, "ratings", "grid")["Phases a, b, c"] == "1 kVA, -2 kVA, 3 kVA"
    assert row(shown, "ratings", "grid")["Worst phase of limit"] == "2 kVA of 41.4 kVA export (5 %)"
    assert [cells[1:] for cells in shown.rows["decisions"][1:]] == [
        [RUNGS["shed"], "hall-a", "2 kW", "test-short 2000"]
    ]


async def test_who_gave_way_and_why(site: Site) -> None:
    served = device("home-1", "consumer")
    shed = device("home-2", "consumer", state="shed", shed_w=900, why=Reason("test-short", (900,)))
    starved = device("home-3", "consumer", state="starved", unserved_w=4_000, shed_w=0)
    site.state.view = region_view(devices=(served, shed, starved))
    shown, _, _ = await read(site)
    assert [cells[0] for cells in shown.rows["gave-way"][1:]] == ["home-2", "home-3"]
    assert shown.tones["gave-way"][1:] == ["warn", "bad"]
    assert row(shown, "gave-way", "home-2")["Why"] == "test-short 900"
    assert row(shown, "gave-way", "home-3")["Not served"] == "4 kW"


async def test_what_people_did_is_shown(site: Site) -> None:
    held = device(
        "home-1", "consumer", mode="out-of-service", mode_who="ann", mode_why="new meter",
        mode_until_utc_ms=NOON_UTC_MS, vetoed=True, veto_who="bob", veto_why="guests",
    )  # fmt: skip
    alarm = AlarmView(
        key="a", priority="high", since_utc_ms=1, since_utc_ok=True, cause=Reason("test-short", (1,)),
        acknowledged_by="ann", acknowledged_why="seen", acknowledged_utc_ms=NOON_UTC_MS,
        shelved_by="bob", shelved_why="known", shelved_until_utc_ms=NOON_UTC_MS,
    )  # fmt: skip
    site.state.view = region_view(devices=(held,), alarms=(alarm,))
    shown, _, _ = await read(site)
    assert row(shown, "devices", "home-1")["Mode"] == (
        "out of service, by ann: new meter, until 2026-03-01 12:00:00, veto by bob: guests"
    )
    assert row(shown, "alarms", "a")["Handling"] == (
        "acknowledged by ann: seen; shelved by bob until 2026-03-01 12:00:00: known"
    )


@pytest.mark.parametrize(
    ("load_va", "import_va", "export_va", "text"),
    [
        ((0, 0, 0), 1_000, 1_000, "0 VA of 1 kVA import (0 %)"),
        ((900, 0, 0), 1_000, -1, "900 VA of 1 kVA import (90 %)"),
        ((900, 0, -600), 1_000, 500, "600 VA of 500 VA export (120 %)"),
        ((-600, 0, 0), -1, -1, "600 VA, no limit"),
        ((5, 5, 5), 0, -1, "5 VA of 0 VA import (over)"),
    ],
)
async def test_the_phase_nearest_to_its_limit(
    site: Site, load_va: tuple[int, int, int], import_va: int, export_va: int, text: str
) -> None:
    rating = RatingView(
        name="fuse", kind="feeder", within="", load_va=load_va, import_va=import_va, export_va=export_va,
        headroom_w=0, unmetered_w=0, metered=False, fresh=False, uses=(("home-1", 700), ("solar-1", -20)),
    )  # fmt: skip
    site.state.view = region_view(ratings=(rating,))
    shown, _, _ = await read(site)
    told = row(shown, "ratings", "fuse")
    assert told["Worst phase of limit"] == text
    assert (told["Used by"], told["Known by"]) == ("home-1 700 W, solar-1 -20 W", "summed up, not fresh")


async def test_rows_are_toned_and_names_escaped(site: Site) -> None:
    dark = TreeView(
        name="</script><script>alert(2)</script>", bus="main", output_w=0, safe_w=0, load_w=9, over_assigned_w=9,
        members=(), blackout=True, fresh=True,
    )  # fmt: skip
    site.state.view = region_view(
        devices=(device("<script>alert(1)</script>", "consumer", state="starved"),), trees=(dark,), site="a<b"
    )
    shown, text, _ = await read(site)
    assert "<script>alert" not in text
    assert "<title>a&lt;b</title>" in text
    assert shown.tones["devices"][1:] == ["bad"]
    assert row(shown, "devices", "<script>alert(1)</script>")["State"] == "starved"
    assert row(shown, "trees", dark.name)["Load of safe load"] == "9 W of 0 W (over)"


async def test_a_population_has_a_section_of_its_own(site: Site) -> None:
    _, text, _ = await read(site)
    assert "#population" not in text.partition('<template id="population-template">')[0], "there is none"
    site.state.view = region_view(populations=(population("town"), population("isle", starved=(0,) * 8)))
    shown, text, _ = await read(site)
    assert text.index('<a href="#ladder">') < text.index('<a href="#population-town">Population town</a>')
    assert text.index('<section id="ladder"') < text.index('<section id="population-town"')
    assert text.index('<section id="population-isle"') < text.index('<section id="ratings"')
    told = text[text.index('<section id="population-town"') : text.index('<section id="population-isle"')]
    town = Shown()
    town.feed(told)
    assert town.entries == {
        "Wanted": "2 MW",
        "Served": "1.95 MW (97.50 %)",
        "Not served": "50 kW",
        "Starved": "37",
        "Shed on request": "12 kW",
        "Generation": "3 MW",
        "Borne safely": "2.7 MW",
        "Consumers, each feed counted": "1,240, simulated, compiled",
        "Refused reports": "unknown-slot 2, clamped 1,005",
        "Margin": "test-margin 10 %",
    }
    assert town.rows["classes"][1] == ["0 (protected)", "20", "0", "0 W"]
    assert town.rows["fullest_feeders"][1] == ["feeder-1", "990 kW of 1 MW (99 %)"]
    assert town.rows["score"][1] == ["served over bound", "99.995 %"]
    assert re.findall(r'height="(\d+)" data-tone="(\w*)"', told) == [
        ("500", ""), ("977", ""), ("1200", "out"), ("1001", "bad"),
    ]  # fmt: skip
    assert "4 trees, 3 in service; the fullest, 3, carries 901 kW of 900 kW" in told
    assert [cells[0] for cells in shown.rows["trees"]] == ["Tree"], "in the population's own section"


async def test_nothing_foreign(site: Site) -> None:
    shown, text, policy = await read(site)
    assert shown.inline == []
    own = [load for load in shown.loads if load.startswith("/static/")]
    assert len(own) == 5
    assert {load for load in shown.loads if load not in own and not load.startswith("#")} == {"/api/v1/openapi.json"}
    assert "http://" not in text and "https://" not in text
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and "nonce" not in policy and "data:" not in policy


async def test_static_files_are_typed_and_asked_for_again_only_when_changed(site: Site) -> None:
    names = [path.name for path in (CODE / "web" / "static").iterdir()]
    assert {"main.js", "page.css", "icon.svg"} <= set(names)
    for name in names:
        url = f"{site.url}/static/{name}"
        async with site.http.get(url) as answer:
            assert answer.status == 200
            kind = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[name.rpartition(".")[2]]
            assert answer.content_type == kind
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            text, tag = await answer.text(), answer.headers["ETag"]
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text, "text of a device must never be HTML"
        for path in re.findall(r'from "\./([^"]+)"', text):
            assert path in names
        async with site.http.get(url, headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with site.http.get(url, headers={"If-None-Match": '"other"'}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("name", ["page.py", "nothing.js", "%2e%2e%2fpage.html", "..%5cpage.html"])
async def test_nothing_else_is_served(site: Site, name: str) -> None:
    async with site.http.get(aiohttp.client.URL(f"{site.url}/static/{name}", encoded=True)) as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"


async def test_every_key_of_the_page_is_in_the_api(site: Site) -> None:
    region = await site.json("/api/v1/region")
    shown, _, _ = await read(site)
    layout = json.loads(shown.layout)
    assert {entry["key"] for entry in layout["entries"]} <= region.keys()
    freshness = (await site.json("/api/v1/freshness"))["freshness"]
    for table in layout["tables"]:
        answer = await site.json(f"/api/v1/{table['list']}")
        fields = set(answer[table["list"]][0]) if answer[table["list"]] else set()
        if table["list"] == "devices":
            fields |= freshness[0].keys()
        if fields:
            assert {column["key"] for column in table["columns"]} <= fields, table["name"]


async def test_before_the_first_step(site: Site) -> None:
    site.state.view = None
    shown, text, _ = await read(site)
    assert "Starting: the first step is not done yet." in text
    assert set(shown.entries.values()) == {"–"}
    assert [len(rows) for rows in shown.rows.values()] == [1] * len((*TABLES, *FLEX_TABLES))
    assert len(shown.captions) == len((*TABLES, *FLEX_TABLES))


def test_every_rung_that_the_core_names_has_words() -> None:
    named = set()
    for room in ("tracker", "control"):
        for path in (CODE / room).glob("*.py"):
            text = path.read_text()
            named |= set(re.findall(r'(?:decided\((?:self\.)?memory, tick, |Decision\(|rung = )"([a-z-]+)"', text))
            for call in ("limit_generator", "set_generator", "switch_generator", "set_storage", "ask_shed",
                         "release_shed", "relax_limit", "starve", "feed", "seek_offers", "end_offer"):  # fmt: skip
                named |= set(re.findall(rf'steering\.{call}\(\s*"([a-z-]+)"', text))
    escalation = (CODE / "tracker" / "population" / "escalation.py").read_text()
    rungs = re.findall(r'^    [A-Z_]+ = "([a-z-]+)"$', escalation, re.MULTILINE)
    assert len(rungs) > 10
    named |= set(rungs)
    told = (CODE / "tracker" / "population" / "population.py").read_text()
    named |= set(re.findall(r'decisions\.append\(\("([a-z -]+)"', told))
    assert {"balanced", "starve", "sleep", "shed-expired", "released", "feed"} <= named
    assert named == RUNGS.keys()
    assert {name for group in LADDER for name in group.names} <= RUNGS.keys()
