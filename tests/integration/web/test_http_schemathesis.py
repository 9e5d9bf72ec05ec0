"""A fuzzer that knows nothing but the OpenAPI document finds no server error and no answer that the document lacks."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.integration.web.cabinet import TOKEN, Site
from tests.integration.web.test_http_history import Kept

PROGRAM = Path(sys.executable).with_name("schemathesis")
ENDLESS = "/api/v1/live"
"""It has a test of its own: a program that waits for the end of each answer cannot judge it."""
ASKS_FOR_MORE_THAN_A_SCHEMA_SAYS = "positive_data_acceptance"
"""That `until` is in the future, or a value within a device's envelope, no schema can say."""


async def run(site: Site, directory: Path) -> tuple[str, int]:
    """(what it says, exit status) of a whole run."""
    async with asyncio.timeout(120):
        process = await asyncio.create_subprocess_exec(
            *(PROGRAM, "run", f"{site.url}/api/v1/openapi.json", "--url", site.url),
            *("--header", f"Authorization: Bearer {TOKEN}", "--exclude-path", ENDLESS),
            *("--checks", "all", "--exclude-checks", ASKS_FOR_MORE_THAN_A_SCHEMA_SAYS),
            *("--max-examples", "10", "--seed", "3", "--warnings", "off", "--no-color"),
            cwd=directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told = (await process.communicate())[0].decode()
        return told, process.returncode or 0


@pytest.mark.skipif(not PROGRAM.exists(), reason="no schemathesis; pip install '.[test]'")
async def test_schemathesis_finds_no_server_error(site: Site, tmp_path: Path) -> None:
    site.state.history = Kept()
    # The whole site is ready, so that no 503 is to be expected of a probe.
    site.state.read(3, 1.0)
    # Its thousand orders would bury what it says.
    with capture_logs() as log:
        told, code = await run(site, tmp_path)
    assert code == 0, told
    paths = (await site.json("/api/v1/openapi.json"))["paths"]
    operations = sum(len(methods) for methods in paths.values())
    # All but the endless one, and the document itself, which it does not count.
    assert f"Tested: {operations - 2}" in told, told
    assert site.state.orders, "no order was ever taken"
    assert not [entry for entry in log if entry["log_level"] in ("error", "critical")]
