"""Keys of flexibility: the listener and its certificates, peers, and what this site is among them."""

from __future__ import annotations

from typing import Annotated

from scowl_edge.assembly.flex_device_schema import FlexDevice
from scowl_edge.assembly.kinds import Choice, Choices, Flag, Listen, Named, Text, Whole
from scowl_edge.assembly.section import Magnitude, Name, Positive, Section, Source, duration, key
from scowl_edge.model.quantity import POWER, TIME

_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def _node(*roles: str) -> Text:
    said = " or ".join(f"{role}:NAME" for role in roles)
    return Text("node id", form=rf"({'|'.join(roles)}):[A-Za-z0-9._-]{{1,64}}", said=said)


class FlexTls(Section):
    """What this node shows to its peers, and whom it trusts. TLS 1.2 or newer, both sides with a certificate."""

    certificate: Source = key(
        ..., "Certificate in PEM; `scowl-edge pki issue` makes one.", "{file: /etc/scowl-edge/cem-house-4.pem}"
    )
    authority: Source = key(
        ..., "Certificates in PEM of whoever may issue those of peers.", "{file: /etc/scowl-edge/authority.pem}"
    )
    revoked: Source | None = key(
        None,
        "Revocation list in PEM of the authority; whom it names is not let in. `scowl-edge pki revoke` makes one; when "
        "the file changes, all connect anew.",
        "{file: /etc/scowl-edge/revoked.pem}",
        shown="nobody is",
    )
    key: Source = key(..., "Its private key in PEM, without a password.", "{credential: flex-key}")


class FlexPeer(Section):
    """Another node, by name. Who connects by himself need not be named: the certificate says who it is."""

    node: Annotated[str, _node("dsrsp", "cem", "esa")] = key(..., "Its node id.", "dsrsp:grid-co")
    url: Annotated[str, Text("URL", form=r"https://\S{1,200}", said="https://HOST:PORT")] | None = key(
        None, "Where it listens; without it, it connects to us.", "https://192.0.2.10:8443", shown="none"
    )
    fingerprint: (
        Annotated[str, Text("fingerprint", form=r"[0-9A-Fa-f]{64}", said="64 hexadecimal digits, SHA-256")] | None
    ) = key(
        None,
        "Of its certificate; only this one is taken then.",
        _EXAMPLE,
        shown="any that the authority issued",
    )
    within: Annotated[str, Named("a rating")] | None = key(
        None,
        "The rating that this manager's appliances hang below: no plan of ours exceeds it.",
        "feeder-b",
        shown="that of `provider`",
    )


class FlexFailsafe(Section):
    """What holds while nobody who may set limits is heard. There is no default: it must fit below the ratings."""

    import_: Magnitude = key(..., "Most that may be drawn.", "4.2 kW", alias="import")
    export: Magnitude = key(..., "Most that may be fed back.", "0 W")
    hold: Annotated[int, duration("2 h", "24 h")] = key(
        TIME("2 h"), "How long it holds before the site counts as left alone.", "2 h"
    )


class FlexAutonomous(Section):
    """What holds once the site counts as left alone."""

    import_: Magnitude = key(..., "Most that may be drawn.", "6 kW", alias="import")
    export: Magnitude = key(..., "Most that may be fed back.", "2 kW")


class FlexUser(Section):
    """What the user of one appliance lets others do."""

    modes: Annotated[tuple[str, ...], Choices(("routine", "response"))] = key(
        ("routine", "response"),
        "Services that it may be selected for; with none its offers are kept back.",
        "[routine]",
    )
    random_offset: Annotated[int, duration("0 s", "1800 s")] | None = key(
        None, "Longest delay that is drawn for its routine starts.", "120 s", shown="as for all"
    )


class FlexManager(Section):
    """This site manages a customer's energy (CEM): it passes on its appliances' offers and what is selected of them."""

    node: Annotated[str, _node("cem")] = key(..., "Its own node id, as in its certificate.", "cem:house-4")
    provider: Annotated[str, Named("a peer")] | None = key(
        None, "The peer who selects among the offers.", "grid-co", shown="nobody"
    )
    failsafe: FlexFailsafe = key(
        ..., "What each appliance keeps to when it hears nobody.", "{import: 4.2 kW, export: 0 W}"
    )
    autonomous: FlexAutonomous | None = key(
        None, "What holds after `hold` of silence.", "{import: 6 kW, export: 2 kW}", shown="as `failsafe`"
    )
    unlimited: Annotated[bool, Flag()] = key(
        False, "Whether nothing bounds it after `hold` of silence; instead of `autonomous`.", "true"
    )
    random_offset: Annotated[int, duration("0 s", "1800 s")] = key(
        TIME("600 s"), "Longest delay that is drawn for routine starts.", "600 s"
    )
    appliances: Annotated[int, Whole(1, 10_000)] = key(
        20, "Most appliances that may connect; with all of them at `failsafe`, no rating may be exceeded.", "8"
    )
    within: Annotated[str, Named("a rating")] | None = key(
        None, "The rating that the appliances hang below.", "grid", shown="none"
    )
    devices: dict[Name, FlexDevice] = key(
        {}, "Devices of this site that take part themselves, by their names.", "{battery: {...}}", shown="none"
    )
    users: dict[Name, FlexUser] = key(
        {}, "What users of appliances want, by the id of the appliance.", "{9b2e5f31: {modes: [routine]}}", shown="none"
    )


class FlexProvider(Section):
    """This site selects among the offers of managers (DSRSP)."""

    node: Annotated[str, _node("dsrsp")] = key(..., "Its own node id, as in its certificate.", "dsrsp:grid-co")
    failsafe: FlexFailsafe = key(
        ..., "What appliances are told to keep to when they hear nobody.", "{import: 4.2 kW, export: 0 W}"
    )
    max_ramp: Magnitude = key(
        POWER("0 W"), "Most that all selections together may change the power by in a second; 0 W: not bounded.", "5 kW"
    )
    slot: Annotated[int, duration("1 min", "1 h")] = key(TIME("15 min"), "Slot of plans.", "15 min")
    horizon: Annotated[int, duration("1 h", "48 h")] = key(TIME("24 h"), "How far ahead plans reach.", "24 h")
    replan: Positive = key(TIME("5 min"), "Least time between two plans for the same goal.", "5 min")
    answer: Annotated[int, duration("1 s", "10 min")] = key(
        TIME("10 s"),
        "How long an appliance may take to answer a selection. No start is planned sooner than three times that.",
        "10 s",
    )
    plan_within: Annotated[int, duration("1 s", "1 h")] = key(
        TIME("60 s"), "How long a plan may take; one that takes longer is given up.", "60 s"
    )
    moves: Annotated[int, Whole(1, 100_000_000)] = key(
        200_000, "Budget of one plan, in choices that are tried.", "200000"
    )
    level: Magnitude | None = key(
        None,
        "Power that the sum of all appliances should keep to; without it nothing is selected by itself.",
        "40 kW",
        shown="none",
    )
    mode: Annotated[str, Choice(("routine", "response"))] = key(
        "routine", "What selections for `level` are called: `response` is not delayed at random.", "routine"
    )
    within: Annotated[str, Named("a rating")] | None = key(
        None,
        "The rating that the appliances hang below: shortages there and above may be relieved by their offers.",
        "grid",
        shown="the first bus",
    )


class Flex(Section):
    """Offers of flexibility, and selections among them: this node's place, its peers and its part."""

    listen: Annotated[str, Listen("127.0.0.1:8443")] | None = key(
        None, "Address to listen on for peers. Port 0 takes any free one.", "0.0.0.0:8443", shown="nobody can connect"
    )
    tls: FlexTls | None = key(
        None,
        "Certificates; needed for every link.",
        "{certificate: {...}, key: {...}, authority: {...}}",
        shown="none, without links",
    )
    peers: dict[Name, FlexPeer] = key({}, "Other nodes, by name.", "{grid-co: {...}}", shown="none")
    manager: FlexManager | None = key(
        None, "This site as an energy manager.", "{node: cem:house-4, ...}", shown="it is none"
    )
    provider: FlexProvider | None = key(
        None, "This site as a provider.", "{node: dsrsp:grid-co, ...}", shown="it is none"
    )


def most_linked(flex: Flex) -> int:
    """How many appliances may connect: none where nobody listens and none is dialled."""
    if flex.manager is None:
        return 0
    reachable = flex.listen is not None or any(peer.node.startswith("esa:") for peer in flex.peers.values())
    return flex.manager.appliances if reachable else 0
