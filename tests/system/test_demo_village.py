"""`scowl-edge demo`: appliances in its homes offer, are selected with a reason, and are part of what the homes take."""

from __future__ import annotations

import signal
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from black_box import START_S, Http, Running, call, metrics_of, wait_for

OPEN = {"PENDING", "ACCEPTED", "SCHEDULED", "ACTIVE"}


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a small box without the extra `scale`; what the demo keeps lies where the test can find it."""
    monkeypatch.setenv("SCOWL_KERNELS", "plain")
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_the_demos_appliances_negotiate(tmp_path: Path) -> None:
    demo = Running(["demo", "--http", "127.0.0.1:0"], tmp_path / "demo.log")
    with ExitStack() as ending:
        ending.callback(demo.close)
        http = ending.enter_context(closing(Http(demo.line(r"(http://[\d.:]+)").group(1))))

        def selected() -> Any:
            seen = http.get("/api/v1/flex")
            return seen if any(one["state"] in OPEN and one["why"] for one in seen["selections"]) else None

        seen = wait_for(selected, START_S, "something is selected")
        flex = seen["flex"]
        assert (flex["part"], flex["appliances"], flex["goal"]["power_w"]) == ("both", 10, 7_000)
        assert flex["refused"] == {} and flex["plans_failed"] == 0
        assert sum(flex["offers"].values()) >= 5
        why = next(one["why"] for one in seen["selections"] if one["why"])
        assert "nearer to its target" in why and "W" in why

        # A heat pump or a freezer takes something always, on top of what its home takes by itself.
        def taken_w() -> Any:
            return http.get("/api/v1/devices/home-6/points/power")["value"]

        wait_for(lambda: (taken_w() or 0) > 1_950 + 1_300 + 500, START_S, "the heat pump is part of its home")
        assert http.get("/api/v1/region")["conservation_error_w"] == 0
        assert metrics_of(http)['scowl_flex_appliances{life="NORMAL"}'] == 10
        assert "the sum at 7 kW" in http.ask("/")[2].decode()

        (journal,) = tmp_path.glob("scowl-edge-demo-*/demo.db")
        again = call("replay", str(journal))
        assert again.returncode == 0 and "identical: " in again.stdout, again.stdout + again.stderr
        assert demo.end(signal.SIGINT, START_S) == 0, demo.errors()
