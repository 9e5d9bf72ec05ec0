"""The generated reference is fresh, complete, and what it teaches works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scowl_edge.assembly import assemble, load, reference
from scowl_edge.assembly.findings import warnings
from scowl_edge.assembly.keys import Key, keys
from scowl_edge.assembly.kinds import Wrong
from scowl_edge.assembly.schema import Configuration
from scowl_edge.assembly.section import Section
from scowl_edge.config import parse

ROOT = Path(__file__).resolve().parents[3]


def test_documents_are_not_stale() -> None:
    assert reference.main(["--check"]) == 0


def test_check_notices_a_stale_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "configuration.md"
    stale.write_text("old")
    monkeypatch.setattr(reference, "DOCUMENT", stale)
    monkeypatch.setattr(reference, "_ROOT", tmp_path)
    monkeypatch.setattr(reference, "SCHEMA", tmp_path / "schema.json")
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0


def _every_key() -> list[tuple[type[Section], Key]]:
    found: list[tuple[type[Section], Key]] = []
    pending: list[type[Section]] = [Configuration]
    seen: set[type[Section]] = set()
    while pending:
        section = pending.pop()
        if section in seen:
            continue
        seen.add(section)
        for key in keys(section):
            found.append((section, key))
            pending += [*([key.section] if key.section is not None else []), *key.variants]
    return found


@pytest.mark.parametrize(
    ("section", "key"), _every_key(), ids=lambda part: getattr(part, "__name__", None) or part.name
)
def test_every_key_is_documented_with_a_valid_example_and_default(section: type[Section], key: Key) -> None:
    text = reference.DOCUMENT.read_text(encoding="utf-8")
    assert f"| `{key.name}` |" in text
    assert key.description
    assert key.example
    assert key.required or key.default
    if key.kind is None:
        return
    for written in (key.example, *([key.default] if key.fixed_default else [])):
        value = parse(f"v: {written}", "example").get(("v",))
        try:
            key.kind.accept(value)
        except Wrong as wrong:
            pytest.fail(f"{section.__name__}.{key.name}: {written!r} {wrong.what}")


def _worked(site: str) -> str:
    text = reference.DOCUMENT.read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if f"{{id: {site}}}" in block]
    return block


def test_worked_example_of_the_document_checks_clean() -> None:
    assembly = assemble(_worked("worked-example"), "worked.yaml")
    assert [str(warning) for warning in warnings(assembly)] == []
    power, _, compressor, limit, lost = assembly.points[:5]
    assert (power.unit, compressor.type, limit.unit, lost.unit) == ("W", "bits", "fraction", "s")


def test_worked_example_of_opc_ua_says_what_the_document_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assembly = assemble(_worked("worked-example-opcua"), "worked.yaml")
    trust, shed, failsafe = (warning.what for warning in warnings(assembly))
    assert "no server's certificate is trusted in scowl-edge-pki/trusted yet" in trust
    assert "takes sheds without a `shed_expiry`" in shed
    assert "its time-out is written nowhere" in failsafe
    (hall,) = assembly.site.consumers
    assert hall.do_limit >= 0 and hall.do_shed >= 0
    assert assembly.points[assembly.actuators[hall.do_shed].point].name == "shed"
    assert assembly.points[assembly.signals[hall.shed_granted].point].name == "granted"


@pytest.mark.parametrize("part", ["links", "http", "points", "devices"])
def test_pieces_of_configuration_in_the_document_are_right(part: str) -> None:
    """Each short piece, put where it belongs."""
    text = reference.DOCUMENT.read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if block.startswith(f"{part}:")]
    assert blocks
    for block in blocks:
        site = "site: {id: s}\n"
        if part == "points":
            link = '{type: opcua, endpoint: "opc.tcp://h"}' if "node:" in block else "{type: modbus-tcp, host: h}"
            indented = "".join(f"    {line}\n" for line in block.splitlines())
            site += f"links: {{l: {link}}}\ndevices:\n  d:\n    link: l\n{indented}"
        if part == "devices":
            links = ", ".join(f"{name}: {{type: modbus-rtu, device: /dev/{name}}}" for name in _named("link", block))
            ratings = ", ".join(f"{name}: {{kind: feeder, limit: 40 kVA}}" for name in _named("on", block))
            site += f"links: {{{links}}}\nratings: {{{ratings}}}\n"
        assemble(site if part == "points" else site + block, "piece.yaml")


def _named(key: str, block: str) -> list[str]:
    """Names that stand behind a key somewhere in a piece."""
    return sorted(set(re.findall(rf"\b{key}: ([\w-]+)", block)))


def test_snippets_of_the_document_are_valid_yaml() -> None:
    text = reference.DOCUMENT.read_text(encoding="utf-8")
    for block in re.findall(r"```yaml\n(.*?)```", text, re.S):
        assert parse(block, "snippet").faults == ()


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
def test_byte_orders_of_the_document(order: str) -> None:
    text = reference.DOCUMENT.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| `{order}` | `"))
    value = bytes.fromhex("11223344")
    wire = " ".join(f"{value['ABCD'.index(letter)]:02X}" for letter in order)
    assert row.split("|")[2].strip() == f"`{wire}`"


def _examples() -> list[Path]:
    return sorted((ROOT / "examples").glob("*.yaml"))


def test_there_are_examples() -> None:
    assert ROOT / "examples" / "one-meter.yaml" in _examples()


@pytest.mark.parametrize("example", _examples(), ids=lambda path: path.name)
def test_examples_check_clean(example: Path) -> None:
    assembly = load(example)
    assert assembly.points or assembly.flex is not None


def _accepts(schema: dict[str, object], value: object) -> bool:
    """Just enough of JSON Schema to hold the examples against it."""
    if "anyOf" in schema:
        return any(_accepts(part, value) for part in schema["anyOf"])  # type: ignore[attr-defined]
    if "enum" in schema and value not in schema["enum"]:  # type: ignore[operator]
        return False
    kind = schema.get("type")
    if kind == "object":
        if not isinstance(value, dict) or any(name not in value for name in schema.get("required", ())):  # type: ignore[attr-defined]
            return False
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties", {})
        for name, part in value.items():
            below = properties.get(name, rest)  # type: ignore[attr-defined]
            if below is False or not _accepts(below or {}, part):
                return False
        return True
    if kind == "string":
        return isinstance(value, str) and re.search(str(schema.get("pattern", "")), value) is not None
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "array":
        return isinstance(value, list)
    return True


@pytest.mark.parametrize("example", _examples(), ids=lambda path: path.name)
def test_examples_fit_the_json_schema(example: Path) -> None:
    schema = json.loads(reference.SCHEMA.read_text(encoding="utf-8"))
    data = parse(example.read_text(encoding="utf-8"), example.name).data
    assert _accepts(schema, data)
    assert not _accepts(schema, {**data, "devics": {}})
    assert not _accepts(schema, {**data, "journal": {"keep": 30}})
