"""A server on asyncua in the test's own process, with what node-opcua does not do: overlook index ranges, for one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from asyncua import Server, ua
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.server.binary_server_asyncio import OPCUAProtocol

from simulators.opcua_space import SmallInternalServer

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

    def add_many(self, names: Iterable[str]) -> None:
        """Doubles that hold their place in the order; past the library's own way, which looks at all before each."""
        space, rights = self.server.iserver.aspace, ua.AccessLevel.CurrentRead.mask | ua.AccessLevel.CurrentWrite.mask
        for number, name in enumerate(names):
            node = NodeData(ua.NodeId(name, self.namespace))
            for attribute, value, kind in (
                (ua.AttributeIds.Value, float(number), ua.VariantType.Double),
                (ua.AttributeIds.DataType, ua.NodeId(ua.ObjectIds.Double), ua.VariantType.NodeId),
                (ua.AttributeIds.AccessLevel, rights, ua.VariantType.Byte),
                (ua.AttributeIds.UserAccessLevel, rights, ua.VariantType.Byte),
            ):
                node.attributes[attribute] = AttributeValue(ua.DataValue(ua.Variant(value, kind)))
            space[node.nodeid] = node

    def connections(self) -> list[OPCUAProtocol]:
        """Those that are open, oldest first."""
        assert self.server.bserver is not None
        return list(self.server.bserver.clients)

    def items(self) -> list[int]:
        """How many each subscription has."""
        subscriptions = self.server.iserver.subscription_service.subscriptions.values()
        return [len(each.monitored_item_srv._monitored_items) for each in subscriptions]

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
async def plant(own: Path | None = None) -> AsyncIterator[Plant]:
    """Runs it, with this certificate and key for those who want to speak encrypted."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    server = Server(iserver=SmallInternalServer())
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/plant")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if own is not None:
        await server.load_certificate(own / "scowl-edge.der")
        await server.load_private_key(own / "scowl-edge.pem")
        policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
    server.set_security_policy(policies)
    namespace = await server.register_namespace(SITE)
    await server.start()
    try:
        yield Plant(server, namespace)
    finally:
        clock, server.iserver.time_task = server.iserver.time_task, None
        if clock is not None:
            clock.cancel()  # the library would sleep for a second first
        await server.stop()
