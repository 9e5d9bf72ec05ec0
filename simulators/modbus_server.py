"""The units of one link on a socket or a serial line, with the faults that lie on the way to them."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from scowl_edge.devices.declaration import ModbusLink, SerialLine
from simulators.faults import FaultKind, ServerAction
from simulators.functions import carry_out, table_of
from simulators.link_certificates import LinkCertificates
from simulators.plant import Plant, SimulationError
from simulators.unit import ModbusException, Unit
from simulators.wire.ends import End, Session, TcpListener
from simulators.wire.ends import SerialLine as SerialPort
from simulators.wire.frames import Frame, Framing, exception
from simulators.wire.intake import Intake
from simulators.wire.mischief import Mischief, Send
from simulators.wire.outlet import LineEnd, Outlet
from simulators.wire.record import Record

_BROADCAST = 0
_BITS_A_BYTE = 11


class ModbusServer:
    """Serves the units of one link, or of several at one address. Time passes in the plant before each request."""

    def __init__(
        self,
        link: ModbusLink,
        units: Mapping[int, Unit],
        plant: Plant,
        *,
        catch_up: Callable[[], None],
        seconds: Callable[[float], float],
        unknown_unit: int = 0,
        record: Record | None = None,
    ) -> None:
        """Takes its units by number.

        Args:
            link: How frames travel.
            units: Units by their number.
            plant: The physics, which also knows the faults of devices.
            catch_up: Lets the plant's time reach the present.
            seconds: Wall seconds that so many ms of the plant's time take.
            unknown_unit: Exception code for units that are not there; 0 = silence.
            record: Takes what is answered.
        """
        self.link = link
        self.units = units
        self.plant = plant
        self.framing = Framing.RTU if link.is_serial else Framing.TCP
        self.seconds = seconds
        self.record = record or Record()
        self.collisions = 0
        """Bytes that came while the line was talking, and are lost."""
        self._catch_up = catch_up
        self._unknown_unit = unknown_unit
        self._draw = random.Random(1)
        self._line = Mischief(self.framing, self._draw, plant)
        self._sessions: list[_Session] = []
        self._listener: TcpListener | None = None
        self._port: SerialPort | None = None
        self._certificates: LinkCertificates | None = None
        self._expired = False
        self._actions: dict[str, int] = {}
        self._at = ("", 0)

    async def start(self, host: str, port: int) -> int:
        """Listens; the port that it got, if 0 was asked for, and 0 for a serial line.

        Raises:
            OSError: the port is taken.
            EndError: the serial port cannot be made.
            SimulationError: the certificates cannot be had.
        """
        if self.link.serial is not None:
            self._port = SerialPort(Path(self.link.serial.device), self._accept)
            self._port.plug()
            return 0
        if self.link.tls is not None:
            self._certificates = LinkCertificates(self.link)
            self._certificates.make()
        self._at = (host, await self._listen(host, port))
        return self._at[1]

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        if self._port is not None:
            self._port.close()
            self._port = None

    @property
    def made(self) -> list[str]:
        """Files that it made: a serial port, certificates."""
        if self.link.serial is not None:
            return [self.link.serial.device]
        return [] if self._certificates is None else self._certificates.made

    async def act(self, action: ServerAction) -> None:
        """Does something to the server as a whole.

        Raises:
            SimulationError: this server does not know the action, or cannot listen again.
        """
        certificate = action in (ServerAction.EXPIRE_CERTIFICATE, ServerAction.RENEW_CERTIFICATE)
        usual = (ServerAction.CUT, ServerAction.STOP, ServerAction.START)
        if not (action in usual or (certificate and self._certificates is not None)):
            known = (
                usual if self._certificates is None else (*usual, ServerAction.EXPIRE_CERTIFICATE, "renew-certificate")
            )
            raise SimulationError(
                f"{action} is nothing that can be done to link {self.link.name}; try {', '.join(known)}"
            )
        self._actions[action.value] = self._actions.get(action.value, 0) + 1
        if action is ServerAction.CUT:
            if self._listener is not None:
                self._listener.cut()
            if self._port is not None:
                self._port.unplug()
            return
        await self.close()
        if certificate:
            self._expired = action is ServerAction.EXPIRE_CERTIFICATE
        if action is not ServerAction.STOP:
            try:
                if self.link.serial is not None:
                    await self.start("", 0)
                else:
                    await self._listen(*self._at)
            except OSError as error:
                raise SimulationError(
                    f"cannot listen on {self._at[0]}:{self._at[1]} again: {error.strerror or error}; "
                    "end what uses the port, and start the server once more"
                ) from error

    def described(self) -> dict[str, object]:
        """How it fares, for people and tests."""
        return {
            "kind": self.link.kind,
            "running": self._listener is not None or self._port is not None,
            "sessions": len(self._sessions),
            "collisions": self.collisions,
            "actions": dict(self._actions),
            **({} if self._certificates is None else {"expired": self._expired}),
        }

    async def _listen(self, host: str, port: int) -> int:
        tls: ssl.SSLContext | None = None
        if self._certificates is not None:
            tls = self._certificates.context(expired=self._expired)
        listener = TcpListener(self._accept)
        opened = await listener.start(host, port, tls=tls)
        self._listener = listener
        return opened

    def _accept(self, end: End) -> Session:
        # A serial line stays what it is whoever connects to it, and remembers what it owes.
        mischief = self._line if self.framing is Framing.RTU else Mischief(self.framing, self._draw, self.plant)
        session = _Session(self, end, mischief)
        self._sessions.append(session)
        return session

    # What its sessions ask of it

    def newest_end(self) -> End | None:
        """Whoever is connected now."""
        return self._sessions[-1].end if self._sessions else None

    def ended(self, session: _Session) -> None:
        """A session is over."""
        self._sessions.remove(session)

    def byte_s(self) -> float:
        """Time that a byte takes on the line at present; 0: none."""
        for unit in self.units.values() if self.plant.standing else ():
            pace = self.plant.fault(unit.device, FaultKind.PACE)
            if pace is not None:
                self.plant.count(pace)
                return self.seconds(_BITS_A_BYTE * 1000 / pace.baud)
        line = self.link.serial
        return 0.0 if line is None else self.seconds(line.character_ms)

    def answer(self, session: _Session, request: Frame) -> None:
        """Carries one request out and replies, as the faults that are on want it."""
        self._catch_up()
        if request.unit == _BROADCAST and self.link.is_serial:
            self._broadcast(request)
            return
        unit = self.units.get(request.unit)
        if unit is None:
            if self._unknown_unit:
                session.send(Send(exception(request, self._unknown_unit).encoded(self.framing)))
            return
        response = unit.response(table_of(request.function), request.address)
        fate = session.mischief.fate(request, response.on_the_way)
        for item in fate.released:
            session.send(item)
        if fate.dead or session.dead:
            session.dead = True
            return
        if fate.reset:
            session.reset()
            return
        reply = fate.answer
        if reply is None:
            if not fate.carried_out:
                return
            try:
                pdu = carry_out(unit, request.pdu, serial=self.link.is_serial)
                reply = Frame(request.unit, pdu, request.transaction)
            except ModbusException as refused:
                reply = exception(request, refused.code)
        self.record.add(unit.link, request, reply)
        if not response.on_the_way and not session.mischief.owes:
            session.send(Send(reply.encoded(self.framing)))
            return
        for item in session.mischief.reply(fate, reply):
            session.send(item)

    def _broadcast(self, request: Frame) -> None:
        """Every unit does it, nobody answers (Modbus over Serial Line V1.02, 2.1)."""
        for unit in self.units.values():
            try:
                carry_out(unit, request.pdu, serial=True)
            except ModbusException:
                continue


class _Session:
    """One client."""

    def __init__(self, server: ModbusServer, end: End, mischief: Mischief) -> None:
        self.end = end
        self.mischief = mischief
        self.dead = False
        self._server = server
        self._line_end = LineEnd(end, server.newest_end) if server.framing is Framing.RTU else None
        self._outlet = Outlet(self._line_end or end, server.seconds)
        self._intake = Intake(server.framing, self._taken)

    def received(self, data: bytes) -> None:
        byte_s = self._server.byte_s()
        self._outlet.byte_s = byte_s
        if byte_s and self._outlet.talking:
            # Two talk at once on a line that carries one: nobody understands the second.
            self._server.collisions += len(data)
            return
        line = self._server.link.serial
        self._intake.received(data, byte_s=byte_s, gap_s=0.0 if line is None else _gap_s(self._server, line))

    def lost(self) -> None:
        self._intake.stop()
        if self._line_end is not None:
            self._line_end.gone = True
        else:
            self._outlet.drop()
        self._server.ended(self)

    def send(self, item: Send) -> None:
        """Sends to the client when it is due."""
        self._outlet.send(item)

    def reset(self) -> None:
        """Ends the connection the hard way."""
        self._outlet.drop()
        self.end.reset()

    def _taken(self, piece: Frame | bytes) -> None:
        if isinstance(piece, Frame):
            self._server.answer(self, piece)
        elif self._server.framing is Framing.TCP:
            # After bytes that are no frame nobody knows where the next one begins.
            self.end.close()
            self._intake.stop()


def _gap_s(server: ModbusServer, line: SerialLine) -> float:
    return server.seconds(line.frame_gap_ms)
