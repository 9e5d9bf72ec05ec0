"""Why a frame or a message is not taken."""

from __future__ import annotations

from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import Ack, Code

DETAIL_CHARS = 200
"""What an `ack` may carry as detail."""


class Refused(ScowlError):
    """A frame that is no message, or a message whose content cannot be; nothing of it may take effect."""

    def __init__(self, code: Code, path: str, text: str, message_id: str | None = None) -> None:
        """The field `path`, as `body.offers[0].rev` (empty: the frame as a whole), is wrong in the way `text` says."""
        super().__init__(f"{path}: {text}" if path else text)
        self.code = code
        self.path = path
        self.text = text
        self.message_id = message_id
        """Of the frame, where it has a valid one: what the `ack` answers."""

    @property
    def detail(self) -> str:
        """Path and text, cut to what an `ack` may carry."""
        whole = str(self)
        return whole if len(whole) <= DETAIL_CHARS else whole[: DETAIL_CHARS - 1] + "…"

    def ack(self) -> Ack:
        """The body that tells the sender."""
        return Ack(status=self.code.status, code=self.code, detail=self.detail)
