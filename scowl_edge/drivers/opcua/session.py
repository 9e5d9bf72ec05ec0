"""One activated session: its services in chunks that the server takes, every failure a DriverError.

asyncua is the codec and the secure channel. Its watchdogs and its reconnecting are left out: whether a session lives is
decided here and in the bus. Imported only when a driver connects.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence, Sized
from functools import partial
from typing import Any, TypeVar

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from scowl_edge.devices.declaration import OpcuaLink
from scowl_edge.drivers.errors import BadReply, LinkLost, Refused, ReplyTimeout
from scowl_edge.drivers.opcua.admission import LEAVE_WITHIN_S, Admitted, Means, abort, admit
from scowl_edge.drivers.opcua.answers import Misdirected, News, belongs, publish_answer, read_answer
from scowl_edge.drivers.opcua.names import NodeName
from scowl_edge.drivers.opcua.statuses import TOO_MUCH, driver_error
from scowl_edge.drivers.opcua.values import Values, joined

MOST_IN_ONE = 250
"""Nodes in one request where neither side says less: bounds how long one reply holds the loop up."""
_RENEW_AT = 0.75
"""Share of a channel's life after which it is renewed (OPC 10000-4, 5.5.2)."""
_NAMESPACES = 2255
_LIMITS = {"read": 11705, "write": 11707, "call": 11709, "browse": 11710, "monitor": 11714}
"""Variables of Server/ServerCapabilities/OperationLimits."""

Answer = TypeVar("Answer")
Item = TypeVar("Item")
Part = TypeVar("Part", bound=Sized)


def standard_node(number: int) -> ua.NodeId:
    """A node of namespace 0, which every server has under the same number."""
    return ua.NodeId(ua.Int32(number), ua.Int16(0))


def node_id(name: NodeName, namespaces: Sequence[str]) -> ua.NodeId | None:
    """The NodeId that a name stands for at this server today; None where the server lacks the namespace."""
    namespace = name.namespace(namespaces)
    return None if namespace is None else ua.NodeId(name.identifier, ua.Int16(namespace))  # type: ignore[arg-type]


class Session:
    """Services of one session. Get one from `Session.open`."""

    def __init__(self, link: OpcuaLink, means: Means, admitted: Admitted, lost: Callable[[], None]) -> None:
        protocol = admitted.client.uaclient.protocol
        if protocol is None or protocol.transport is None:
            raise LinkLost("the connection was lost", sent=False, what=f"connect to {link.endpoint}")
        self.namespaces: list[str] = []
        """The server's NamespaceArray, as it was when the session began."""
        self.remark = admitted.remark
        """What a person should know soon; empty if nothing."""
        self._link = link
        self._means = means
        self._client = admitted.client
        self._services = admitted.client.uaclient.session
        self._protocol = protocol
        self._channel_since_s = admitted.channel_since_s
        self._lost = lost
        self._broken = False
        self._suspect = False
        """The last request had no answer: then a farewell would have none either."""
        self._chunk: dict[str, int] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._watch_transport()
        self._watch_answers()

    @classmethod
    async def open(cls, link: OpcuaLink, means: Means, lost: Callable[[], None]) -> Session:
        """Connects, logs in, and learns the server's namespaces and limits.

        Args:
            link: Declaration.
            means: Password, times and counters.
            lost: Called once when the session is no more, unless it was left.

        Raises:
            DriverError: NotAdmitted where a person must change something first.
        """
        admitted = await admit(link, means)
        try:
            session = cls(link, means, admitted, lost)
            await session._learn()
        except BaseException:
            abort(admitted.client)
            raise
        session._keeper = asyncio.create_task(session._keep_channel(), name=f"opcua {link.name} channel")
        return session

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""
        return not self._broken

    def _watch_transport(self) -> None:
        before = self._protocol.on_connection_lost

        def gone(error: Exception | None) -> None:
            if before is not None:
                before(error)
            self.break_off()

        self._protocol.on_connection_lost = gone

    def _watch_answers(self) -> None:
        """The library takes for an answer what carries the request's number, whatever it is."""
        send = self._protocol.send_request

        async def exchange(
            request: Any, timeout: float | None = None, message_type: Any = ua.MessageType.SecureMessage
        ) -> Buffer:
            data = await send(request, timeout, message_type)
            belongs(request, data)
            return data

        self._protocol.send_request = exchange  # type: ignore[method-assign]

    def break_off(self) -> None:
        """The session is no more; the bus is told, once."""
        if not self._broken:
            self._broken = True
            self._lost()

    async def _learn(self) -> None:
        nodes = [standard_node(_NAMESPACES), *(standard_node(node) for node in _LIMITS.values())]
        values = await self.ask(
            "read its namespaces and limits", lambda: self._services.read_attributes(nodes, ua.AttributeIds.Value)
        )
        namespaces, *limits = [value.Value.Value if value.Value is not None else None for value in values]
        if not isinstance(namespaces, list) or len(limits) != len(_LIMITS):
            raise BadReply("the server gives no NamespaceArray", what="read its namespaces and limits")
        self.namespaces = [str(uri) for uri in namespaces]
        for service, limit in zip(_LIMITS, limits, strict=True):
            bounds = [MOST_IN_ONE, self._link.max_items, limit if isinstance(limit, int) else 0]
            self._chunk[service] = min(bound for bound in bounds if bound > 0)

    async def ask(self, what: str, request: Callable[[], Awaitable[Answer]], *, counted: bool = True) -> Answer:
        """One exchange. It is counted unless it is a wait for news, which shows nothing of who polls and commands.

        Raises:
            DriverError: its failure, in words.
        """
        if self._broken:
            raise LinkLost("the session is closed", sent=False, what=self._words(what))
        try:
            answer = await request()
        except Exception as raised:
            error = driver_error(raised, self._means.timeout_s)
            error.what = self._words(what)
            if counted:
                self._means.count(error.result)
            self._suspect = isinstance(error, ReplyTimeout)
            if isinstance(error, LinkLost | Misdirected):
                self.break_off()
            raise error from raised
        self._suspect = False
        if counted:
            self._means.count("ok")
        return answer

    def _words(self, what: str) -> str:
        return f"{what} (link {self._link.name})"

    async def in_chunks(
        self,
        service: str,
        what: str,
        items: Sequence[Item],
        request: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
    ) -> list[Answer]:
        """Asks for many things in as few exchanges as the server takes; halves them where it says that it is too much.

        Raises:
            DriverError: one of the exchanges failed; then none of the answers is handed on.
        """
        return [answer for part in await self._parts(service, what, items, request) for answer in part]

    async def _parts(
        self, service: str, what: str, items: Sequence[Item], request: Callable[[Sequence[Item]], Awaitable[Part]]
    ) -> list[Part]:
        parts: list[Part] = []
        done = 0
        while done < len(items):
            part = items[done : done + self._chunk[service]]
            words = f"{what} {len(part)} nodes"
            try:
                got = await self.ask(words, partial(request, part))
            except Refused as refused:
                if refused.code not in TOO_MUCH or len(part) == 1:
                    raise
                self._chunk[service] = max(len(part) // 2, 1)
                continue
            if len(got) != len(part):
                raise BadReply(f"{len(got)} answers came back", what=self._words(words))
            parts.append(got)
            done += len(part)
        return parts

    async def read_values(self, nodes: Sequence[ua.NodeId]) -> Values:
        """Values of many nodes, with the source's time stamps."""

        async def request(part: Sequence[ua.NodeId]) -> Values:
            asked = ua.ReadRequest()
            asked.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
            asked.Parameters.NodesToRead = [ua.ReadValueId(NodeId=n, AttributeId=ua.AttributeIds.Value) for n in part]
            return read_answer(await self._protocol.send_request(asked))

        return joined(await self._parts("read", "read", nodes, request))

    async def read(
        self, nodes: Sequence[ua.NodeId], *, attribute: int = ua.AttributeIds.Value, index_range: str | None = None
    ) -> list[ua.DataValue]:
        """One attribute of many nodes, with the source's time stamps."""

        def request(part: Sequence[ua.NodeId]) -> Awaitable[list[ua.DataValue]]:
            parameters = ua.ReadParameters(
                TimestampsToReturn=ua.TimestampsToReturn.Source,
                NodesToRead=[
                    ua.ReadValueId(NodeId=node, AttributeId=attribute, IndexRange=index_range) for node in part
                ],
            )
            return self._services.read(parameters)

        return await self.in_chunks("read", "read", nodes, request)

    async def write(self, what: str, node: ua.NodeId, value: ua.Variant, *, index_range: str | None = None) -> int:
        """Writes one value, without status or time stamps, which many servers refuse. Returns the status code."""
        item = ua.WriteValue(
            NodeId=node, AttributeId=ua.AttributeIds.Value, IndexRange=index_range, Value=ua.DataValue(value)
        )
        (status,) = await self.ask(what, lambda: self._services.write(ua.WriteParameters(NodesToWrite=[item])))
        return int(status.value)

    async def call(self, what: str, target: ua.NodeId, method: ua.NodeId, arguments: list[ua.Variant]) -> int:
        """Calls a method once. Returns the status code."""
        request = ua.CallMethodRequest(ObjectId=target, MethodId=method, InputArguments=arguments)
        (result,) = await self.ask(what, lambda: self._services.call([request]))
        return int(result.StatusCode.value)

    async def supertypes(self, types: Sequence[ua.NodeId]) -> list[ua.NodeId | None]:
        """The direct supertype of each data type; None where there is none."""

        def request(part: Sequence[ua.NodeId]) -> Awaitable[list[ua.BrowseResult]]:
            return self._services.browse(
                ua.BrowseParameters(
                    NodesToBrowse=[
                        ua.BrowseDescription(
                            NodeId=node,
                            BrowseDirection=ua.BrowseDirection.Inverse,
                            ReferenceTypeId=standard_node(ua.ObjectIds.HasSubtype),
                            IncludeSubtypes=True,
                            ResultMask=0,
                        )
                        for node in part
                    ]
                )
            )

        results = await self.in_chunks("browse", "look up the types of", types, request)
        return [result.References[0].NodeId if result.References else None for result in results]

    async def arguments(self, methods: Sequence[ua.NodeId]) -> list[ua.NodeId | None]:
        """The property that describes each method's arguments; None where it has none or is not known."""

        def request(part: Sequence[ua.NodeId]) -> Awaitable[list[ua.BrowsePathResult]]:
            step = ua.RelativePathElement(
                ReferenceTypeId=standard_node(ua.ObjectIds.HasProperty),
                IsInverse=False,  # type: ignore[arg-type]  # declared as a class of its own there
                IncludeSubtypes=True,  # type: ignore[arg-type]
                TargetName=ua.QualifiedName("InputArguments", 0),
            )
            paths = [ua.BrowsePath(StartingNode=node, RelativePath=ua.RelativePath(Elements=[step])) for node in part]
            return self._services.translate_browsepaths_to_nodeids(paths)

        results = await self.in_chunks("browse", "look up the arguments of", methods, request)
        return [result.Targets[0].TargetId if result.Targets else None for result in results]

    async def subscribe(self, parameters: ua.CreateSubscriptionParameters) -> ua.CreateSubscriptionResult:
        """Creates a subscription. What it brings comes out of `publish`."""
        request = ua.CreateSubscriptionRequest(Parameters=parameters)

        async def exchange() -> ua.CreateSubscriptionResult:
            # The library's own call would start the library's own publishing.
            response = struct_from_binary(ua.CreateSubscriptionResponse, await self._protocol.send_request(request))
            response.ResponseHeader.ServiceResult.check()
            return response.Parameters  # type: ignore[no-any-return]

        return await self.ask("create a subscription", exchange)

    async def monitor(
        self, subscription: int, items: Sequence[ua.MonitoredItemCreateRequest]
    ) -> list[ua.MonitoredItemCreateResult]:
        """Adds items to a subscription."""

        def request(part: Sequence[ua.MonitoredItemCreateRequest]) -> Awaitable[list[ua.MonitoredItemCreateResult]]:
            return self._services.create_monitored_items(
                ua.CreateMonitoredItemsParameters(
                    SubscriptionId=subscription,
                    TimestampsToReturn=ua.TimestampsToReturn.Source,
                    ItemsToCreate=list(part),
                )
            )

        return await self.in_chunks("monitor", "monitor", items, request)

    async def unsubscribe(self, subscription: int) -> None:
        """Deletes a subscription."""
        await self.ask("delete a subscription", lambda: self._services.delete_subscriptions([subscription]))

    async def publish(self, acknowledged: list[ua.SubscriptionAcknowledgement]) -> News:
        """Waits, however long, for the next notification or sign of life of any subscription.

        Raises:
            DriverError: the wait failed.
        """
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = acknowledged

        async def exchange() -> News:
            return publish_answer(await self._protocol.send_request(request, 0))

        return await self.ask("wait for notifications", exchange, counted=False)

    async def leave(self) -> None:
        """Says farewell, in a bounded time, and disconnects. Never raises but for cancellation."""
        was_open, self._broken = not self._broken, True
        if self._keeper is not None:
            self._keeper.cancel()
        try:
            if was_open and not self._suspect:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(LEAVE_WITHIN_S):
                        await self._client.uaclient.close_session(True)
                        await self._client.uaclient.close_secure_channel()
        finally:
            abort(self._client)

    async def _keep_channel(self) -> None:
        """Renews the channel's keys in time; a channel that cannot be renewed is given up."""
        client, loop = self._client, asyncio.get_running_loop()
        while True:
            due_s = self._channel_since_s + client.secure_channel_timeout / 1000 * _RENEW_AT
            await asyncio.sleep(due_s - loop.time())
            self._channel_since_s = loop.time()
            try:
                await self.ask("renew the secure channel", lambda: client.open_secure_channel(renew=True))
            except (LinkLost, ReplyTimeout, Refused, BadReply):
                self.break_off()
                return
            client.uaclient.revolve_security_token()
