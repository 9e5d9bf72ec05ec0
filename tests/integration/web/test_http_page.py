"""`/` without a script: what the server fills in, and that nothing foreign can run or load."""

from __future__ import annotations

import re
import socket
from html.parser import HTMLParser

import pytest

from scowl_edge.web import ListenError, create_app, listen
from tests.integration.web.cabinet import Site, device, region_view


class Tables(HTMLParser):
    """Cells of the page by table, and every attribute that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.balance: dict[str, str] = {}
        self.loads: list[str] = []
        self._table = ""
        self._into: str | None = None
        self._entry = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [f"{tag} {key}={value}" for key, value in attrs if key in ("src", "href") and value != "data:,"]
        self.loads += [f"{tag} {key}" for key in given if key.startswith("on") or key == "style"]
        if tag == "table":
            self._table = given["data-list"] or ""
            self.rows[self._table] = []
        elif tag == "tr":
            self.rows[self._table].append([])
        elif tag in ("td", "th"):
            self.rows[self._table][-1].append("")
            self._into = "cell"
        elif tag in ("dt", "dd"):
            self._into = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "dt", "dd"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into == "cell":
            self.rows[self._table][-1][-1] += data
        elif self._into == "dt":
            self._entry = data
        elif self._into == "dd":
            self.balance[self._entry] = data


async def read(site: Site) -> tuple[Tables, str, str]:
    async with site.http.get(site.url + "/") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        text = await answer.text()
        tables = Tables()
        tables.feed(text)
        return tables, text, answer.headers["Content-Security-Policy"]


async def test_first_state_is_readable_without_a_script(site: Site) -> None:
    tables, _, _ = await read(site)
    assert tables.balance["Mode"] == "auto"
    assert tables.balance["Ladder"] == "shed"
    assert tables.balance["Generation"] == "1.25 MW"
    assert tables.balance["Grid, + import"] == "–"
    assert tables.balance["Time"] == "2026-03-01 12:00:00 UTC"
    assert [row[2] for row in tables.rows["alarms"]] == ["Alarm", "device-down:<b>&", "stale:hall-a"]
    assert tables.rows["trees"][1][:5] == ["wind-1", "main", "18 kW", "1.125 MW", "1.25 MW"]
    wind, hall = tables.rows["devices"][1:]
    assert wind == [
        "wind-1",
        "generator",
        "yes",
        "curtailed",
        "auto",
        "-1.25 MW",
        "wind-1",
        "test-unknown-code grid 5",
        "limit 1.25 MW: holding",
    ]
    assert hall[2:6] == ["not tried yet", "served", "manual", "–"]
    assert tables.rows["ratings"][1][3] == "1000, -2000, 3000"
    assert tables.rows["decisions"][1][4] == "test-short 2000"


async def test_rows_are_toned_and_names_escaped(site: Site) -> None:
    site.state.view = region_view(
        devices=(device("<script>alert(1)</script>", "consumer", state="starved"),), site="a<b"
    )
    _, text, _ = await read(site)
    assert "<script>alert" not in text
    assert "<title>a&lt;b</title>" in text
    assert re.search(r'<tr data-tone="bad"><th scope=row data-kind="text">&lt;script&gt;alert', text)


async def test_nothing_foreign(site: Site) -> None:
    tables, text, policy = await read(site)
    assert tables.loads == []
    assert "url(" not in text and "@import" not in text and "http://" not in text and "https://" not in text
    assert "default-src 'none'" in policy and "unsafe" not in policy
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
    assert nonce is not None
    assert re.findall(r"<(?:script|style)[^>]*>", text) == [
        f'<style nonce="{nonce[1]}">',
        f'<script nonce="{nonce[1]}">',
    ]
    _, _, again = await read(site)
    assert again != policy


async def test_every_key_of_the_page_is_in_the_api(site: Site) -> None:
    _, text, _ = await read(site)
    region = await site.json("/api/v1/region")
    balance = text[text.index('<dl id="balance">') : text.index("</dl>")]
    assert set(re.findall(r'data-key="(\w+)"', balance)) <= region.keys()
    for name, head in re.findall(r'<table data-list="(\w+)".*?<thead>(.*?)</thead>', text):
        rows = (await site.json(f"/api/v1/{name}"))[name]
        assert set(re.findall(r'data-key="(\w+)"', head)) <= rows[0].keys()


async def test_before_the_first_step(site: Site) -> None:
    site.state.view = None
    tables, text, _ = await read(site)
    assert "Starting: the first step is not done yet." in text
    assert set(tables.balance.values()) == {"–"}
    assert [len(rows) for rows in tables.rows.values()] == [1] * 5


async def test_a_taken_port_is_told(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}: .*another program uses it"):
            await listen(create_app(site.state, site.metrics), "127.0.0.1", port)
