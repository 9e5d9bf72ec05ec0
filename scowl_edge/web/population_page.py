"""A population on the page: a section each, filled in once here, then kept up to date by `static/populations.js`."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from scowl_edge.web.markup import table_inside, terms
from scowl_edge.web.tables import POPULATION, POPULATION_TABLES, POPULATION_TREES

BAR_TOP = 1_200
"""Per mille of the safe load at which a bar of the strip ends; a line marks 1,000."""


def title_of(name: str) -> str:
    """The heading of a population."""
    return f"Population {name}"


def sections(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A section each; and an empty one, of which the scripts make more."""
    yield '<div id="populations">'
    for row in rows:
        yield _section(row)
    yield f'</div><template id="population-template">{_section(None)}</template>\n'


def _section(row: dict[str, Any] | None) -> str:
    name = escape(row["name"]) if row is not None else ""
    title = escape(title_of(row["name"])) if row is not None else ""
    inside = []
    for table in POPULATION_TABLES:
        rows = row[table.list_name] if row is not None else []
        held = "".join(table_inside(table, rows, f"population-{name}-{table.name}-title"))
        inside.append(
            f'<div data-list="{table.name}">'
            f'<h3 id="population-{name}-{table.name}-title" tabindex="-1">{escape(table.title)}</h3>{held}</div>'
        )
    trees = "".join(table_inside(POPULATION_TREES, [], f"population-{name}-trees-title"))
    return (
        f'<section id="population-{name}" class="population" data-population="{name}" '
        f'aria-labelledby="population-{name}-title">'
        f'<h2 id="population-{name}-title" tabindex="-1">{title}</h2>'
        f"{terms(POPULATION, row, kind='figures')}"
        f"<figure><h3>Load of safe load, tree by tree</h3>{_strip(row)}"
        f"<figcaption>{escape(row['trees_text']) if row is not None else ''}</figcaption></figure>"
        f'<div class="beside">{"".join(inside)}</div>'
        f'<details class="needs-script"><summary id="population-{name}-trees-title">{escape(POPULATION_TREES.title)}'
        f'</summary><p class="fault" role="status"></p>{trees}</details></section>\n'
    )


def _strip(row: dict[str, Any] | None) -> str:
    """A bar for each tree, side by side; what it shows stands below it in words."""
    loads = row["load_permille"] if row is not None else []
    bars = "".join(_bar(n, load) for n, load in enumerate(loads))
    wide = 4 * len(loads)
    return (
        f'<svg class="strip" aria-hidden="true" viewBox="0 0 {wide} {BAR_TOP}" preserveAspectRatio="none">{bars}'
        f'<line x1="0" x2="{wide}" y1="200" y2="200"></line></svg>'
    )


def _bar(n: int, load_permille: int | None) -> str:
    if load_permille is None:
        return f'<rect x="{4 * n}" width="3" y="0" height="{BAR_TOP}" data-tone="out"></rect>'
    height = min(load_permille, BAR_TOP)
    tone = "bad" if load_permille > 1_000 else ""
    return f'<rect x="{4 * n}" width="3" y="{BAR_TOP - height}" height="{height}" data-tone="{tone}"></rect>'
