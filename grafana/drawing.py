"""From what a board says to Grafana's JSON, by Grafana's own builders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as dash
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.panel import Board, Panel, Steps, Variable

WIDTH = 24
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_CHOICES = (
    Variable(name="site", label="Site", metric="scowl_site_info", of="site"),
    Variable(name="instance", label="Instance", metric='scowl_site_info{site="$site"}', of="instance"),
)


def as_json(board: Board) -> str:
    """The text of the file."""
    drawing = (
        dash.Dashboard(board.title)
        .uid(board.uid)
        .description(board.what)
        .tags(["scowl-edge"])
        .refresh("5s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dash.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(
            dash.DashboardLink("scowl-edge")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["scowl-edge"])
            .keep_time(True)
            .include_vars(True)
        )
    )
    for variable in (*_CHOICES, *board.variables):
        drawing.with_variable(_choice(variable))
    number, top = 1, 0
    for row in board.rows:
        drawing.with_row(dash.Row(row.title).id(number).grid_pos(model.GridPos(x=0, y=top, w=WIDTH, h=1)))
        number, top = number + 1, top + 1
        left = below = 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                left, top, below = 0, top + below, 0
            place = model.GridPos(x=left, y=top, w=panel.width, h=panel.height)
            drawing.with_panel(_panel(panel).id(number).grid_pos(place))
            number, left, below = number + 1, left + panel.width, max(below, panel.height)
        top += below
    return json.dumps(_as_published(json.loads(JSONEncoder().encode(drawing.build()))), sort_keys=True, indent=2) + "\n"


def _as_published(document: dict[str, Any]) -> dict[str, Any]:
    """Without what the builders write and Grafana's published types do not know."""
    for variable in document["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min"):
            variable.pop(key, None)
    for panel in document["panels"]:
        if panel["type"] == "table":
            # Known to 11.6, gone in 13.
            panel["options"].pop("footer", None)
    return document


def _choice(variable: Variable) -> dash.QueryVariable:
    drawn = (
        dash.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(SOURCE)
        .query(f"label_values({variable.metric}, {variable.of})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
    )
    return drawn.multi(True).include_all(True).all_value(".*") if variable.several else drawn


def _panel(panel: Panel) -> Any:
    """A builder of the panel's form; the builders of the forms share their methods, not a type."""
    drawn: Any = {
        "stat": _stat, "lines": _lines, "stack": _stack, "states": _states, "bars": _bars, "table": _table,
    }[panel.form](panel)  # fmt: skip
    drawn.title(panel.title).description(panel.what).datasource(SOURCE).unit(panel.unit)
    drawn.thresholds(_thresholds(panel.steps))
    if panel.low is not None:
        drawn.min(panel.low)
    if panel.high is not None:
        drawn.max(panel.high)
    if panel.decimals is not None:
        drawn.decimals(panel.decimals)
    if panel.words:
        options = {
            str(value): model.ValueMappingResult(text=text, color=colour, index=place)
            for place, (value, text, colour) in enumerate(panel.words)
        }
        drawn.mappings([model.ValueMap(options=options)])
    now = panel.form in ("stat", "bars", "table")
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.promql).datasource(SOURCE)
        target = target.instant() if now else target.range()
        if panel.form == "table":
            target = target.format(PromQueryFormat.TABLE)
        else:
            target = target.legend_format(query.legend)
        drawn.with_target(target)
    return drawn


def _thresholds(steps: Steps) -> dash.ThresholdsConfig:
    return dash.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(
        [model.Threshold(value=value, color=colour) for value, colour in steps]
    )  # fmt: skip


def _stat(panel: Panel) -> stat.Panel:
    drawn = (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .color_mode(kinds.BigValueColorMode.BACKGROUND)
        .no_value("none")
    )
    if panel.by_name:
        drawn.text_mode(kinds.BigValueTextMode.NAME)
    return drawn


def _legend(calcs: Sequence[str]) -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(kinds.LegendDisplayMode.TABLE)
        .placement(kinds.LegendPlacement.RIGHT)
        .calcs(list(calcs))
    )


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)


def _lines(panel: Panel) -> timeseries.Panel:
    drawn = (
        timeseries.Panel()
        .legend(_legend(["lastNotNull", "max"]))
        .tooltip(_tooltip())
        .line_width(1)
        .fill_opacity(0)
        .show_points(kinds.VisibilityMode.NEVER)
    )
    if len(panel.steps) > 1:
        drawn.thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))
    if panel.dashed:
        style = {"fill": "dash", "dash": [8, 6]}
        drawn.override_by_regexp(panel.dashed, [model.DynamicConfigValue(id_val="custom.lineStyle", value=style)])
    return drawn


def _stack(panel: Panel) -> timeseries.Panel:
    return _lines(panel).fill_opacity(50).stacking(
        common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A")
    )  # fmt: skip


def _states(panel: Panel) -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .show_value(kinds.VisibilityMode.NEVER)
        .merge_values(True)
        .row_height(0.9)
        .fill_opacity(80)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(kinds.LegendDisplayMode.LIST)
                .placement(kinds.LegendPlacement.BOTTOM).calcs([]))
        .tooltip(_tooltip())
    )  # fmt: skip


def _bars(panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
    )


def _table(panel: Panel) -> table.Panel:
    """Instant queries side by side: joined by the key, each value under its own head."""
    heads = {f"Value #{letter}": q.legend for letter, q in zip(ascii_uppercase, panel.queries, strict=False)}
    if len(panel.queries) == 1:
        heads = {"Value": panel.queries[0].legend, **heads}
    left_out = dict.fromkeys(("Time", "__name__", "job", "instance", *panel.hidden), True)
    left_out |= {column: True for column, head in heads.items() if not head}
    if len(panel.queries) > 1:
        # What is joined has its other labels numbered.
        left_out |= {
            f"{name} {n}": True for name in ("Time", "__name__", "job", "instance", *panel.hidden)
            for n in range(1, len(panel.queries) + 1)
        }  # fmt: skip
        joined = [model.DataTransformerConfig(id_val="joinByField", options={"byField": panel.key, "mode": "outer"})]
    else:
        joined = []
    named = {column: head for column, head in heads.items() if head}
    organised = model.DataTransformerConfig(
        id_val="organize", options={"excludeByName": left_out, "renameByName": named, "indexByName": {}}
    )
    drawn = table.Panel().show_header(True).transformations([*joined, organised])
    for column, unit in panel.units:
        drawn.override_by_name(column, [model.DynamicConfigValue(id_val="unit", value=unit)])
    return drawn
