"""What the command line says of itself, and its exit status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from scowl_edge import __version__
from scowl_edge.cli import main


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """`run` sets up the log on a stream that ends with the test; who logs in a later test must not write there."""
    yield
    structlog.reset_defaults()


COMMANDS = ("run", "demo", "check", "status", "replay", "simulator")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: scowl-edge {command}" in result.output


@pytest.mark.parametrize("command", ["offers", "select", "cancel", "override", "report", "schema"])
def test_help_of_flexibility_teaches_too(command: str) -> None:
    result = CliRunner().invoke(main, ["dsr", command, "--help"])
    assert result.exit_code == 0
    assert f"Example: scowl-edge dsr {command}" in result.output


def test_help_lists_all_commands() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.output


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.output) == (0, f"scowl-edge {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run"],
        ["run", "x.yaml", "--http", "8080"],
        ["run", "x.yaml", "--http", "127.0.0.1:http"],
        ["run", "x.yaml", "--http", "127.0.0.1:65536"],
        ["run", "x.yaml", "--http", ":8080"],
        ["demo", "--http", "0.0.0.0:8080"],
        ["demo", "--http", "example.org:8080"],
        ["demo", "--clock-rate", "0"],
        ["demo", "--population", "-1"],
        ["demo", "--population", "20000001"],
        ["simulator", "x.yaml", "--control", "192.0.2.1:80"],
        ["status", "--nonsense"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


@pytest.mark.parametrize("http", ["0.0.0.0:0", "example.org:8080"])
def test_a_port_for_the_network_is_refused_without_tls(http: str, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(f"site: {{id: s}}\njournal: {{path: {tmp_path}/journal.db}}\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["run", str(file), "--http", http])
    assert result.exit_code == 1
    assert "plain HTTP is served on loopback only; configure `http: tls:`" in result.output
    assert not (tmp_path / "journal.db").exists()


def test_help_loads_none_of_the_heavy_parts() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from scowl_edge.cli import main; "
        "assert CliRunner().invoke(main, ['run', '--help']).exit_code == 0; "
        "print(*{'aiohttp', 'numpy', 'pymodbus', 'structlog', 'yaml'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_a_faulty_configuration_is_2_and_one_message(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("site: {id: x, id: y}\nlinkz: {}\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["check", str(file)])
    assert result.exit_code == 2
    assert f"{file}:1:" in result.output
    assert "Traceback" not in result.output
