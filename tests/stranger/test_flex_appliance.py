"""The listener of `scowl-flex/1` with a manager in JavaScript, which knows the protocol by its text alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import orjson
from node_peer import environment, node_modules, node_program

from scowl_edge.clocks import wall_ms
from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.model.exchange import AckStatus, Select, SelectStatus, State
from scowl_edge.model.flexibility import Mode, SelectionState
from tests.integration.flex.flex_nodes import CEM, DSRSP, Daemon, Region, provider, told, until

SCRIPT = Path(__file__).with_name("flex_appliance.cjs")


async def test_a_manager_in_javascript(tmp_path: Path) -> None:
    node, modules = node_program(), await asyncio.to_thread(node_modules, "ws@8")
    region, there = Region(tmp_path), Daemon()
    tls = region.tls(CEM)
    async with provider(region.tls(DSRSP), there) as listener:
        process = await asyncio.create_subprocess_exec(
            str(node),
            str(SCRIPT),
            listener.url,
            *(str(path) for path in (tls.ca, tls.certificate, tls.key)),
            CEM,
            DSRSP,
            env=environment(modules),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await until(lambda: there.messages and there.beats, "its state and its heartbeat")
            assert isinstance(there.messages[0].body, State) and there.state is LinkState.UP
            select = Select(
                select_id=str(uuid4()),
                esa_id="esa-00000001",
                offer_id=str(uuid4()),
                profile_id=str(uuid4()),
                rev=1,
                start_ms=wall_ms() + 600_000,
                mode=Mode.RESPONSE,
            )
            asked = told(0, src=DSRSP, dst=CEM, body=select)
            assert listener.send(CEM, asked) == ""
            await until(lambda: len(there.messages) == 2 and asked.id in there.answers, "its answer")
            ack, _ = there.answers[asked.id]
            assert ack is not None and ack.status is AckStatus.OK
            status = there.messages[1]
            assert status.corr == asked.id and isinstance(status.body, SelectStatus)
            assert (status.body.select_id, status.body.state) == (select.select_id, SelectionState.ACCEPTED)
            listener.link(CEM).drop("enough")
            assert process.stdout is not None
            heard = []
            async with asyncio.timeout(60):
                while not heard or heard[-1]["type"] != "closed":
                    heard.append(orjson.loads(await process.stdout.readline()))
            assert [one["seq"] for one in heard[:-1]] == list(range(1, len(heard)))
            assert [one["type"] for one in heard].count("ack") == 2
            assert (heard[-1]["code"], heard[-1]["reason"]) == (1001, "enough")
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
