"""From an address to an activated session: which endpoint, whose certificate, which user. All refusals in words."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from asyncua import Client, ua
from asyncua.crypto import security_policies

from scowl_edge.devices.declaration import OpcuaLink, SecurityMode, SecurityPolicy
from scowl_edge.drivers.errors import DriverError, LinkLost, NotAdmitted, Refused
from scowl_edge.drivers.opcua.pki import Own, Pki, application_uri, utc
from scowl_edge.drivers.opcua.statuses import CERTIFICATE, LOGIN, driver_error

_POLICIES: dict[SecurityPolicy, type[security_policies.SecurityPolicy]] = {
    SecurityPolicy.NONE: security_policies.SecurityPolicyNone,
    SecurityPolicy.BASIC256_SHA256: security_policies.SecurityPolicyBasic256Sha256,
    SecurityPolicy.AES128_SHA256_RSA_OAEP: security_policies.SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicy.AES256_SHA256_RSA_PSS: security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_MODES = {
    SecurityMode.NONE: ua.MessageSecurityMode.None_,
    SecurityMode.SIGN: ua.MessageSecurityMode.Sign,
    SecurityMode.SIGN_AND_ENCRYPT: ua.MessageSecurityMode.SignAndEncrypt,
}
_MODE_NAMES = {mode: name.value for name, mode in _MODES.items()}
DEFAULT_PORT = 4840
LEAVE_WITHIN_S = 1.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a connection is made with, beside the link's declaration."""

    password: str
    now_utc_ms: int
    connect_timeout_s: float
    timeout_s: float
    session_timeout_ms: int
    channel_lifetime_ms: int
    count: Callable[[str], None]
    """Takes the result of each request."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """An activated session, as the library holds it."""

    client: Client
    channel_since_s: float
    """When the secure channel was asked for, in the event loop's time."""
    remark: str
    """What a person should know soon; empty if nothing."""


async def admit(link: OpcuaLink, means: Means) -> Admitted:
    """Connects to the configured address, whatever address the server gives for itself, and activates a session.

    Raises:
        NotAdmitted: a person must change something first.
        DriverError: anything else.
    """
    # What the library would log, a cause or an outcome says in words, once.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    if link.policy is SecurityPolicy.NONE:
        client = _client(link, means, application_uri())
        try:
            since_s = await _channel(client, link, means, None)
            endpoint = await _endpoint(client, link, means)
            await _activate(client, link, means, None)
        except BaseException:
            abort(client)
            raise
        return Admitted(client, since_s, _plain_password(link, endpoint))
    now = utc(means.now_utc_ms)
    pki = Pki(Path(link.pki))
    own = await asyncio.to_thread(pki.own, now)
    finder = _client(link, means, own.uri)
    try:
        await _channel(finder, link, means, None)
        endpoint = await _endpoint(finder, link, means)
    finally:
        abort(finder)
    certificate = await asyncio.to_thread(pki.check, _first(endpoint.ServerCertificate or b""), now)
    client = _client(link, means, own.uri)
    policy = _POLICIES[link.policy](certificate, own.certificate, own.key, _MODES[link.mode])
    client.security_policy = policy  # type: ignore[assignment]  # narrowed there to what it begins with
    client.uaclient.set_security(policy)
    try:
        since_s = await _channel(client, link, means, own)
        await _activate(client, link, means, own)
    except BaseException:
        abort(client)
        raise
    return Admitted(client, since_s, own.remark(now))


def abort(client: Client) -> None:
    """Drops the connection without a word; what was not sent yet is dropped with it."""
    protocol = client.uaclient.protocol
    if protocol is not None and protocol.transport is not None:
        protocol.transport.abort()
    client.uaclient.disconnect_socket()


def _client(link: OpcuaLink, means: Means, uri: str) -> Client:
    client = Client(link.endpoint, timeout=means.connect_timeout_s)
    client.name = client.description = "scowl-edge"
    client.application_uri = uri
    client.product_uri = "urn:scowl-edge"
    client.session_timeout = means.session_timeout_ms
    client.secure_channel_timeout = means.channel_lifetime_ms
    if link.user:
        client.set_user(link.user)
        client.set_password(means.password)
    return client


def _first(chain: bytes) -> bytes:
    """The server's own certificate of a chain: DER gives its length in bytes 2 and 3."""
    return chain[: int.from_bytes(chain[2:4]) + 4]


async def _step(means: Means, what: str, request: Awaitable[Answer]) -> Answer:
    """One exchange on the way: counted, its failure said in words."""
    try:
        answer = await request
    except Exception as raised:
        error = driver_error(raised, means.connect_timeout_s)
        error.what = what
        means.count(error.result)
        raise error from raised
    means.count("ok")
    return answer


async def _channel(client: Client, link: OpcuaLink, means: Means, own: Own | None) -> float:
    """Opens a secure channel; returns when it was asked for."""
    url = client.server_url
    try:
        await client.uaclient.connect_socket(url.hostname or "", url.port or DEFAULT_PORT)
    except (OSError, TimeoutError) as raised:
        means.count("link_down")
        waited = f"no answer within {means.connect_timeout_s * 1000:.0f} ms"
        why = waited if isinstance(raised, TimeoutError) else str(raised)
        raise LinkLost(why, sent=False, what=f"connect to {link.endpoint}") from raised
    await _step(means, f"greet {link.endpoint}", client.send_hello())
    since_s = asyncio.get_running_loop().time()
    try:
        await _step(means, f"open a secure channel to {link.endpoint}", client.open_secure_channel())
    except DriverError as error:
        raise _turned_down(error, own) from error
    return since_s


def _turned_down(error: DriverError, own: Own | None) -> DriverError:
    """What the server has against this side's certificate, where that is what it says."""
    if own is None:
        return error
    # The library loses the status of a channel that is refused, and fails an assertion instead.
    lost = isinstance(error.__cause__, AssertionError)
    if lost or (isinstance(error, Refused) and error.code in CERTIFICATE):
        status = "" if lost else f" ({error.came_back})"
        return NotAdmitted(f"the server refused{status}; trust the own certificate {own.path} there", what=error.what)
    if isinstance(error, LinkLost):
        error.came_back += f"; does the server trust {own.path}?"
    return error


async def _endpoint(client: Client, link: OpcuaLink, means: Means) -> ua.EndpointDescription:
    """The endpoint with the wanted policy and mode that takes the wanted kind of user."""
    offers = await _step(means, f"ask {link.endpoint} for its endpoints", client.get_endpoints())
    wanted = _POLICIES[link.policy].URI
    found = [offer for offer in offers if offer.SecurityPolicyUri == wanted and offer.SecurityMode is _MODES[link.mode]]
    if not found:
        have = dict.fromkeys(_offer(offer) for offer in offers)
        raise NotAdmitted(
            f"{link.endpoint} offers only {', '.join(have) or 'no endpoint'}, not {_words(link.policy, link.mode)}; "
            "change `security` here or the endpoints there"
        )
    kind = ua.UserTokenType.UserName if link.user else ua.UserTokenType.Anonymous
    for offer in found:
        if any(token.TokenType is kind for token in offer.UserIdentityTokens):
            return offer
    who = "users with a password; take `user` away" if link.user else "anonymous sessions; give `user` and `password`"
    raise NotAdmitted(f"{link.endpoint} takes no {who}")


def _plain_password(link: OpcuaLink, endpoint: ua.EndpointDescription) -> str:
    """A remark where anybody on the way can read the password: neither the channel nor the server's wish hides it."""
    tokens = [token for token in endpoint.UserIdentityTokens if token.TokenType is ua.UserTokenType.UserName]
    hidden = tokens and tokens[0].SecurityPolicyUri not in (None, "", _POLICIES[SecurityPolicy.NONE].URI)
    return "" if hidden or not link.user else "the password crosses the network readable; set `security`"


def _offer(offer: ua.EndpointDescription) -> str:
    policy = str(offer.SecurityPolicyUri).rpartition("#")[2]
    return _words(policy, _MODE_NAMES.get(offer.SecurityMode, str(offer.SecurityMode)))


def _words(policy: str, mode: str) -> str:
    return policy if policy == "None" else f"{policy}/{mode}"


async def _activate(client: Client, link: OpcuaLink, means: Means, own: Own | None) -> None:
    try:
        await _step(means, f"create a session at {link.endpoint}", client.create_session())
    except DriverError as error:
        raise _turned_down(error, own) from error
    what = f"log in to {link.endpoint} as {link.user}" if link.user else f"log in to {link.endpoint} without a user"
    login = client.activate_session(link.user or None, means.password or None)
    try:
        await _step(means, what, login)
    except Refused as error:
        if error.code not in LOGIN:
            raise _turned_down(error, own) from error
        await _take_leave(client)
        hint = "check user and password on both sides" if link.user else "give `user` and `password`"
        raise NotAdmitted(f"{error.came_back}; {hint}", what=what) from error
    protocol = client.uaclient.protocol
    if protocol is not None:
        protocol.timeout = means.timeout_s


async def _take_leave(client: Client) -> None:
    """Of a session that nobody logged in to: a server would keep it for its whole time-out, and many keep but few."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(LEAVE_WITHIN_S):
            await client.uaclient.close_session(True)
