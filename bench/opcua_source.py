"""The load's other side: an OPC-UA server of many doubles, all of which change once a second.

Sessions, subscriptions and messages are asyncua's. Only what a notification holds is packed here, many items at once:
value by value that library cannot keep 10,000 a second. Each value is the machine's monotonic clock, in s, at the
moment of the change, so whoever receives it knows how old it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections import deque
from typing import Any, ClassVar

import numpy as np
from asyncua import Server, ua
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.server.internal_subscription import InternalSubscription

from bench.machine import on_core

NAMESPACE = "urn:bench"
_ITEM = np.dtype([("handle", "<u4"), ("mask", "u1"), ("kind", "u1"), ("value", "<f8"), ("stamp", "<i8")])
_VALUE_AND_SOURCE_TIME, _DOUBLE = 0x05, 11
_EPOCH_TICKS = 116_444_736_000_000_000
_TYPE = ua.NodeId(ua.Int32(ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary), ua.Int16(0))


class _Outbox:
    """What one subscription has to say: packed notifications of so many items each."""

    def __init__(self, subscription: InternalSubscription, most: int) -> None:
        items = subscription.monitored_item_srv._monitored_items.values()
        self.handles = np.array([item.client_handle for item in items], np.uint32)
        self.parts: deque[tuple[int, bytes]] = deque()
        self._most = most

    def change(self, now_s: float) -> int:
        """All its items change; returns how many values that waited are overwritten, as queues of one item are."""
        lost = sum(count for count, _ in self.parts)
        self.parts.clear()
        stamp = time.time_ns() // 100 + _EPOCH_TICKS
        for first in range(0, len(self.handles), self._most):
            handles = self.handles[first : first + self._most]
            items = np.zeros(len(handles), _ITEM)
            items["handle"], items["value"], items["stamp"] = handles, now_s, stamp
            items["mask"], items["kind"] = _VALUE_AND_SOURCE_TIME, _DOUBLE
            body = len(handles).to_bytes(4, "little") + items.tobytes() + b"\xff\xff\xff\xff"
            self.parts.append((len(handles), body))
        return lost


class Source(InternalSubscription):
    """A subscription that says what is in its outbox; without one it behaves as the library's."""

    outboxes: ClassVar[dict[int, _Outbox]] = {}
    sent = 0

    def has_published_results(self) -> bool:
        """Whether there is something to say."""
        outbox = self.outboxes.get(self.data.SubscriptionId)
        return bool(outbox and outbox.parts) or super().has_published_results()

    def _pop_triggered_datachanges(self, result: ua.PublishResult) -> None:
        outbox = self.outboxes.get(self.data.SubscriptionId)
        if outbox is None:
            super()._pop_triggered_datachanges(result)
        elif outbox.parts:
            count, body = outbox.parts.popleft()
            Source.sent += count
            result.NotificationMessage.NotificationData.append(ua.ExtensionObject(_TYPE, ua.ByteString(body)))

    def _pop_publish_result(self) -> ua.PublishResult:
        result = super()._pop_publish_result()
        outbox = self.outboxes.get(self.data.SubscriptionId)
        result.MoreNotifications = bool(outbox and outbox.parts)
        if result.MoreNotifications and self.pub_request_callback is not None:
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self.publish_results()))
        return result


async def change(server: Any, most: int, seconds: float, period_s: float) -> dict[str, int]:
    """Changes everything once a period; returns what was changed, sent, and overwritten before it could be."""
    subscriptions = server.iserver.subscription_service.subscriptions
    Source.outboxes = {number: _Outbox(each, most) for number, each in subscriptions.items()}
    Source.sent = changes = lost = 0
    due = time.monotonic()
    for _ in range(round(seconds / period_s)):
        now_s = time.monotonic()
        for number, outbox in Source.outboxes.items():
            lost += outbox.change(now_s)
            changes += len(outbox.handles)
            await subscriptions[number].publish_results()
        due += period_s
        await asyncio.sleep(max(due - time.monotonic(), 0.0))
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if not any(outbox.parts for outbox in Source.outboxes.values()):
            break
        await asyncio.sleep(0.01)
    found = {"changes": changes, "sent": Source.sent, "overwritten": lost}
    Source.outboxes = {}
    return found


async def serve(items: int, most: int) -> None:
    """Serves; each line `SECONDS PERIOD` on stdin has the items change so long, and is answered in JSON."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    import asyncua.server.subscription_service as service

    service.InternalSubscription = Source  # type: ignore[misc]
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    namespace = await server.register_namespace(NAMESPACE)
    for n in range(1, items + 1):
        # Past the library's own way, which looks at all nodes before it adds one.
        node = NodeData(ua.NodeId(ua.Int32(n), ua.Int16(namespace)))
        value = ua.DataValue(ua.Variant(0.0, ua.VariantType.Double))
        node.attributes[ua.AttributeIds.Value] = AttributeValue(value)
        server.iserver.aspace[node.nodeid] = node
    async with server:
        listening: Any = server.bserver
        print(listening._server.sockets[0].getsockname()[1], flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            seconds, period = map(float, line.split())
            print(json.dumps(await change(server, most, seconds, period)), flush=True)


def main() -> None:
    """Runs the server on the second core."""
    parser = argparse.ArgumentParser(prog="python -m bench.opcua_source", description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=250, help="items in one notification")
    options = parser.parse_args()
    on_core(1)
    from scowl_edge.cli.run import on_fastest_loop

    on_fastest_loop(serve(options.items, options.at_once))


if __name__ == "__main__":
    main()
