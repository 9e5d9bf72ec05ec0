"""`/metrics` on the wire: in pieces, packed where that helps, and never for ever."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from aiohttp import web

from scowl_edge.web.codings import takes_gzip
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

    def __init__(self, exposition: Exposition, *, send_s: float = SEND_S) -> None:
        self._exposition = exposition
        self._send_s = send_s

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The whole exposition. Each piece is sent when the one before has left, so a slow scraper costs no copy."""
        pieces = await self._exposition.render()
        answer = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        if worth_packing(request):
            pieces = await asyncio.to_thread(packed, pieces)
            answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Vary"] = "Accept-Encoding"
        answer.content_length = sum(map(len, pieces))
        try:
            async with asyncio.timeout(self._send_s):
                await answer.prepare(request)
                for piece in pieces if request.method == "GET" else ():
                    await answer.write(piece)
                await answer.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return answer


def worth_packing(request: web.Request) -> bool:
    """Whether a network is in between: packing costs more CPU than rendering, and nothing is gained on one machine."""
    if not takes_gzip(request):
        return False
    try:
        return not ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def packed(pieces: Sequence[bytes]) -> list[bytes]:
    """One gzip stream, at the cheapest level; off the event loop, which zlib leaves free meanwhile."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    parts = [packer.compress(piece) for piece in pieces]
    return [part for part in (*parts, packer.flush()) if part]
