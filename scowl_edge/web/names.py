"""Names in a request's path that nobody has."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from http import HTTPStatus

from scowl_edge.web.problem import Refused

_LONGEST = 200
_SHOWN = 20


def unknown(what: str, name: str, known: Iterable[str]) -> Refused:
    """404 with what was perhaps meant."""
    names = list(known)
    # The comparison takes time by the product of both lengths.
    close = get_close_matches(name[:_LONGEST], names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names[:_SHOWN]) or 'none'}."
    return Refused(HTTPStatus.NOT_FOUND, "unknown-name", "Unknown name", f"There is no {what} {name!r}; {hint}")
