"""Keys of Modbus links, by what carries the frames."""

from __future__ import annotations

from os.path import normpath
from typing import Annotated

from scowl_edge.assembly.kinds import Choice, Flag, Listen, Measure, Text, Whole
from scowl_edge.assembly.link_section import Link
from scowl_edge.assembly.modbus_kinds import Host, Rate
from scowl_edge.assembly.protocol import Protocol
from scowl_edge.assembly.section import Section, duration, key
from scowl_edge.devices.declaration import LinkKind, Parity
from scowl_edge.model.quantity import FRACTION, TIME

PORT = Text("path of a serial port", form=r"/.+", said="the full path of the port, e.g. /dev/ttyUSB0")
Pipeline = Annotated[int, Whole(1, 16)]
Late = Annotated[int, duration("1 ms", "10 min")]


class ProxySection(Section):
    """Where other tools may read the units of a link through this daemon, by Modbus TCP; they can never write."""

    listen: Annotated[str, Listen("127.0.0.1:1502")] = key(..., "Address to listen on.", "127.0.0.1:1502")
    share: Annotated[int, Measure(FRACTION, low="1 %", high="80 %")] = key(
        FRACTION("20 %"), "Most of the link's time that their requests may take.", "10 %"
    )
    unprotected: Annotated[bool, Flag()] = key(
        False,
        "Modbus knows no passwords: whoever reaches the address reads the units. So any but a loopback address needs "
        "`true` here.",
        "true",
    )


class ModbusLinkSection(Link):
    """What Modbus links of every type know. Trouble behind one link never delays another link."""

    timeout: Annotated[int, duration("1 ms", "60 s")] = key(
        TIME("500 ms"), "Longest wait for the reply to one request; after it the unit counts as silent.", "500 ms"
    )
    connect_timeout: Annotated[int, duration("1 ms", "60 s")] = key(
        TIME("2 s"), "Longest wait for the connection to open.", "2 s"
    )
    reconnect: Annotated[int, duration("100 ms", "1 h")] = key(
        TIME("5 s"), "Longest pause between attempts to connect; the pauses grow up to it.", "5 s"
    )
    settle: Annotated[int, duration("0 ms", "60 s")] = key(
        TIME("100 ms"),
        "Quiet time after the connection was opened, before the first request: many gateways drop what comes sooner.",
        "1 s",
    )
    pause: Annotated[int, duration("0 ms", "10 s")] = key(
        TIME("0 ms"), "Quiet time between two requests, for slow gateways.", "20 ms"
    )
    max_gap: Annotated[int, Whole(0, 124)] = key(
        8,
        "Most unused registers that may be read along to join two points into one request. Set 0 for devices that "
        "refuse to read addresses they do not have.",
        "0",
    )
    max_read: Annotated[int, Whole(1, 125)] = key(120, "Most registers in one request.", "64")
    probe_share: Annotated[int, Measure(FRACTION, low="0.1 %", high="50 %")] = key(
        FRACTION("5 %"),
        "Most of the link's time that units take which do not answer, while the others could use it.",
        "2 %",
    )
    proxy: ProxySection | None = key(
        None,
        "Lets other tools read the units through this daemon, where the device takes a single client.",
        "{listen: 127.0.0.1:1502, share: 20 %}",
        shown="none",
    )

    @property
    def leads_to(self) -> str:
        """What is at the other end, in words; two links of the same words lead to the same place."""
        raise NotImplementedError


class ModbusTcpSection(ModbusLinkSection):
    """Modbus TCP: one connection and all units behind it."""

    type: Annotated[str, Protocol(LinkKind.TCP.value)] = key(..., "Type of the link: `modbus-tcp`.", "modbus-tcp")
    host: Annotated[str, Host()] = key(
        ..., "Host name or IP address; a name is looked up at each connect.", "192.168.1.20"
    )
    port: Annotated[int, Whole(1, 65535)] = key(502, "TCP port.", "502")
    pipeline: Pipeline = key(
        1,
        "Most requests under way at once. Only raise it where the device's manual says that it takes so many: others "
        "drop or mix up what comes too early.",
        "4",
    )

    @property
    def leads_to(self) -> str:
        return f"{self.host.lower()}:{self.port}"


class ModbusTlsSection(ModbusLinkSection):
    """Modbus/TCP Security: Modbus TCP inside TLS 1.2 or newer, where both sides show a certificate."""

    type: Annotated[str, Protocol(LinkKind.TLS.value)] = key(..., "Type of the link: `modbus-tls`.", "modbus-tls")
    host: Annotated[str, Host()] = key(
        ..., "Host name or IP address; a name is looked up at each connect.", "inverter.plant.example"
    )
    port: Annotated[int, Whole(1, 65535)] = key(802, "TCP port.", "802")
    ca: Annotated[str, Text("a path")] = key(
        ...,
        "File (PEM) of the certificates, or of their issuers, that the device may show.",
        "/etc/scowl-edge/plant-ca.crt",
    )
    certificate: Annotated[str, Text("a path")] = key(
        ..., "File (PEM) of the own certificate, followed by its issuers.", "/etc/scowl-edge/edge.crt"
    )
    server_name: Annotated[str, Text("a host name")] | None = key(
        None, "Name or address that the device's certificate must carry.", "inverter-7", shown="`host`"
    )
    pipeline: Pipeline = key(1, "Most requests under way at once; see modbus-tcp.", "4")
    key: Annotated[str, Text("a path")] = key(
        ..., "File (PEM) of its private key, without a password.", "/etc/scowl-edge/edge.key"
    )

    @property
    def leads_to(self) -> str:
        return f"{self.host.lower()}:{self.port}"


class ModbusRtuTcpSection(ModbusLinkSection):
    """Frames of a serial line through a TCP connection, to a converter that does not know Modbus."""

    type: Annotated[str, Protocol(LinkKind.RTU_TCP.value)] = key(
        ..., "Type of the link: `modbus-rtu-tcp`.", "modbus-rtu-tcp"
    )
    host: Annotated[str, Host()] = key(
        ..., "Host name or IP address of the converter; a name is looked up at each connect.", "192.168.1.21"
    )
    port: Annotated[int, Whole(1, 65535)] = key(
        ..., "TCP port of the converter. There is no usual one: 502 mostly means that it does speak Modbus TCP.", "4001"
    )
    late: Late | None = key(
        None,
        "How long after its time-out a reply may still come: a unit that kept silent is asked nothing for so long, "
        "unless it proves that it answers anew.",
        "5 s",
        shown="4 times `timeout`",
    )

    @property
    def leads_to(self) -> str:
        return f"{self.host.lower()}:{self.port}"


class ModbusRtuSection(ModbusLinkSection):
    """Modbus RTU on a serial line: one port, mostly RS-485, and all units on its pair of wires."""

    type: Annotated[str, Protocol(LinkKind.RTU.value)] = key(..., "Type of the link: `modbus-rtu`.", "modbus-rtu")
    device: Annotated[str, PORT] = key(
        ...,
        "The serial port. `/dev/serial/by-id/...` stays the same when adapters are plugged in in another order.",
        "/dev/ttyUSB0",
    )
    baud: Annotated[int, Rate()] = key(
        9600,
        "Rate in bits a second. 9600 without parity is what most meters and inverters are delivered with; the standard "
        "asks for 19200 with even parity. All units of a line are set alike.",
        "19200",
    )
    parity: Annotated[str, Choice([parity.value for parity in Parity])] = key(
        "none", "Parity bit of each character: `none`, `even` or `odd`.", "even"
    )
    data_bits: Annotated[int, Whole(8, 8)] = key(8, "Bits of each character: RTU needs 8.", "8")
    stop_bits: Annotated[int, Whole(1, 2)] = key(
        1, "Stop bits of each character. The standard wants 2 without parity; most devices use 1.", "2"
    )
    late: Late | None = key(
        None,
        "How long after its time-out a reply may still come: a unit that kept silent is asked nothing for so long, "
        "unless it proves that it answers anew.",
        "5 s",
        shown="4 times `timeout`",
    )

    @property
    def leads_to(self) -> str:
        return normpath(self.device)


MODBUS_LINKS: dict[str, type[ModbusLinkSection]] = {
    LinkKind.TCP.value: ModbusTcpSection,
    LinkKind.RTU.value: ModbusRtuSection,
    LinkKind.RTU_TCP.value: ModbusRtuTcpSection,
    LinkKind.TLS.value: ModbusTlsSection,
}
