"""Debian's Chromium without a window, driven over its DevTools socket: what a person at the page would do and see."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

START_S = 90.0
ANSWER_S = 60.0
_LOOK_AGAIN_S = 0.05
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--hide-scrollbars",
    "--proxy-server=direct://",
)
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


class Browser:
    """One browser process and its socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._heard: dict[str, Callable[[str, dict[str, Any]], None]] = {}

    async def listen(self) -> None:
        """Takes answers and events until the socket ends."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                waiting = self._answers.pop(said["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(said)
            elif said.get("sessionId") in self._heard:
                self._heard[said["sessionId"]](said["method"], said["params"])

    async def send(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """One command and its result. Fails with what the browser says."""
        self._number += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        message = {"id": self._number, "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": session} if session else {}))
        said = await asyncio.wait_for(answer, ANSWER_S)
        assert "error" not in said, f"{method}: {said.get('error')}"
        result: dict[str, Any] = said["result"]
        return result

    async def page(self, width: int, height: int, *, dark: bool = False) -> Page:
        """A new empty page of that size, in CSS pixels."""
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        target = (await self.send("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = Page(self, session)
        self._heard[session] = page.hear
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.send(f"{domain}.enable")
        await page.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        await page.send("Emulation.setEmulatedMedia", features=features)
        return page


class Page:
    """One page; `troubles` is all that a developer's console would show in red, and every request that failed."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._requests: dict[str, str] = {}
        self.troubles: list[str] = []
        self.hosts: set[str] = set()
        """Scheme, host and port of every request."""

    def hear(self, method: str, said: dict[str, Any]) -> None:
        """Takes an event."""
        if method == "Network.requestWillBeSent":
            url = said["request"]["url"]
            self._requests[said["requestId"]] = url
            self.hosts.add("/".join(url.split("/")[:3]))
        elif method == "Network.responseReceived" and said["response"]["status"] >= 400:
            self.troubles.append(f"{said['response']['status']} {said['response']['url']}")
        elif method == "Network.loadingFailed" and not said.get("canceled"):
            self.troubles.append(f"{said['errorText']} {self._requests.get(said['requestId'])}")
        elif method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.troubles.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert", "warning"):
            self.troubles.append(f"console: {said['args']}")
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.troubles.append(f"{said['entry']['source']}: {said['entry']['text']} {said['entry'].get('url', '')}")

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command to this page."""
        return await self._browser.send(method, self._session, **parameters)

    async def go(self, url: str) -> None:
        """Loads a page, to the end of its scripts' first run."""
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'", f"{url} is loaded")

    async def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited."""
        done = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, f"{script}: {done['exceptionDetails']}"
        return done["result"].get("value")

    async def until(self, script: str, what: str, within_s: float = ANSWER_S) -> Any:
        """The first truthy value of an expression. Fails with `what` after so long."""
        return await until(lambda: self.run(script), f"{what}; console: {self.troubles}", within_s)

    async def text(self, selector: str) -> str:
        """What stands in an element."""
        return str(
            await self.until(f"document.querySelector({json.dumps(selector)})?.innerText", f"{selector} is there")
        )

    async def click(self, selector: str) -> None:
        """A mouse click in the middle of an element, once it stands still and nothing covers it."""
        place = await self.until(
            f"""(async () => {{
              const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
              const node = document.querySelector({json.dumps(selector)});
              node?.scrollIntoView({{block: "center"}});
              const before = node?.getBoundingClientRect();
              await frame();
              await frame();
              const box = node?.getBoundingClientRect();
              if (!box?.width || box.x !== before.x || box.y !== before.y) return null;
              const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
              return node.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
            }})()""",
            f"{selector} can be clicked",
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    async def press(self, key: str) -> None:
        """One key down and up."""
        code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": _KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {"text": " "} if key == " " else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **code)

    async def type(self, selector: str, text: str) -> None:
        """Clicks a field, and puts a text in the place of what stands there."""
        await self.click(selector)
        await self.run("document.activeElement.select?.()")
        await self.send("Input.insertText", text=text)

    async def choose(self, selector: str, value: str) -> None:
        """An option of a select: its list is a window of its own, which a browser without one does not show."""
        await self.run(
            f"""(() => {{
              const node = document.querySelector({json.dumps(selector)});
              node.value = {json.dumps(value)};
              node.dispatchEvent(new Event("change", {{bubbles: true}}));
            }})()"""
        )

    async def screenshot(self) -> bytes:
        """What is in view, as PNG."""
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])


async def until(look: Callable[[], Awaitable[Any]], what: str, within_s: float) -> Any:
    """The first truthy answer. Fails with `what`, and what was seen last."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while True:
        seen = await look()
        if seen:
            return seen
        assert loop.time() < end, f"not within {within_s:g} s: {what}; last seen: {seen!r}"
        await asyncio.sleep(_LOOK_AGAIN_S)


@asynccontextmanager
async def browser(program: str, directory: Path) -> AsyncIterator[Browser]:
    """A browser with an empty profile in `directory`; it ends with the block."""
    profile = directory / "profile"
    log = (directory / "chromium.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        program, *_QUIET, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank",
        stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        port = profile / "DevToolsActivePort"

        async def listening() -> list[str]:
            assert process.returncode is None, (directory / "chromium.log").read_text()[-2000:]
            return lines if port.exists() and len(lines := port.read_text().splitlines()) == 2 else []

        lines = await until(listening, "Chromium opens its DevTools", START_S)
        url = f"http://127.0.0.1:{lines[0]}{lines[1]}"
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=5.0)) as socket,
        ):
            made = Browser(socket)
            listener = asyncio.create_task(made.listen())
            try:
                yield made
                with contextlib.suppress(AssertionError, TimeoutError, ConnectionError):
                    await made.send("Browser.close")
            finally:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 90)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        log.close()
