"""A server on asyncua in the test's own process, with what node-opcua does not do: overlook index ranges, for one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncua import Server, ua

SITE = "urn:site"


class Plant:
    """A running server with a few nodes in the namespace `urn:site`."""

    def __init__(self, server: Server, namespace: int) -> None:
        self.server = server
        self.namespace = namespace
        self.writes: list[tuple[str, object]] = []

    @property
    def endpoint(self) -> str:
        (listening,) = self.server.bserver._server.sockets  # type: ignore[union-attr]
        return f"opc.tcp://127.0.0.1:{listening.getsockname()[1]}/plant"

    async def add(self, name: str, value: object, kind: ua.VariantType, data_type: ua.NodeId | None = None) -> None:
        node = await self.server.nodes.objects.add_variable(
            ua.NodeId(name, self.namespace), name, value, varianttype=kind, datatype=data_type
        )
        await node.set_writable()

    async def put(self, name: str, value: float) -> None:
        await self.server.get_node(ua.NodeId(name, self.namespace)).write_value(value, ua.VariantType.Double)

    def subscriptions(self) -> list[int]:
        """Numbers of those that exist."""
        return list(self.server.iserver.subscription_service.subscriptions)

    def hush(self) -> None:
        """Subscriptions of now publish nothing any more, not even that they live."""
        for subscription in self.server.iserver.subscription_service.subscriptions.values():
            assert subscription._task is not None
            subscription._task.cancel()

    async def value(self, name: str) -> object:
        return await self.server.get_node(ua.NodeId(name, self.namespace)).read_value()

    async def kind(self, name: str) -> str:
        data = await self.server.get_node(ua.NodeId(name, self.namespace)).read_data_value()
        return data.Value.VariantType.name


@asynccontextmanager
async def plant() -> AsyncIterator[Plant]:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/plant")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    namespace = await server.register_namespace(SITE)
    async with server:
        yield Plant(server, namespace)
