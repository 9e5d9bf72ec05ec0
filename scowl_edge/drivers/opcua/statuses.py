"""Status codes and what the library raises, as this project's errors. Imported only when a driver connects."""

from __future__ import annotations

from asyncua import ua

from scowl_edge.drivers.errors import BadReply, DriverError, LinkLost, Refused, ReplyTimeout

_CODES = ua.StatusCodes
_NAME_BITS = 0xFFFF0000
"""The lower half of a status code are flags."""
GONE = frozenset(
    {
        _CODES.BadSessionIdInvalid,
        _CODES.BadSessionClosed,
        _CODES.BadSessionNotActivated,
        _CODES.BadSecureChannelIdInvalid,
        _CODES.BadSecureChannelClosed,
        _CODES.BadSecureChannelTokenUnknown,
        _CODES.BadTcpSecureChannelUnknown,
        _CODES.BadConnectionClosed,
        _CODES.BadServerHalted,
        _CODES.BadShutdown,
    }
)
"""The session or its channel is no more: nothing of the request was done."""
LOGIN = frozenset(
    {
        _CODES.BadUserAccessDenied,
        _CODES.BadIdentityTokenInvalid,
        _CODES.BadIdentityTokenRejected,
        _CODES.BadUserSignatureInvalid,
    }
)
CERTIFICATE = frozenset(
    {
        _CODES.BadSecurityChecksFailed,
        _CODES.BadCertificateInvalid,
        _CODES.BadCertificateUntrusted,
        _CODES.BadCertificateTimeInvalid,
        _CODES.BadCertificateUriInvalid,
        _CODES.BadCertificateUseNotAllowed,
        _CODES.BadCertificateChainIncomplete,
        _CODES.BadCertificateRevoked,
    }
)
TOO_MUCH = frozenset(
    {
        _CODES.BadTooManyOperations,
        _CODES.BadRequestTooLarge,
        _CODES.BadResponseTooLarge,
        _CODES.BadEncodingLimitsExceeded,
        _CODES.BadTcpMessageTooLarge,
    }
)
"""Fewer nodes at once may go."""
NO_SUCH_NODE = frozenset({_CODES.BadNodeIdUnknown, _CODES.BadNodeIdInvalid})
NO_RANGE = frozenset(
    {
        _CODES.BadWriteNotSupported,
        _CODES.BadIndexRangeInvalid,
        _CODES.BadIndexRangeNoData,
        _CODES.BadIndexRangeDataMismatch,
        _CODES.BadNotSupported,
        _CODES.BadTypeMismatch,
    }
)
"""Nothing was written: the server writes no single elements there."""
_UNSURE = frozenset(
    {_CODES.BadTimeout, _CODES.BadRequestTimeout, _CODES.BadCommunicationError, _CODES.BadRequestInterrupted}
)
"""The server itself does not know whether what stands behind it got the request."""


def status_name(code: int) -> str:
    """Name of a status code without its flags."""
    name, _ = ua.status_codes.get_name_and_doc(code & _NAME_BITS)
    return str(name)


def is_one_of(code: int, codes: frozenset[int]) -> bool:
    """Whether a status, whatever its flags, is one of these."""
    return code & _NAME_BITS in codes


def refused(code: int, more: str = "") -> Refused:
    """A bad status as an error, and whether the request may have got through all the same."""
    return Refused(f"{status_name(code)}{more}", code=code & _NAME_BITS, unsure=is_one_of(code, _UNSURE))


def driver_error(error: Exception, timeout_s: float) -> DriverError:
    """What it means that a request raised."""
    if isinstance(error, DriverError):
        return error
    if isinstance(error, TimeoutError):
        return ReplyTimeout(f"no answer within {timeout_s * 1000:.0f} ms")
    if isinstance(error, OSError):
        return LinkLost(f"the connection was lost ({error})" if str(error) else "the connection was lost", sent=True)
    if isinstance(error, ua.UaStatusCodeError):
        if is_one_of(error.code, GONE):
            return LinkLost(f"the server ended the session ({status_name(error.code)})", sent=False)
        return refused(error.code)
    return BadReply(f"the answer cannot be understood ({type(error).__name__}: {error})")
