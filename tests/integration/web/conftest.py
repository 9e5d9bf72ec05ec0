"""A real server on loopback over a real point table and views built by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.web.cabinet import TOKEN, Site, State, region_view, serving


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
    listener, metrics = await serving(state, token_file=token_file)
    async with aiohttp.ClientSession() as http:
        yield Site(state, metrics, listener.url, http, token_file)
    await listener.close()
