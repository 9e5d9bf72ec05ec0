"""Sessions and connections of a simulated OPC-UA server: the library's, but every request goes through the door."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_session import InternalSession, SessionState
from asyncua.server.uaprocessor import UaProcessor

from simulators.opcua_door import UNHEARD, USUAL, Door, Fate, standard_id, status
from simulators.opcua_space import SmallInternalServer

_CLOSE = standard_id(ua.ObjectIds.CloseSessionRequest_Encoding_DefaultBinary)


class _Session(InternalSession):
    """A session whose values come from the plant at the moment of the request."""

    iserver: DoorServer

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        door = self.iserver.door
        if not self.external or door is None:
            return await super().read(params)
        door.catch_up()
        results = [door.read(wanted) or self._standard(wanted) for wanted in params.NodesToRead]
        # What waits to be told to subscribers must not be older than what somebody has read.
        seen = (door.variables.get(wanted.NodeId) for wanted in params.NodesToRead)
        await door.show(frozenset(device for variable in seen if variable for device in variable.devices))
        return results

    def _standard(self, wanted: ua.ReadValueId) -> ua.DataValue:
        return self.aspace.read_attribute_value(wanted.NodeId, wanted.AttributeId)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        door = self.iserver.door
        if not self.external or door is None:
            return await super().write(params)
        door.catch_up()
        results = []
        for wanted in params.NodesToWrite:
            code = door.write(wanted)
            if code is not None:
                results.append(status(code))
            elif wanted.NodeId not in self.aspace:
                results.append(status(ua.StatusCodes.BadNodeIdUnknown))
            else:
                results.append(status(ua.StatusCodes.BadNotWritable))
        written = (door.variables.get(wanted.NodeId) for wanted in params.NodesToWrite)
        await door.show(frozenset(device for variable in written if variable for device in variable.devices))
        return results

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        door = self.iserver.door
        if not self.external or door is None:
            return await super().call(params)
        door.catch_up()
        results = []
        for wanted in params:
            method = door.methods.get(wanted.MethodId)
            if method is None:
                code = ua.StatusCodes.BadMethodInvalid
            elif door.objects[wanted.MethodId] != wanted.ObjectId:
                code = ua.StatusCodes.BadNodeIdInvalid
            else:
                code = door.call(method, wanted.InputArguments or [])
            results.append(ua.CallMethodResult(StatusCode=status(code)))
        called = (door.methods.get(wanted.MethodId) for wanted in params)
        await door.show(frozenset(method.behind.device for method in called if method))
        return results


class DoorServer(SmallInternalServer):
    """The library's server with sessions of ours."""

    door: Door | None = None

    def create_session(self, name: str, user: User | None = None, external: bool = False) -> InternalSession:
        """A session for somebody who has just connected."""
        user = user or User(role=UserRole.Anonymous)
        return _Session(self, self.aspace, self.subscription_service, name, user=user, external=external)


class _Processor(UaProcessor):
    """Carries out requests as their fate wants it."""

    iserver: DoorServer

    def __init__(self, iserver: DoorServer, transport: Any, limits: Any) -> None:
        super().__init__(iserver, transport, limits)
        self._fates: dict[int, Fate] = {}
        """By request, of those that are not answered in the usual way."""
        self.dead = False
        """Whether nothing is answered on this connection any more."""

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        door = self.iserver.door
        if door is not None:
            door.catch_up()
            fate = UNHEARD if door.frozen else door.fate(typeid, body.copy())
            if door.frozen:
                door.unheard()
            self.dead = self.dead or door.goes_dead()
            if self.dead or not fate.carried_out:
                return True
            if fate != USUAL:
                self._fates[seqhdr.RequestId] = fate
        if self.session is not None and self.session.state is SessionState.Closed and typeid != _CLOSE:
            # The library says that it is not activated, which would invite the client to activate it once more.
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        return await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]

    def send_response(
        self, requesthandle: Any, seqhdr: Any, response: Any, msgtype: Any = ua.MessageType.SecureMessage
    ) -> None:
        fate = self._fates.pop(seqhdr.RequestId, USUAL)
        if self.dead or not fate.answered:
            return
        if fate.late_s:
            asyncio.get_running_loop().call_later(fate.late_s, self._send_late, requesthandle, seqhdr, response)
            return
        super().send_response(requesthandle, seqhdr, response, msgtype)  # type: ignore[no-untyped-call]

    def _send_late(self, requesthandle: Any, seqhdr: Any, response: Any) -> None:
        if not self._transport.is_closing():
            self.send_response(requesthandle, seqhdr, response)

    def get_publish_request(self, subscription_id: Any) -> Any:
        """None while the server is frozen, so that not even a sign of life leaves."""
        if self.dead or (self.iserver.door is not None and self.iserver.door.frozen):
            self._publish_results_subs[subscription_id] = True
            return None
        return super().get_publish_request(subscription_id)


class _Protocol(OPCUAProtocol):
    """One connection."""

    iserver: DoorServer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.processor is not None:
            self.processor = _Processor(self.iserver, self.transport, self.limits)
            self.processor.set_policies(self.policies)  # type: ignore[no-untyped-call]

    async def _process_one_msg(self, header: Any, buf: Any) -> bool:
        # Whoever greets a frozen server, or renews a channel with it, waits.
        door = self.iserver.door
        if door is not None and header.MessageType != ua.MessageType.SecureMessage:
            door.catch_up()
            dead = isinstance(self.processor, _Processor) and self.processor.dead
            if (dead or door.frozen) and header.MessageType != ua.MessageType.SecureClose:
                return True
        return await super()._process_one_msg(header, buf)


class DoorListener(BinaryServer):
    """Accepts connections."""

    iserver: DoorServer

    def _make_protocol(self) -> OPCUAProtocol:
        return _Protocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )

    def abort(self) -> None:
        """Cuts every connection."""
        for client in list(self.clients):
            if client.transport is not None:
                client.transport.abort()
