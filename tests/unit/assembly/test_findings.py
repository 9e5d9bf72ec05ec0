"""Warnings, cost, and the text of `check`."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scowl_edge.assembly import assemble
from scowl_edge.assembly.cost import cost_lines, reaction_line, reaction_ms
from scowl_edge.assembly.findings import warnings
from scowl_edge.cli.check import check

HEAD = "site: {id: s}\nlinks: {plc: {type: modbus-tcp, host: h, timeout: 500 ms}}\n"


def texts(text: str) -> list[str]:
    return [f"{fault.line}: {fault.what}" for fault in warnings(assemble(text, "f"))]


@pytest.mark.parametrize(
    ("table", "address", "meant"), [("holding", 40101, 100), ("input", 30001, 0), ("discrete", 10011, 10)]
)
def test_addresses_that_number_all_tables_in_a_row(table: str, address: int, meant: int) -> None:
    text = HEAD + f"devices: {{d: {{link: plc, points: {{p: {{table: {table}, address: {address}}}}}}}}}\n"
    (warning,) = texts(text)
    assert f"protocol address {address}," in warning
    assert f"protocol address {meant}" in warning


def test_one_small_address_settles_the_doubt() -> None:
    text = HEAD + "devices: {d: {link: plc, points: {p: {address: 40101}, q: {address: 7}}}}\n"
    assert texts(text) == []


def test_wide_values_at_odd_addresses() -> None:
    points = "a: {address: 1, type: int32}, b: {address: 3, type: int32}, c: {address: 5, type: float32}"
    (warning,) = texts(HEAD + f"devices: {{d: {{link: plc, points: {{{points}}}}}}}\n")
    assert "a is protocol address 1" in warning and "means protocol address 0" in warning
    assert texts(HEAD + f"devices: {{d: {{link: plc, points: {{{points.replace('5', '6')}}}}}}}\n") == []


CHARGER = (
    HEAD
    + """ratings: {garage: {kind: feeder, limit: 32 A}}
devices:
  charger:
    link: plc
    points:
      power: {address: 0, unit: W}
      limit: {address: 1, unit: W, access: rw}
      shed_request: {address: 2, unit: W, access: rw}
    role: {kind: consumer, rated: 11 kW, deferrable: 11 kW, demand_responsive: 11 kW, on: garage}
"""
)


def test_what_is_doubtful_about_a_charger() -> None:
    found = texts(CHARGER)
    assert [line.split(": ", 1)[0] for line in found] == ["3", "11", "11"]
    assert "has no meter" in found[0]
    assert any("stays as left" in line for line in found)
    assert any("`shed_expiry`" in line for line in found)


def test_a_fall_back_needs_a_heartbeat() -> None:
    role = "failsafe: {limit: 2 kW, timeout: 60 s}"
    found = texts(CHARGER.replace("on: garage}", f"on: garage, {role}}}"))
    assert any("falls back after 1 min" in line for line in found)
    found = texts(CHARGER.replace("on: garage}", f"on: garage, {role}, heartbeat: 20 s}}"))
    assert not any("falls back" in line for line in found)


def test_rated_powers_above_a_rating_are_doubtful_and_with_a_fail_safe_a_fault() -> None:
    small = CHARGER.replace("32 A", "10 A")
    assert any("left alone" in line for line in texts(small))
    assert not any("left alone" in line for line in texts(CHARGER))


def test_links_and_write_classes() -> None:
    text = """site: {id: s}
links:
  a: {type: modbus-tcp, host: h, read_only: true}
  b: {type: modbus-tcp, host: H}
  c: {type: modbus-tcp, host: i}
devices:
  d:
    link: a
    points: {power: {address: 0, unit: W, write_class: stored}, limit: {address: 1, unit: W, access: rw}}
    role: {kind: consumer, rated: 1 kW}
  e: {link: b, unit: 2, points: {p: {address: 0, access: w}}}
"""
    found = "\n".join(texts(text))
    assert "links a and b both lead to" in found
    assert "no device is on link c" in found
    assert "`write_class` of power means nothing" in found
    assert "its link a is read_only" in found
    assert "device e has no readable point" in found


def test_a_busy_link() -> None:
    points = ", ".join(f"p{n}: {{address: {n * 200}}}" for n in range(50))
    (warning,) = texts(HEAD + f"devices: {{d: {{link: plc, points: {{{points}}}}}}}\n")
    assert "100 % of link plc" in warning


REACTION = """site: {id: s}
links:
  fast: {type: modbus-tcp, host: h, timeout: 500 ms}
  slow: {type: modbus-tcp, host: i, timeout: 1 s}
region: {period: 250 ms}
ratings:
  grid: {kind: grid, import: 100 A, meter: m}
  garage: {kind: feeder, import: 50 A, within: grid}
  shop: {kind: feeder, import: 50 A, within: grid}
devices:
  m: {link: fast, poll: 200 ms, points: {power: {address: 0, unit: W}}}
  charger:
    link: slow
    poll: 2 s
    points: {power: {address: 0, unit: W}, limit: {address: 1, unit: W, access: rw}}
    role: {kind: consumer, rated: 11 kW, on: garage, settle: 3 s, ramp: 2 kW/s}
  fridge:
    link: fast
    unit: 2
    poll: 5 s
    points: {power: {address: 0, unit: W}}
    role: {kind: consumer, rated: 1 kW, on: shop}
"""


def test_reaction_is_the_sum_of_its_terms() -> None:
    assembly = assemble(REACTION, "f")
    grid = reaction_ms(assembly, "grid")
    assert [term.ms for term in grid.terms] == [200, 500, 250, 1_000, 3_000, 5_500, 2_000]
    assert grid.total_ms == 12_450
    assert reaction_line(grid).startswith(
        "rating grid: detection and reaction at most 12.45 s (poll of its meter 0.2 s + "
    )
    garage = reaction_ms(assembly, "garage")
    assert [term.ms for term in garage.terms][:3] == [2_000, 1_000, 250], (
        "no meter: its slowest device, on its own link"
    )
    shop = reaction_ms(assembly, "shop")
    assert not shop.controllable
    assert "nothing below it can be commanded" in reaction_line(shop)
    with pytest.raises(KeyError):
        reaction_ms(assembly, "none")


def test_where_a_device_can_only_be_asked_its_answer_counts() -> None:
    text = REACTION.replace("limit: {address", "shed_request: {address").replace(
        "ramp: 2 kW/s", "demand_responsive: 0 W"
    )
    terms = {term.what: term.ms for term in reaction_ms(assemble(text, "f"), "garage").terms}
    assert terms["its answer"] == 3_000
    assert "its ramp" not in terms


def test_cost_of_links() -> None:
    lines = list(cost_lines(assemble(REACTION, "f")))
    assert lines[0].startswith("link fast: 5.2 requests a second, load 10.4 % at 20 ms a request, silent units delay ")
    assert lines[1] == (
        "link slow: 0.5 requests a second, load 1 % at 20 ms a request, one unit, so a silent one delays no other"
    )
    assert [line.split(":")[0] for line in lines[2:]] == ["rating grid", "rating garage", "rating shop"]
    assert next(cost_lines(assemble(REACTION, "f"), round_trip_ms=50)).startswith(
        "link fast: 5.2 requests a second, load 26 % at 50 ms a request"
    )


def run(*arguments: str) -> tuple[int, list[str]]:
    app = typer.Typer()
    app.command()(check)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout.splitlines()


def test_check_of_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(REACTION)
    code, lines = run(str(path), "--cost")
    assert code == 0
    assert lines[-1] == (
        f"{path}: ok: site s, 2 links, 3 devices, 4 points, 3 ratings, 0 generators, 2 consumers, 0 stores, "
        "1 actuator; region mode advisory"
    )
    assert any(line.startswith("rating grid: detection and reaction at most 12.45 s (") for line in lines)
    assert all(line.startswith(f"{path}:") for line in lines if "warning:" in line)
    assert not any(line.startswith("rating") for line in run(str(path))[1])


def test_check_of_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("site: {id: s}\nlinkz: {}\nregion: {mode: on}\n")
    code, lines = run(str(path), "--cost")
    assert code == 2
    assert [line.split(" ", 1)[0] for line in lines] == [f"{path}:2:1:", f"{path}:3:16:"]


def test_check_of_no_file(tmp_path: Path) -> None:
    code, lines = run(str(tmp_path / "none.yaml"))
    assert code == 2
    assert lines == [
        f"{tmp_path / 'none.yaml'}:1:1: the file cannot be read: No such file or directory; check its name and rights"
    ]


def test_a_heartbeat_wears_stored_registers_out() -> None:
    stored = CHARGER.replace(
        "limit: {address: 1, unit: W, access: rw}", "limit: {address: 1, unit: W, access: rw, write_class: stored}"
    )
    found = texts(stored.replace("on: garage}", "on: garage, heartbeat: 1 min}"))
    assert any("1440 writes a day" in line for line in found)
    assert not any(
        "writes a day" in line for line in texts(stored.replace("on: garage}", "on: garage, heartbeat: 2 h}"))
    )
    pulse = stored.replace("stored", "pulse").replace("on: garage}", "on: garage, heartbeat: 1 min}")
    assert any("a pulse is never repeated" in line for line in texts(pulse))


@pytest.mark.parametrize(
    ("more", "doubtful"),
    [
        ("", True),
        (", unlimited: true", False),
        (", autonomous: {import: 6 kW, export: 0 W}", False),
        (", provider: grid-co", False),
    ],
)
def test_a_manager_whom_nobody_can_tell_that_there_is_no_limit(more: str, doubtful: bool) -> None:
    text = f"""site: {{id: s}}
flex:
  listen: 127.0.0.1:0
  tls: {{certificate: {{file: a}}, key: {{file: b}}, authority: {{file: c}}}}
  peers: {{grid-co: {{node: "dsrsp:grid-co", url: "https://127.0.0.1:8443"}}}}
  manager: {{node: "cem:s", failsafe: {{import: 4 kW, export: 0 W}}, appliances: 3{more}}}
"""
    assert any("keep to `failsafe` for good" in line for line in texts(text)) is doubtful
