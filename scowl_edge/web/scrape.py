"""`/metrics` on the wire: in pieces, packed where that helps, and never for ever."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from aiohttp import web

from scowl_edge.web.exposition import CONTENT_TYPE

SEND_S = 30.0
"""A scraper that has not taken everything by then is cut off; Prometheus gives up after 10 s by itself."""
_GZIP = 16 + zlib.MAX_WBITS


class Exposition(Protocol):
    """What `/metrics` serves."""

    async def render(self) -> Sequence[bytes]:
        """The text in pieces; rendering leaves the event loop to others every few ms."""


class Scrape:
    """Answers GET /metrics."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The whole exposition. Each piece is sent when the one before has left, so a slow scraper costs no copy."""
        pieces = await self._exposition.render()
        answer = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        if _worth_packing(request):
            pieces = await asyncio.to_thread(_packed, pieces)
            answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Vary"] = "Accept-Encoding"
        answer.content_length = sum(map(len, pieces))
        try:
            async with asyncio.timeout(SEND_S):
                await answer.prepare(request)
                for piece in pieces:
                    await answer.write(piece)
                await answer.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return answer


def _worth_packing(request: web.Request) -> bool:
    """Whether a network is in between: packing costs more CPU than rendering, and nothing is gained on one machine."""
    wanted = [entry.partition(";") for entry in request.headers.get("Accept-Encoding", "").lower().split(",")]
    if not any(coding.strip() == "gzip" and how.replace(" ", "") not in ("q=0", "q=0.0") for coding, _, how in wanted):
        return False
    try:
        return not ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def _packed(pieces: Sequence[bytes]) -> list[bytes]:
    """One gzip stream, at the cheapest level; off the event loop, which zlib leaves free meanwhile."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    packed = [packer.compress(piece) for piece in pieces]
    return [piece for piece in (*packed, packer.flush()) if piece]
