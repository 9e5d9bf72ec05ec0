"""NodeIds as the configuration writes them, resolved through what a server calls its namespaces today."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from scowl_edge.drivers.errors import LayoutError

_FORM = re.compile(r"(?:ns=(?P<index>\d+);|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<text>.+)", re.DOTALL)

Identifier = int | str | uuid.UUID | bytes


@dataclass(frozen=True, slots=True)
class NodeName:
    """A NodeId whose namespace may still be a URI."""

    uri: str
    """Empty where the configuration gives the index."""
    index: int
    identifier: Identifier

    @classmethod
    def of(cls, text: str) -> NodeName:
        """Reads `i=2258`, `ns=2;s=Hall/Power`, `nsu=urn:site;s=Hall/Power`; `g=` and `b=` likewise.

        In a URI `%3B` stands for a semicolon and `%25` for a percent sign (OPC 10000-6, 5.3.1.10).

        Raises:
            LayoutError: not of this form.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise LayoutError(f"node {text!r} is no NodeId; write ns=2;s=NAME, nsu=URI;s=NAME or i=NUMBER")
        uri = (found["uri"] or "").replace("%3B", ";").replace("%3b", ";").replace("%25", "%")
        try:
            return cls(uri, int(found["index"] or 0), _identifier(found["kind"], found["text"]))
        except (ValueError, binascii.Error) as error:
            raise LayoutError(f"node {text!r} is no NodeId: {error}") from None

    def namespace(self, namespaces: Sequence[str]) -> int | None:
        """Index of the namespace in a server's NamespaceArray, or None where the server does not have it."""
        if self.uri:
            return namespaces.index(self.uri) if self.uri in namespaces else None
        return self.index if self.index < len(namespaces) else None


def _identifier(kind: str, text: str) -> Identifier:
    if kind == "i":
        number = int(text)
        if not 0 <= number < 1 << 32:
            raise ValueError(f"{number} is not from 0 to 4294967295")
        return number
    if kind == "g":
        return uuid.UUID(text)
    if kind == "b":
        return base64.b64decode(text, validate=True)
    return text
