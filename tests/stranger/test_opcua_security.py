"""Certificates, policies and users against node-opcua: what is let in works, and what is not says what to do."""

from __future__ import annotations

import shutil
import stat
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from modbus_site import RealClock, Recorder
from opcua_peer import PASSWORD, USER, Peer, most_attempts
from opcua_site import SITE, Running, device, link, point, running

from scowl_edge.clocks import RateClock
from scowl_edge.devices.declaration import OpcuaLink, Secret, SecurityMode, SecurityPolicy
from scowl_edge.drivers.opcua.pki import Pki
from scowl_edge.model.command import OutcomeKind
from scowl_edge.model.event import LinkChanged

SECURED = [
    (SecurityPolicy.BASIC256_SHA256, SecurityMode.SIGN_AND_ENCRYPT),
    (SecurityPolicy.AES128_SHA256_RSA_OAEP, SecurityMode.SIGN),
    (SecurityPolicy.AES256_SHA256_RSA_PSS, SecurityMode.SIGN_AND_ENCRYPT),
]


@pytest.fixture
def peer(opcua_server: Peer) -> Peer:
    opcua_server.reset()
    return opcua_server


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


def site(peer: Peer, folder: Path, password_file: Path | None, **changes: object) -> OpcuaLink:
    user = {"user": USER, "password": Secret(file=str(password_file), credential="")} if password_file else {}
    points = point("double", f"{SITE}s=Double"), point("byte", f"{SITE}s=Byte")
    secured = {"policy": SecurityPolicy.BASIC256_SHA256, "mode": SecurityMode.SIGN_AND_ENCRYPT}
    return link(peer.endpoint, device("d", *points), pki=str(folder / "pki"), **{**user, **secured, **changes})


def put(password_file: Path, text: str) -> None:
    password_file.write_text(text)


def trust(folder: Path) -> Path:
    """What a person does with the only rejected certificate."""
    (rejected,) = (folder / "pki" / "rejected").glob("*.der")
    return Path(shutil.move(rejected, folder / "pki" / "trusted"))


async def refusal(it: Running, word: str) -> str:
    """The cause of the link's being down, once it has this in it."""
    await it.sink.until(lambda: any(word in cause for cause in causes(it.sink)))
    return next(cause for cause in reversed(causes(it.sink)) if word in cause)


def causes(sink: Recorder) -> list[str]:
    return [e.cause for e in sink.events if isinstance(e, LinkChanged) and not e.device and not e.up]


@pytest.fixture(scope="module")
def own_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One own certificate for all tests: to make a key takes its time."""
    folder = tmp_path_factory.mktemp("own")
    Pki(folder / "pki").own(datetime.now(UTC))
    return folder / "pki"


def acquaint(own_pair: Path, peer: Peer, folder: Path) -> None:
    """Gives a folder the own certificate, and trust in the server's."""
    shutil.copytree(own_pair, folder / "pki")
    shutil.copy(peer.pki / "own" / "certs" / "certificate.pem", folder / "pki" / "trusted")


@pytest.fixture
def known(own_pair: Path, peer: Peer, tmp_path: Path) -> Path:
    acquaint(own_pair, peer, tmp_path)
    return tmp_path


@pytest.mark.parametrize(("policy", "mode"), SECURED, ids=[policy.value for policy, _ in SECURED])
async def test_each_policy_reads_and_commands(
    peer: Peer, known: Path, password: Path, policy: SecurityPolicy, mode: SecurityMode
) -> None:
    async with running(site(peer, known, password, policy=policy, mode=mode)) as it:
        await it.sees(0, -2.25)
        assert (await it.command((1, 77.0))).kind is OutcomeKind.ACKNOWLEDGED
        assert peer.value("Byte") == 77
        await it.sees(1, 77.0)
    assert peer.has_no_session()


async def test_the_keys_of_the_channel_are_changed_in_time(peer: Peer, known: Path, password: Path) -> None:
    # Polled: node-opcua answers each request under the keys it came with, and a wait for news outlives such a life.
    polled = site(peer, known, password, subscribe=False)
    async with running(polled, channel_lifetime_ms=1_600) as it:
        await it.sees(0, -2.25)
        # The server cuts off a channel whose keys are too old. If the machine stood still for long, that is no wonder:
        # then another stretch is looked at.
        for _ in range(20):
            before, first = peer.state()["connections"], len(it.sink.readings)
            began_ms = RealClock().mono_ms()
            await it.sink.until(lambda since=began_ms: RealClock().mono_ms() - since > 2_500)  # type: ignore[misc]
            times = [began_ms, *(reading.received_ms for reading in it.sink.readings[first:]), RealClock().mono_ms()]
            if peer.state()["connections"] == before or max(b - a for a, b in pairwise(times)) < 400:
                break
        assert peer.state()["connections"] == before
        assert (await it.command((1, 33.0))).kind is OutcomeKind.ACKNOWLEDGED
        await it.sees(1, 33.0)
        assert it.sink.counts["ok"] > 20


async def test_a_user_with_a_password_on_a_plain_channel(peer: Peer, password: Path, tmp_path: Path) -> None:
    plain = site(peer, tmp_path, password, policy=SecurityPolicy.NONE, mode=SecurityMode.NONE)
    async with running(plain) as it:
        await it.sees(0, -2.25)
        (up,) = [e for e in it.sink.events if isinstance(e, LinkChanged) and not e.device]
        assert up.cause == "connected"  # the server has the password encrypted under its own certificate
    assert not (tmp_path / "pki").exists()


async def test_an_unknown_certificate_is_kept_for_a_person_to_look_at(
    peer: Peer, tmp_path: Path, password: Path
) -> None:
    async with running(site(peer, tmp_path, password, reconnect_ms=100)) as it:
        cause = await refusal(it, "not trusted")
        (rejected,) = (tmp_path / "pki" / "rejected").glob("*.der")
        assert f"move {rejected} to {tmp_path / 'pki' / 'trusted'}" in cause
        assert f"scowl-edge pki trust {rejected.stem} --pki {tmp_path / 'pki'}" in cause
        assert x509.load_der_x509_certificate(rejected.read_bytes()).subject.rfc4514_string() in cause
        own, key = (tmp_path / "pki" / "own" / f"scowl-edge.{end}" for end in ("der", "pem"))
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        certificate = x509.load_der_x509_certificate(own.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        assert uri.startswith("urn:") and uri.endswith(":scowl-edge")
        assert certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=365)
        # PEM will do as well, and nobody has to restart anything.
        trusted = trust(tmp_path)
        pem = x509.load_der_x509_certificate(trusted.read_bytes()).public_bytes(Encoding.PEM)
        trusted.unlink()
        (trusted.parent / "plant.crt").write_bytes(pem)
        await it.sink.until(lambda: it.sink.flips("") == [False, True])
        assert own.read_bytes() == certificate.public_bytes(Encoding.DER)


async def test_what_only_a_person_can_help_is_asked_ever_more_seldom(peer: Peer, known: Path, password: Path) -> None:
    put(password, "wrong")
    before = peer.state()["sessions"]
    hurried = site(peer, known, password, reconnect_ms=100, timeout_ms=10_000, connect_timeout_ms=30_000)
    clock = RateClock(20, RealClock())
    tried_ms = clock.mono_ms()
    async with running(hurried, clock=clock, rate=20.0) as it:
        cause = await refusal(it, "log in")
        began_ms = clock.mono_ms()
        assert f"log in to {peer.endpoint} as {USER}" in cause and "check user and password" in cause
        await it.sink.until(lambda: clock.mono_ms() - began_ms > 60_000)
        # In a minute 7 at most, where every 100 ms would be 600; a machine that stands still makes it longer.
        await it.sink.until(lambda: peer.state()["sessions"] - before >= 4)
        tried = peer.state()["sessions"] - before
        assert tried <= most_attempts((clock.mono_ms() - tried_ms) / 1000)
        assert len(causes(it.sink)) == 1
        put(password, PASSWORD)
        await it.sink.until(lambda: it.sink.flips("") == [False, True])
        # None is left of those that were refused.
        await it.sink.until(lambda: peer.state()["open"] == 1, 30)


async def test_a_server_that_comes_back_with_another_certificate(
    own_pair: Path, tmp_path: Path, password: Path
) -> None:
    peer = Peer(anonymous=False)
    try:
        acquaint(own_pair, peer, tmp_path)
        async with running(site(peer, tmp_path, None)) as it:
            await refusal(it, "takes no anonymous sessions; give `user` and `password`")
        patient = site(peer, tmp_path, password, timeout_ms=4_000, connect_timeout_ms=10_000)
        async with running(patient, clock=RateClock(5, RealClock()), rate=5.0) as it:
            await it.sink.until(lambda: it.sink.flips("") == [True])
            peer.kill()
            await refusal(it, "connect to")
            shutil.rmtree(peer.pki)
            peer.start()
            # The link is down all the time, yet what a person must do is told.
            await refusal(it, "not trusted")
            assert it.sink.flips("") == [True, False, False]
            trust(tmp_path)
            await it.sink.until(lambda: it.sink.flips("")[-1])
    finally:
        peer.close()


async def test_refusals_say_what_to_do(peer: Peer, known: Path, password: Path) -> None:
    gone = known / "gone"
    for changes, words in (
        ({"password": Secret(file=str(gone), credential="")}, f"the password file {gone} cannot be read"),
        ({"password": Secret(file="", credential="opcua")}, "$CREDENTIALS_DIRECTORY is not set"),
    ):
        async with running(site(peer, known, password, **changes)) as it:
            assert words in await refusal(it, words)


async def test_a_credential_of_systemd_is_the_password(
    peer: Peer, known: Path, password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(known))
    async with running(site(peer, known, password, password=Secret(file="", credential="password"))) as it:
        await it.sees(0, -2.25)


async def test_an_own_certificate_that_expired_or_soon_will(peer: Peer, known: Path, password: Path) -> None:
    shutil.rmtree(known / "pki" / "own")
    long_ago = datetime.now(UTC) - timedelta(days=20 * 365 + 1)
    Pki(known / "pki").own(long_ago)
    async with running(site(peer, known, password)) as it:
        assert "the own certificate" in await refusal(it, "expired on")
    shutil.rmtree(known / "pki" / "own")
    Pki(known / "pki").own(long_ago + timedelta(days=30))
    async with running(site(peer, known, password)) as it:
        await it.sink.until(lambda: it.sink.flips("") == [True])
        (up,) = [e for e in it.sink.events if isinstance(e, LinkChanged) and not e.device]
        assert "own certificate" in up.cause and "expires on" in up.cause


async def test_a_server_that_lacks_the_policy_or_does_not_trust_us(tmp_path: Path, own_pair: Path) -> None:
    peer = Peer(policies=["None", "Basic256Sha256"], modes=["None", "SignAndEncrypt"], acceptsUnknown=False)
    try:
        acquaint(own_pair, peer, tmp_path)
        rare = site(peer, tmp_path, None, policy=SecurityPolicy.AES256_SHA256_RSA_PSS)
        async with running(rare) as it:
            cause = await refusal(it, "offers only")
            assert "offers only None, Basic256Sha256/SignAndEncrypt, not Aes256_Sha256_RsaPss/SignAndEncrypt" in cause
        async with running(site(peer, tmp_path, None)) as it:
            own = tmp_path / "pki" / "own" / "scowl-edge.der"
            await refusal(it, str(own))
            (seen,) = (peer.pki / "rejected").glob("*.pem")
            assert x509.load_pem_x509_certificate(seen.read_bytes()).public_bytes(Encoding.DER) == own.read_bytes()
            shutil.move(seen, peer.pki / "trusted" / "certs")
            await it.sink.until(lambda: it.sink.flips("") == [False, True])
    finally:
        peer.close()
