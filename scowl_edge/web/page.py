"""`/`: the operator's page, filled in once here, then kept up to date by the scripts under `/static`.

Both say the same from the same declarations (`tables`, `words`), so the first state can be read without a script.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from importlib.resources import files
from string import Template
from typing import Any

import orjson
from aiohttp import web

from scowl_edge.model.view import RegionView
from scowl_edge.web import flex_page, flexibility, populations, present, words
from scowl_edge.web.live import LiveFeed
from scowl_edge.web.markup import table_inside, terms
from scowl_edge.web.population_page import sections, title_of
from scowl_edge.web.problem import Refused
from scowl_edge.web.published import Published
from scowl_edge.web.tables import (
    BALANCE,
    LADDER,
    TABLES,
    VITALS,
    Table,
    layout,
    rows_of,
    with_freshness,
)
from scowl_edge.web.wire import FreshnessOut

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing comes from elsewhere, and nothing that stands in the page itself runs."""

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    content_type: str
    etag: str


class Page:
    """Serves the page with its first state filled in, and what it is made of."""

    def __init__(self, published: Published, feed: LiveFeed, *, reading_is_open: bool = True) -> None:
        """Where reading needs a token (`reading_is_open` false) the page holds no data, only the way to ask for it."""
        self._published = published
        self._reading_is_open = reading_is_open
        self._age, self._freshness = feed.age, feed.freshness
        package = files("scowl_edge.web")
        self._template = Template(package.joinpath("page.html").read_text(encoding="utf-8"))
        self._layout = _for_script(layout())
        self._assets: dict[str, _Asset] = {}
        for file in package.joinpath("static").iterdir():
            kind = file.name.rpartition(".")[2]
            if kind in _TYPES:
                body = file.read_bytes()
                self._assets[file.name] = _Asset(body, _TYPES[kind], hashlib.sha256(body).hexdigest()[:32])

    async def serve(self, request: web.Request) -> web.Response:
        """The page."""
        view = self._published.region() if self._reading_is_open else None
        status = "As of the last step." if view is not None else "Starting: the first step is not done yet."
        if not self._reading_is_open:
            status = "Reading needs a token: sign in."
        site = escape(view.site if view is not None else "scowl-edge")
        data = {}
        if view is not None:
            data = state_of(view, self._age.oldest_s(), self._freshness.now(), self._published.flex_unsent)
        body = []
        for part in _body(data):
            body.append(part)
            # A page of many devices must not hold up a step.
            await asyncio.sleep(0)
        text = self._template.substitute(
            site=site,
            tone="" if view is not None else "warn",
            status=status,
            vitals=terms(VITALS, data.get("region"), name="vitals"),
            links="".join(f'<li><a href="#{escape(name)}">{escape(title)}</a></li>' for name, title in _sections(data)),
            body="".join(body),
            layout=self._layout,
        )
        return web.Response(
            text=text, content_type="text/html", charset="utf-8", headers={"Content-Security-Policy": _POLICY}
        )

    async def serve_static(self, request: web.Request) -> web.Response:
        """A script, a style sheet or the icon, with an ETag. Raises Refused (404)."""
        name = request.match_info["name"]
        asset = self._assets.get(name)
        if asset is None:
            raise Refused(HTTPStatus.NOT_FOUND, "not-found", "Not Found", f"There is no /static/{name}.")
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'none'; sandbox"}
        known = request.if_none_match or ()
        if any(tag.value in (asset.etag, "*") for tag in known):
            response = web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        else:
            response = web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers)
        response.etag = asset.etag
        return response


def _for_script(value: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    return orjson.dumps(value).decode().replace("<", "\\u003c")


_BEFORE_LADDER = "trees"
"""The table after which the ladder stands."""


def _sections(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, title) in the order of the page."""
    for table in TABLES:
        yield table.name, table.title
        if table.name == _BEFORE_LADDER:
            yield "ladder", "Ladder"
            for population in data.get("populations", ()):
                yield f"population-{population['name']}", title_of(population["name"])
            if data.get("flex") is not None:
                yield "flex", flex_page.TITLE


def state_of(
    view: RegionView, oldest_data_s: float | None, freshness: list[FreshnessOut], unsent: int = 0
) -> dict[str, Any]:
    """What the API would send: the page's cells are made from the same keys as its scripts'."""
    loaded: dict[str, Any] = orjson.loads(
        orjson.dumps(
            {
                "region": present.region(view, oldest_data_s),
                "alarms": [present.alarm(alarm) for alarm in present.worst_first(view.alarms)],
                "trees": [present.tree(tree) for tree in view.trees],
                "devices": [present.device(device) for device in view.devices],
                "freshness": freshness,
                "ratings": [present.rating(rating) for rating in view.ratings],
                "decisions": [present.decision(decision) for decision in view.decisions],
                "events": [present.event(event) for event in view.events],
                "populations": [populations.population(each) for each in view.populations],
                "flex": flexibility.summary_or_none(view, unsent),
            }
        )
    )
    loaded["devices"] = with_freshness(loaded["devices"], loaded.pop("freshness"))
    return loaded


def _body(data: dict[str, Any]) -> Iterator[str]:
    for table in TABLES:
        yield from _table(table, data)
        if table.name == _BEFORE_LADDER:
            yield _ladder(data.get("region"))
            yield from sections(data.get("populations", []))
            yield flex_page.section(data.get("flex"))


def _ladder(region: dict[str, Any] | None) -> str:
    groups = []
    for group in LADDER:
        rungs = "".join(
            f'<li data-rung="{name}"{_current(region, name)}>{escape(words.RUNGS[name])}</li>' for name in group.names
        )
        groups.append(f"<div><h3>{escape(group.title)}</h3><ol>{rungs}</ol></div>")
    return (
        '<section id="ladder" aria-labelledby="ladder-title"><h2 id="ladder-title" tabindex="-1">Ladder</h2>'
        f'<div class="ladder">{"".join(groups)}</div>{terms(BALANCE, region, name="balance")}</section>\n'
    )


def _current(region: dict[str, Any] | None, name: str) -> str:
    return ' aria-current="step"' if region is not None and region["rung"] == name else ""


def _table(table: Table, data: dict[str, Any]) -> Iterator[str]:
    yield (
        f'<section id="{table.name}" aria-labelledby="{table.name}-title">'
        f'<h2 id="{table.name}-title" tabindex="-1">{escape(table.title)}</h2>'
    )
    yield from table_inside(table, rows_of(table, data), f"{table.name}-title")
    yield "</section>\n"
