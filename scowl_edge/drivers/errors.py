"""What can go wrong on a link. These stay inside the drivers: outside they are a quality, an outcome or a counter."""

from __future__ import annotations

from scowl_edge.model.errors import ScowlError
from scowl_edge.model.signal import Cause


class DriverError(ScowlError):
    """One request that brought no value. `what` says the call in words once it is known."""

    result = "bad_reply"
    """Label in `scowl_link_requests_total`."""
    cause = Cause.BAD_REPLY
    """Cause on the points that the request should have read."""

    def __init__(self, came_back: str, *, what: str = "", sent: bool = True) -> None:
        super().__init__(came_back)
        self.came_back = came_back
        self.what = what
        self.sent = sent
        """Whether bytes of the request may have left."""

    def __str__(self) -> str:
        return f"{self.what}: {self.came_back}" if self.what else self.came_back


class ReplyTimeout(DriverError):
    """Sent, and nothing came back in time. A write may or may not have been applied."""

    result = "timeout"
    cause = Cause.TIMEOUT


class BadReply(DriverError):
    """Something came back that is not the answer to what was asked. It is never a value."""


class Unproven(DriverError):
    """On a line without transaction ids: it is not sure what the next reply of the unit would answer.

    Either the request was not sent for that reason, or a reply came that may be that to an earlier request.
    """

    result = "unproven"
    cause = Cause.UNPROVEN


class LinkLost(DriverError):
    """The connection is not there, or went away while a request was under way."""

    result = "link_down"
    cause = Cause.LINK_DOWN

    def __init__(self, came_back: str, *, sent: bool, what: str = "") -> None:
        super().__init__(came_back, what=what, sent=sent)


class Refused(DriverError):
    """The device answered that it will not do what was asked."""

    result = "exception"
    cause = Cause.EXCEPTION

    def __init__(
        self, came_back: str, *, code: int, silent: bool = False, unsure: bool = False, taken: bool = False
    ) -> None:
        super().__init__(came_back)
        self.code = code
        self.silent = silent
        """A gateway answered in place of a device that did not."""
        self.unsure = unsure
        """The device may have got the request all the same."""
        self.taken = taken
        """Not a refusal of a write after all: the device took it and works on it."""


class NoTurn(DriverError):
    """Nothing was sent: the bus had more urgent work until the request's time was over, or has too much waiting."""

    result = "busy"
    cause = Cause.TIMEOUT


class NotAdmitted(DriverError):
    """A connection turned down, by either side, for a reason that only a person can change: a certificate, a password.

    The bus tells each new reason and asks again ever more seldom.
    """

    result = "exception"
    cause = Cause.LINK_DOWN


class Unsendable(ScowlError):
    """A write that must not leave: out of range, not writable, or of a type that no number fits."""


class LayoutError(ScowlError):
    """Points that cannot be read as declared: an order that does not fit the type, a value longer than a read."""
