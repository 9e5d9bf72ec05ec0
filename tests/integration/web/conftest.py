"""A real server on loopback over a real point table and views built by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scowl_edge.web import TokenSource
from tests.integration.web.cabinet import TOKEN, Site, State, region_view, serving_site


@pytest.fixture
def state() -> State:
    """One of everything, wind-1's power read just now."""
    state = State(view=region_view())
    state.read(0, -1_250_000.0)
    return state


@pytest.fixture
async def site(state: State, tmp_path: Path) -> AsyncIterator[Site]:
    """A server with a token file."""
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    async with serving_site(state, token_file, operator=TokenSource("token", token_file, None)) as site:
        yield site
