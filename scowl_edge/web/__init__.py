"""The one port: `/` for eyes, `/api/v1` for programs, `/metrics` for Prometheus, `/healthz` and `/readyz`.

All of it reads what the daemon publishes after each step (`Published`) and nothing else; the only way in is an order,
which waits in the inbox for the next step. Start with `create_app` and `listen`.
"""

from scowl_edge.web.app import Listener, ListenError, create_app, listen
from scowl_edge.web.published import Check, Published, PublishedPoint, PublishedTable
from scowl_edge.web.scrape import Exposition

__all__ = [
    "Check",
    "Exposition",
    "ListenError",
    "Listener",
    "Published",
    "PublishedPoint",
    "PublishedTable",
    "create_app",
    "listen",
]
