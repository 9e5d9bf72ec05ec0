"""Grafana's own types of dashboards and panels as JSON Schema, and what is wrong with a dashboard by them.

`python -m tests.integration.monitoring.grafana_schema` writes grafana_schema.json anew from the npm package
@grafana/schema (Apache-2.0), by ts-json-schema-generator. Descriptions are left out.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

FILE = Path(__file__).with_suffix(".json")
VERSIONS = ("11.6.16", "13.2.3")
"""The builders' version, and the newest."""
PANELS = ("bargauge", "stat", "statetimeline", "table", "timeseries")
TOOLS = ("ts-json-schema-generator@2", "typescript@5")
NOTICE = "Made from the types of @grafana/schema, Copyright Grafana Labs, Apache License 2.0; see grafana_schema.py"

Schema = dict[str, Any]


@cache
def schemas() -> dict[str, dict[str, Schema]]:
    """Version -> `Dashboard`, `Panel`, `RowPanel`, and `KIND.Options` and `KIND.FieldConfig` of each kind of panel."""
    return dict(json.loads(FILE.read_text())["versions"])


def faults(board: dict[str, Any], version: str) -> Iterator[str]:
    """Every place at which a dashboard is not as that version of Grafana declares it."""
    known = schemas()[version]
    panels = board["panels"]
    yield from _against(known["Dashboard"], {**board, "panels": []}, "dashboard")
    for panel in panels:
        what = f"panel {panel['title']}"
        yield from _against(known["RowPanel" if panel["type"] == "row" else "Panel"], panel, what)
        if panel["type"] == "row":
            continue
        kind = panel["type"].replace("-", "")
        yield from _against(known[f"{kind}.Options"], panel["options"], f"{what}, options")
        if (fields := known.get(f"{kind}.FieldConfig")) is not None:
            yield from _against(fields, panel["fieldConfig"]["defaults"].get("custom", {}), f"{what}, custom")
        elif panel["fieldConfig"]["defaults"].get("custom"):
            yield f"{what}: its kind has no custom fields"


def _against(schema: Schema, value: object, what: str) -> Iterator[str]:
    for error in jsonschema.Draft7Validator(schema).iter_errors(value):
        yield f"{what} {error.json_path}: {error.message[:200]}"


def generate() -> None:
    """Writes the file; needs npm."""
    from tests.node_peer import node_modules, node_program

    versions: dict[str, dict[str, Schema]] = {}
    for version in VERSIONS:
        modules = node_modules(f"@grafana/schema@{version}", *TOOLS)
        folders = (modules / "@grafana" / "schema" / "dist" / name / "raw" for name in ("types", "esm"))
        raw = next(folder for folder in folders if folder.exists())

        def made(types: Path, name: str, modules: Path = modules) -> Schema:
            generator = modules / "ts-json-schema-generator" / "bin" / "ts-json-schema-generator.js"
            command = [node_program(), generator, "--path", types, "--type", name, "--no-type-check"]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
            return dict(_bare(json.loads(done.stdout)))

        (board,) = (raw / "dashboard" / "x").glob("*types.gen.d.ts")
        found = versions[version] = {name: made(board, name) for name in ("Dashboard", "Panel", "RowPanel")}
        for kind in PANELS:
            (types,) = (raw / "composable" / kind / "panelcfg" / "x").glob("*types.gen.d.ts")
            for name in ("Options", "FieldConfig"):
                if f"interface {name} " in types.read_text() or f"type {name} " in types.read_text():
                    # Grafana merges a file over its defaults: what is absent is no fault.
                    found[f"{kind}.{name}"] = _optional(made(types, name))
    FILE.write_text(json.dumps({"notice": NOTICE, "versions": versions}, sort_keys=True, separators=(",", ":")) + "\n")


def _bare(schema: Any) -> Any:
    """Without descriptions."""
    if isinstance(schema, dict):
        return {k: _bare(v) for k, v in schema.items() if not (k == "description" and isinstance(v, str))}
    return [_bare(item) for item in schema] if isinstance(schema, list) else schema


def _optional(schema: Any) -> Any:
    """Without required keys."""
    if isinstance(schema, dict):
        return {k: _optional(v) for k, v in schema.items() if not (k == "required" and isinstance(v, list))}
    return [_optional(item) for item in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    generate()
