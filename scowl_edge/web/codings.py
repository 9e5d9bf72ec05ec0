"""What a client says it can unpack."""

from __future__ import annotations

from aiohttp import web

_NEVER = ("q=0", "q=0.0", "q=0.00", "q=0.000")


def takes_gzip(request: web.Request) -> bool:
    """Whether `Accept-Encoding` names gzip and does not rule it out."""
    wanted = [entry.partition(";") for entry in request.headers.get("Accept-Encoding", "").lower().split(",")]
    return any(coding.strip() == "gzip" and how.replace(" ", "") not in _NEVER for coding, _, how in wanted)
