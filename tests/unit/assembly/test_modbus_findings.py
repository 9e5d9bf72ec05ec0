"""What is doubtful about Modbus links and about devices that are commanded, and what links cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from scowl_edge.assembly import assemble
from scowl_edge.assembly.cost import cost_lines, reaction_ms
from scowl_edge.assembly.findings import warnings

RTU = "site: {id: s}\nlinks: {line: {type: modbus-rtu, device: /dev/ttyUSB0%s}}\n"


def texts(text: str) -> list[str]:
    return [f"{fault.line}:{fault.column}: {fault.what}" for fault in warnings(assemble(text, "f"))]


def meters(count: int, keys: str, points: str) -> str:
    return "devices:\n" + "".join(
        f"  m{n}: {{link: line, unit: {n}, {keys}points: {{{points}}}}}\n" for n in range(1, count + 1)
    )


def test_a_line_that_cannot_hold_its_polls() -> None:
    # Each read: 13 + 100 characters of 10 bits, twice 3.5 of silence, and 20 ms: 145 ms at 9600 baud, 27 ms at 115200.
    wide = meters(8, "", "a: {address: 0, type: string, length: 50}")
    found = texts(RTU % "" + wide)
    assert found == [
        "2:9: polling takes 116 % of link line at 9600 baud and 20 ms until a device replies, which is more than there "
        "is: values come late"
    ]
    assert texts(RTU % ", baud: 115200" + wide) == []
    assert texts(RTU % "" + meters(8, "poll: 2 s, ", "a: {address: 0, type: string, length: 50}")) == []
    (busy,) = texts(RTU % "" + meters(6, "", "a: {address: 0, type: string, length: 50}"))
    assert "polling takes 87 % of link line" in busy and "more than there is" not in busy


def test_a_reply_that_is_longer_than_its_time_out() -> None:
    text = meters(1, "poll: 10 s, timeout: 240 ms, ", "a: {address: 0, type: string, length: 100}")
    (found,) = texts(RTU % "" + text)
    assert found.startswith("4:3: the longest read of m1 takes 229 ms at 9600 baud")
    assert texts(RTU % ", baud: 19200" + text) == []


def test_the_cost_of_a_serial_line() -> None:
    text = RTU % "" + meters(2, "timeout: 300 ms, ", "a: {address: 0, type: string, length: 50}")
    assert next(cost_lines(assemble(text, "f"))).startswith(
        "link line: 2 requests a second, load 29 % at 9600 baud and 20 ms until a device replies, silent units delay a "
        "healthy one by at most "
    )
    line = next(cost_lines(assemble(text, "f"), round_trip_ms=100))
    assert ", load 45 % at 9600 baud and 100 ms until a device replies, " in line
    assert " and are asked again within " in line


def test_a_command_waits_for_the_device_s_own_time_out() -> None:
    text = """site: {id: s}
links: {l: {type: modbus-tcp, host: h, timeout: 200 ms}}
ratings: {garage: {kind: feeder, limit: 32 A}}
devices:
  charger:
    link: l
    timeout: 3 s
    points: {power: {address: 0, unit: W}, limit: {address: 1, unit: W, access: rw}}
    role: {kind: consumer, rated: 11 kW, on: garage}
"""
    terms = {term.what: term.ms for term in reaction_ms(assemble(text, "f"), "garage").terms}
    assert terms["command to charger"] == terms["its time-out"] == 3_000


def test_budgets_that_add_up_to_more_than_there_is() -> None:
    (found,) = texts(RTU % "" + meters(4, "budget: 30 %, ", "a: {address: 0}"))
    assert "the budgets on link line add up to 120 %" in found
    assert texts(RTU % "" + meters(3, "budget: 30 %, ", "a: {address: 0}")) == []


def test_units_and_canaries_that_make_no_sense() -> None:
    (found,) = texts(RTU % "" + "devices: {m: {link: line, unit: 250, points: {a: {address: 0}}}}\n")
    assert "unit 250 of m is reserved on serial lines" in found
    canary = "devices: {m: {link: line, unit: 25, canary: {address: 0, equals: 1}, points: {a: {address: 0}}}}\n"
    assert texts(RTU % "" + canary) == []
    tcp = "site: {id: s}\nlinks: {line: {type: modbus-tcp, host: h}}\n"
    (found,) = texts(tcp + canary)
    assert "the canary of m is not read" in found


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("ca", "certificate"):
        (tmp_path / name).write_text("x")
    text = (
        "site: {id: s}\nlinks:\n"
        f"  l: {{type: modbus-tls, host: h, ca: {tmp_path}/ca, certificate: {tmp_path}/certificate,\n"
        f"      key: {tmp_path}/no}}\n"
        "devices: {m: {link: l, points: {a: {address: 0}}}}\n"
    )
    (found,) = texts(text)
    assert f"the file of `key`, {tmp_path}/no, cannot be read here" in found


INVERTER = """site: {id: s}
links: {plc: {type: modbus-tcp, host: h}}
devices:
  inverter:
    link: plc
    points:
      power: {address: 0, type: int32, unit: W, scale: -1}
      remote: {address: 9}
      limit: {address: 10, unit: W, access: rw}
      failsafe_limit: {address: 20, unit: W, access: rw}
      failsafe_timeout: {address: 21, unit: s, access: rw}
      heartbeat: {address: 22, access: rw}
    role: {kind: generator, dispatch: stochastic, rated: 20 kW, failsafe: {limit: 6 kW, timeout: 90 s}}
"""


def test_a_device_that_guards_itself_gives_no_cause() -> None:
    assert texts(INVERTER) == []


def test_a_fail_safe_that_is_only_declared() -> None:
    (found,) = texts(INVERTER.replace("failsafe_timeout: {address: 21, unit: s, access: rw}", ""))
    assert "`failsafe` of inverter is declared" in found and "stays as left" in found


def test_registers_of_a_fail_safe_without_a_value_for_them() -> None:
    found = texts(INVERTER.replace(", failsafe: {limit: 6 kW, timeout: 90 s}", ""))
    assert [line.split(": ")[0] for line in found] == ["10:7", "11:7", "12:7", "13:11"]
    assert "without a `failsafe` there is nothing to write" in found[0]
    assert "stays as left" in found[-1]


def test_a_heartbeat_that_comes_too_late() -> None:
    (found,) = texts(INVERTER.replace("timeout: 90 s}", "timeout: 90 s}, heartbeat: 90 s"))
    assert "falls back after 1.5 min without a heartbeat" in found
    assert texts(INVERTER.replace("timeout: 90 s}", "timeout: 90 s}, heartbeat: 30 s")) == []
    without = INVERTER.replace("heartbeat: {address: 22, access: rw}", "")
    assert any("which no `heartbeat` prevents" in line for line in texts(without))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("unit: W, access: rw}", "unit: W, access: rw, write_class: stored}", 2),
        ("{address: 22, access: rw}", "{address: 22, access: rw, write_class: stored}", 1),
    ],
)
def test_stored_registers_without_a_limit(old: str, new: str, expected: int) -> None:
    text = INVERTER.replace(old, new)
    unlimited = texts(text.replace("timeout: 90 s}", "timeout: 90 s}, daily_budget: 0"))
    assert sum("`daily_budget` sets no limit" in line for line in unlimited) == expected
    assert not any("sets no limit" in line for line in texts(text))
    assert any("a heartbeat is written all the time" in line for line in texts(text)) == ("22" in old)


def test_keys_about_writing_where_nothing_is_written() -> None:
    found = texts(
        INVERTER.replace("remote: {address: 9}", "remote: {address: 9, min_interval: 5 s}").replace(
            "heartbeat: {address: 22, access: rw}",
            "heartbeat: {address: 22, access: rw}\n"
            "      spare: {address: 30, access: rw, interlock: {point: remote, min: 1}}",
        )
    )
    assert len(found) == 2
    assert "`min_interval` of remote means nothing while its access is r" in found[0]
    assert "`interlock` of spare means nothing" in found[1]
