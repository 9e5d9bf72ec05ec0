"""The one port: `/` for eyes, `/api/v1` for programs, `/metrics` for Prometheus, `/healthz` and `/readyz`.

All of it reads what the daemon publishes after each step (`Published`) and nothing else; the only way in is an order,
which waits in the inbox for the next step. Start with `create_app` and `listen`.
"""

from scowl_edge.web.app import create_app
from scowl_edge.web.authority import TokenSource
from scowl_edge.web.live import LiveFeed
from scowl_edge.web.published import Check, Published, PublishedPoint, PublishedTable
from scowl_edge.web.scrape import Exposition
from scowl_edge.web.serving import Listener, ListenError, listen
from scowl_edge.web.tls import TlsFiles

__all__ = [
    "Check",
    "Exposition",
    "ListenError",
    "Listener",
    "LiveFeed",
    "Published",
    "PublishedPoint",
    "PublishedTable",
    "TlsFiles",
    "TokenSource",
    "create_app",
    "listen",
]
