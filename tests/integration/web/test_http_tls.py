"""TLS on the one port: what clients see, files that change, files that do not fit."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import uvloop
from structlog.testing import capture_logs

from scowl_edge.metrics import Metrics
from scowl_edge.web import Listener, ListenError, TlsFiles, TokenSource, create_app, listen
from scowl_edge.web.tls import TlsError
from tests.integration.web.cabinet import TOKEN, Site, State, region_view
from tests.integration.web.certificates import write_pair


@asynccontextmanager
async def secured(state: State, files: TlsFiles) -> AsyncIterator[Listener]:
    """A server with TLS."""
    token = files.certificate.with_name("token")
    token.write_text(TOKEN)
    app = create_app(state, Metrics(state), operator=TokenSource("token", token, None))
    listener = await listen(app, "127.0.0.1", 0, tls=files)
    try:
        yield listener
    finally:
        await listener.close()


def trusting(certificate: Path) -> aiohttp.ClientSession:
    """A client that trusts this certificate and nothing else; each request makes a connection of its own."""
    context = ssl.create_default_context(cafile=certificate)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, force_close=True))


async def test_reading_streaming_and_ordering(state: State, tmp_path: Path) -> None:
    files = write_pair(tmp_path)
    async with secured(state, files) as listener, trusting(files.certificate) as http:
        assert listener.url.startswith("https://127.0.0.1:")
        site = Site(state, Metrics(state), listener.url, http, tmp_path / "token")
        assert (await site.json("/api/v1/region"))["site"] == "cabinet-17"
        async with http.get(listener.url + "/api/v1/live") as answer:
            assert (await answer.content.readline()).startswith(b"id: 42")
        path, order = "/api/v1/devices/hall-a/mode", {"mode": "auto", "who": "Ada", "why": "done"}
        await site.order(path, 202, order, Origin=listener.url)
        # A page of ours is never a plain one here.
        await site.order(path, 403, order, Origin=listener.url.replace("https", "http"))
        assert len(state.orders) == 1


async def test_a_stranger_and_an_old_protocol_are_refused(state: State, tmp_path: Path) -> None:
    files, other = write_pair(tmp_path), write_pair(tmp_path, "other")
    async with secured(state, files) as listener:
        async with trusting(other.certificate) as http:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await http.get(listener.url)
        old = ssl.create_default_context(cafile=files.certificate)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=old)) as http:
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.get(listener.url)
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientError):
                await http.get(listener.url.replace("https", "http"))
        async with trusting(files.certificate) as http, http.get(listener.url + "/healthz") as answer:
            assert answer.status == 200


async def test_a_changed_pair_counts_for_new_connections(state: State, tmp_path: Path) -> None:
    files = write_pair(tmp_path)
    before = tmp_path / "before.crt"
    before.write_bytes(files.certificate.read_bytes())
    async with secured(state, files) as listener, trusting(before) as early:
        assert listener.tls is not None
        async with early.get(listener.url + "/api/v1/live") as lasting:
            await lasting.content.readline()
            write_pair(tmp_path)
            await listener.tls.refresh()
            state.step()
            await lasting.content.readuntil(b"id: 43")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await early.get(listener.url + "/healthz")
        async with trusting(files.certificate) as http, http.get(listener.url + "/healthz") as answer:
            assert answer.status == 200


async def test_half_a_change_keeps_the_last_good_pair(state: State, tmp_path: Path) -> None:
    files, other = write_pair(tmp_path), write_pair(tmp_path, "other")
    before = tmp_path / "before.crt"
    before.write_bytes(files.certificate.read_bytes())
    async with secured(state, files) as listener, trusting(before) as http:
        assert listener.tls is not None
        with capture_logs() as log:
            files.certificate.write_bytes(other.certificate.read_bytes())
            await listener.tls.refresh()
            await listener.tls.refresh()
        assert [entry["event"] for entry in log] == ["certificate not replaced; the last good one stays"]
        assert "does not belong to" in log[0]["why"]
        async with http.get(listener.url + "/healthz") as answer:
            assert answer.status == 200
        files.key.write_bytes(other.key.read_bytes())
        await listener.tls.refresh()
    async with (
        secured(state, files) as listener,
        trusting(other.certificate) as http,
        http.get(listener.url + "/healthz") as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize(
    ("days", "level", "said"),
    [
        (90, None, ""),
        (5, "warning", "certificate ends soon"),
        (-5, "error", "certificate is not valid: clients will refuse it"),
    ],
)
async def test_a_certificate_that_ends_is_told(
    state: State, tmp_path: Path, days: int, level: str | None, said: str
) -> None:
    with capture_logs() as log:
        async with secured(state, write_pair(tmp_path, days=days)):
            pass
    told = [(entry["log_level"], entry["event"]) for entry in log if "certificate" in entry["event"]]
    assert told == ([] if level is None else [(level, said)])
    if days < 0:
        assert "expired" in log[0]["why"]


async def test_files_that_do_not_fit_are_told_in_words(state: State, tmp_path: Path) -> None:
    good, other = write_pair(tmp_path), write_pair(tmp_path, "other")
    locked = write_pair(tmp_path, "locked", passphrase=b"secret")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("not PEM at all")
    for files, said in (
        (TlsFiles(tmp_path / "none.crt", good.key), "none.crt cannot be read: No such file"),
        (TlsFiles(good.certificate, tmp_path / "none.key"), "none.key cannot be read: No such file"),
        (TlsFiles(good.certificate, other.key), "does not belong to the certificate"),
        (TlsFiles(rubbish, good.key), "not a certificate and its key in PEM"),
        (TlsFiles(good.certificate, rubbish), "not a certificate and its key in PEM"),
        (TlsFiles(good.key, good.certificate), "not a certificate and its key in PEM"),
        (locked, "is encrypted; write it without a passphrase"),
    ):
        with pytest.raises(TlsError, match=said):
            async with asyncio.timeout(60), secured(state, files):
                pass


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "edge.example", "::"])
async def test_plain_is_refused_off_loopback(state: State, host: str) -> None:
    with pytest.raises(ListenError, match="in the clear"):
        await listen(create_app(state, Metrics(state)), host, 0)


async def test_off_loopback_with_tls_its_address_is_a_name_of_its_own(state: State, tmp_path: Path) -> None:
    files = write_pair(tmp_path)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    app = create_app(state, Metrics(state), host="0.0.0.0", operator=TokenSource("token", token, None))
    listener = await listen(app, "0.0.0.0", 0, tls=files)
    try:
        async with trusting(files.certificate) as http:
            url = listener.url.replace("0.0.0.0", "127.0.0.1")
            async with http.get(url + "/api/v1/region") as answer:
                assert answer.status == 401
            order = {"mode": "auto", "who": "Ada", "why": "done"}
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with http.post(url + "/api/v1/devices/hall-a/mode", json=order, headers=headers) as answer:
                assert answer.status == 202
            headers["Host"] = "elsewhere.example"
            async with http.post(url + "/api/v1/devices/hall-a/mode", json=order, headers=headers) as answer:
                assert answer.status == 421
    finally:
        await listener.close()


def test_on_uvloop(tmp_path: Path) -> None:
    """The daemon's loop where it is installed: its TLS is its own."""

    async def story() -> None:
        await test_reading_streaming_and_ordering(State(view=region_view()), tmp_path)
        await test_a_changed_pair_counts_for_new_connections(State(view=region_view()), tmp_path)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
