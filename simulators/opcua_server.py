"""A simulated OPC-UA server: nodes, security, subscribers kept up to date, and what can be done to it as a whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asyncua import Node, Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

from scowl_edge.devices.declaration import OpcuaLink, Secret, SecurityMode, SecurityPolicy
from simulators.binding import Bindings
from simulators.certificates import Identity, identity_in
from simulators.faults import ServerAction
from simulators.opcua_door import VARIANT_TYPES, Door, standard_id, status
from simulators.opcua_nodes import Address, Method, Variable, plan_nodes
from simulators.opcua_sessions import DoorListener, DoorServer
from simulators.plant import Plant, SimulationError
from simulators.wire.record import Record

_STATUS_EVERY_MS = 1000
_POLICIES = {
    SecurityPolicy.BASIC256_SHA256: "Basic256Sha256",
    SecurityPolicy.AES128_SHA256_RSA_OAEP: "Aes128Sha256RsaOaep",
    SecurityPolicy.AES256_SHA256_RSA_PSS: "Aes256Sha256RsaPss",
}


@dataclass(slots=True)
class _Shown:
    """What subscribers of a variable were told last."""

    id: ua.NodeId
    variable: Variable
    value: ua.DataValue
    due_ms: int = 0


class _Users(UserManager):
    """Who may open a session: whom the configuration names, or everybody if it names nobody."""

    def __init__(self, user: str, password: Secret | None) -> None:
        self._user = user
        self._password = password

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        """None: access denied."""
        if not self._user or (username == self._user and password == _text_of(self._password)):
            return User(role=UserRole.User, name=username)
        return None


def _text_of(secret: Secret | None) -> str:
    """Raises SimulationError: it cannot be read."""
    if secret is None:
        return ""
    path = Path(secret.file) if secret.file else Path(os.environ.get("CREDENTIALS_DIRECTORY", "")) / secret.credential
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SimulationError(f"cannot read the password in {path}: {error.strerror}; write it there") from error


class _LibraryServer(Server):
    """The library's server on our listener; it can start again."""

    async def listen(self, host: str, port: int) -> int:
        """Opens the port; the port that it got, if 0 was asked for."""
        self._policies = []
        self.iserver.endpoints = []
        await self._setup_server_nodes()
        await self.iserver.start()
        listener = DoorListener(self.iserver, host, port, self.limits)
        listener.set_policies(self._policies)
        await listener.start()
        self.bserver = listener
        return listener.port

    async def hang_up(self) -> None:
        """Closes the port and every connection; sessions and subscriptions are forgotten."""
        listener = self.bserver
        if not isinstance(listener, DoorListener):
            return
        self.bserver = None
        listener.abort()
        await self.end_sessions()
        await listener.stop()

    async def end_sessions(self) -> None:
        """Every session of a client ends, with its subscriptions."""
        for session in list(self.iserver._external_sessions.values()):
            await session.close_session(True)


class OpcuaServer:
    """Plays all devices of one link, or of several that lead to one endpoint."""

    def __init__(
        self,
        links: Sequence[OpcuaLink],
        plant: Plant,
        bindings: Bindings,
        folder: Path,
        *,
        catch_up: Callable[[], None],
        seconds: Callable[[float], float],
        record: Record,
    ) -> None:
        """Plans its nodes.

        Args:
            links: Links of one endpoint; the first one says who may come in.
            plant: The physics.
            bindings: What stands behind each point.
            folder: Where its certificates lie, or are made.
            catch_up: Lets the plant's time reach the present.
            seconds: Wall seconds that so many ms of the plant's time take.
            record: Takes what is answered and told.

        Raises:
            SimulationError: a node cannot be what the configuration says.
        """
        self._link = links[0]
        self._plant = plant
        self._folder = folder
        self._plan = plan_nodes([device for link in links for device in link.devices], plant, bindings)
        devices = frozenset(plant.index(device.name) for link in links for device in link.devices)
        self._door = Door(plant, catch_up, seconds, devices, self.show, record, self._link.name)
        self._uri = f"urn:scowl-edge:simulator:{self._link.name}"
        self._iserver = DoorServer(_Users(self._link.user, self._link.password))
        self._iserver.disabled_clock = True  # it would keep a stop waiting for up to a second
        self._server = _LibraryServer(self._iserver)
        self._shown: list[_Shown] = []
        self._own: list[ua.NodeId] = []
        self._shift = 0
        self._expired = False
        self._status_due_ms = 0
        self.host = str(urlsplit(self._link.endpoint).hostname)
        self.port = 0

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._server.bserver is not None

    async def start(self, host: str, port: int) -> int:
        """Builds its nodes and listens; the port that it got, if 0 was asked for.

        Raises:
            OSError: the port is taken.
            SimulationError: the password of its user cannot be read.
        """
        _text_of(self._link.password)
        _quiet()
        server = self._server
        server._application_uri = self._uri
        server.name = f"Simulator of {self._link.name}"
        server.product_uri = "urn:scowl-edge:simulator"
        server.manufacturer_name = "scowl-edge"
        await server.init()
        if self._link.user:
            server.set_identity_tokens([ua.UserNameIdentityToken])
        else:
            server.set_identity_tokens([ua.AnonymousIdentityToken, ua.UserNameIdentityToken])
        policies = [SecurityPolicy.BASIC256_SHA256]
        if self._link.policy not in (SecurityPolicy.NONE, *policies):
            policies.append(self._link.policy)
        server.set_security_policy(
            [ua.SecurityPolicyType.NoSecurity]
            + [
                ua.SecurityPolicyType[f"{_POLICIES[policy]}_{mode}"]
                for policy in policies
                for mode in (SecurityMode.SIGN_AND_ENCRYPT, SecurityMode.SIGN)
            ]
        )
        await self._load_certificate()
        await self._build()
        self._iserver.door = self._door
        self.host, self.port = host, port
        await self._listen()
        return self.port

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        await self._server.hang_up()
        self._iserver.method_service.stop()

    async def act(self, action: ServerAction) -> None:
        """Does something to the server as a whole.

        Raises:
            SimulationError: the port cannot be opened again.
        """
        listener = self._server.bserver
        if action is ServerAction.KICK:
            await self._server.end_sessions()
        elif action is ServerAction.FORGET_SUBSCRIPTIONS:
            await self._iserver.subscription_service.delete_subscriptions(
                list(self._iserver.subscription_service.subscriptions)
            )
        elif action is ServerAction.CUT:
            if isinstance(listener, DoorListener):
                listener.abort()
        else:
            await self._server.hang_up()
            if action is ServerAction.SHIFT_NAMESPACES:
                self._shift += 1
                await self._build()
            elif action in (ServerAction.EXPIRE_CERTIFICATE, ServerAction.RENEW_CERTIFICATE):
                self._expired = action is ServerAction.EXPIRE_CERTIFICATE
                await self._load_certificate()
            if action is not ServerAction.STOP:
                try:
                    await self._listen()
                except OSError as error:
                    raise SimulationError(
                        f"cannot listen on {self.host}:{self.port} again: {error.strerror or error}; "
                        "end what uses the port, and start the server once more"
                    ) from error

    def described(self) -> dict[str, object]:
        """Where it is and how it fares, for people and tests."""
        return {
            "endpoint": self.endpoint,
            "running": self.running,
            "frozen": self._door.frozen,
            "sessions": len(self._iserver._external_sessions),
            "subscriptions": len(self._iserver.subscription_service.subscriptions),
            "namespaces": self._plan.namespaces(self._uri, self._shift),
            "certificate": str(self._identity().certificate),
            "expired": self._expired,
        }

    @property
    def endpoint(self) -> str:
        """Its URL with the port that it really has."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"opc.tcp://{host}:{self.port}{urlsplit(self._link.endpoint).path}"

    async def show(self, devices: frozenset[int] | None = None) -> None:
        """Tells subscribers what has changed: of these devices, or of all whose time has come."""
        now_ms = self._plant.now_ms
        for shown in self._shown:
            if devices is None:
                if now_ms < shown.due_ms:
                    continue
                shown.due_ms = now_ms + max(1, shown.variable.poll_ms // 2)
            elif devices.isdisjoint(shown.variable.devices):
                continue
            if any(self._plant.response(device).silent for device in shown.variable.devices):
                continue
            held = self._door.held(shown.variable)
            if held.Value != shown.value.Value or held.StatusCode != shown.value.StatusCode:
                shown.value = held
                self._door.note(shown.variable, held)
                await self._iserver.aspace.write_attribute_value(shown.id, ua.AttributeIds.Value, held)
        if self.running and not self._door.frozen and now_ms >= self._status_due_ms:
            self._status_due_ms = now_ms + _STATUS_EVERY_MS
            await self._tell_time()

    async def _tell_time(self) -> None:
        now: Any = datetime.now(UTC)
        status = copy(await self._iserver.server_status_node.read_value())
        status.CurrentTime = now
        await self._iserver.server_status_node.write_value(status)
        await self._iserver.current_time_node.write_value(now, ua.VariantType.DateTime)

    async def _listen(self) -> None:
        self._server.set_endpoint(self.endpoint)
        try:
            self.port = await self._server.listen(self.host, self.port)
        except OSError:
            await self._server.hang_up()
            raise
        self._server.set_endpoint(self.endpoint)

    def _identity(self) -> Identity:
        return identity_in(self._folder / self._link.name, self._uri, self.host, expired=self._expired)

    async def _load_certificate(self) -> None:
        identity = self._identity()
        await self._server.load_certificate(identity.certificate)
        await self._server.load_private_key(identity.key)

    async def _build(self) -> None:
        """Makes every node anew, in the namespaces as they are numbered now."""
        table = self._plan.namespaces(self._uri, self._shift)
        await self._server.delete_nodes([self._server.get_node(node) for node in self._own], recursive=True)
        self._own, self._shown = [], []
        await self._server.nodes.namespace_array.write_value(table)

        def node_id(address: Address) -> ua.NodeId:
            index = address.namespace
            if isinstance(index, str):
                index = table.index(index)
            elif index > 1:
                index += self._shift
            return ua.NodeId.from_string(f"ns={index};{address.identifier}")

        folders: dict[str, Node] = {}
        variables: dict[ua.NodeId, Variable] = {}
        methods: dict[ua.NodeId, Method] = {}
        objects: dict[ua.NodeId, ua.NodeId] = {}
        for variable in self._plan.variables:
            known = node_id(variable.address)
            if known in self._iserver.aspace:
                continue  # a node of the standard, which the server itself keeps
            folder = await self._folder_of(variable.device, folders)
            await self._add_variable(folder, known, variable)
            variables[known] = variable
        for method in self._plan.methods:
            known, parent = node_id(method.address), node_id(method.object)
            if parent not in self._iserver.aspace:
                folder = await self._folder_of(method.device, folders)
                await folder.add_object(parent, ua.QualifiedName(_name_of(method.object), parent.NamespaceIndex))
                self._own.append(parent)
            inputs = [] if method.type == "none" else [VARIANT_TYPES[method.type]]
            name = ua.QualifiedName(_name_of(method.address), known.NamespaceIndex)
            await self._server.get_node(parent).add_method(known, name, _never_called, inputs, [])
            self._own.append(known)
            methods[known], objects[known] = method, parent
        self._door.variables, self._door.methods, self._door.objects = variables, methods, objects

    async def _folder_of(self, device: str, folders: dict[str, Node]) -> Node:
        if device not in folders:
            known = ua.NodeId(ua.String(device), ua.Int16(1))
            folders[device] = await self._server.nodes.objects.add_object(known, ua.QualifiedName(device, 1))
            self._own.append(known)
        return folders[device]

    async def _add_variable(self, folder: Node, known: ua.NodeId, variable: Variable) -> None:
        held = self._door.held(variable)
        wire_type = VARIANT_TYPES[variable.type]
        value = held.Value or ua.Variant([] if variable.length >= 0 else None, wire_type, is_array=variable.length >= 0)
        name = ua.QualifiedName(_name_of(variable.address), known.NamespaceIndex)
        node = await folder.add_variable(known, name, value, datatype=standard_id(wire_type.value))
        bits = {ua.AccessLevel.CurrentRead: variable.readable, ua.AccessLevel.CurrentWrite: variable.writable}
        level = ua.Variant(sum(1 << bit for bit, given in bits.items() if given), ua.VariantType.Byte)
        for attribute in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            await node.write_attribute(attribute, ua.DataValue(level))
        await self._iserver.aspace.write_attribute_value(known, ua.AttributeIds.Value, held)
        self._own.append(known)
        self._shown.append(_Shown(known, variable, held))


def _name_of(address: Address) -> str:
    """The last part of an identifier, as people name the node."""
    return address.identifier[2:].rpartition("/")[2] or address.identifier


async def _never_called(parent: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
    """Methods are carried out by the door."""
    return status(ua.StatusCodes.BadInternalError)


def _quiet() -> None:
    """What a client does wrong is its own affair; only the server's own trouble is logged."""
    logging.getLogger("asyncua.server").setLevel(logging.ERROR)
    logging.getLogger("asyncua.crypto").setLevel(logging.ERROR)
    logger = logging.getLogger("asyncua.server.uaprocessor")
    if _not_a_refusal not in logger.filters:
        logger.addFilter(_not_a_refusal)


def _not_a_refusal(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("sending service fault response")
