"""Every key of the configuration: kind, unit, range, default, meaning. The reference is generated from this."""

from __future__ import annotations

from typing import Annotated, Any

from scowl_edge.assembly.device_schema import AnyDevice
from scowl_edge.assembly.flex_schema import Flex
from scowl_edge.assembly.http_schema import Http
from scowl_edge.assembly.kinds import Choice, Flag, Measure, Named, Text, Whole
from scowl_edge.assembly.link_schema import AnyLink
from scowl_edge.assembly.section import Delay, Magnitude, Name, Positive, Section, Share, duration, key
from scowl_edge.model.event import RegionMode
from scowl_edge.model.quantity import APPARENT, CURRENT, FRACTION, POWER, SIZE, TIME, VOLTAGE, Quantity


class SiteSection(Section):
    """What this installation is called."""

    id: Name = key(..., "Name of the site in metrics, the API and the journal.", "cabinet-17")


class Journal(Section):
    """The file from which decisions can be repeated."""

    path: Annotated[str, Text("a path")] = key(
        "scowl-edge.db", "The journal's file, relative to the working directory.", "/var/lib/scowl-edge/journal.db"
    )
    keep: Annotated[int, duration("1 h")] = key(TIME("30 d"), "How long records are kept.", "90 d")
    limit: Annotated[int, Measure(SIZE, low="1 MB")] = key(
        SIZE("2 GB"),
        "Most that the file may take on the disk. When it is exceeded the oldest records go, even before `keep`.",
        "500 MB",
    )


class Telemetry(Section):
    """The file of trends and old events: for people to look back, never needed to decide or to start."""

    enabled: Annotated[bool, Flag()] = key(True, "Whether trends and old events are kept at all.", "false")
    path: Annotated[str, Text("a path")] | None = key(
        None,
        "The file, relative to the working directory.",
        "/var/lib/scowl-edge/telemetry.db",
        shown="that of the journal, ending in `.telemetry.db`",
    )
    keep: Annotated[int, duration("10 min")] = key(TIME("24 h"), "How long trends and events are kept.", "7 d")
    every: Annotated[int, duration("1 s", "1 h")] = key(
        TIME("10 s"),
        "Span that one value of a trend stands for: its least, mean and greatest. Widened by itself where all points "
        "would not fit into `limit`.",
        "1 min",
    )
    limit: Annotated[int, Measure(SIZE, low="1 MB")] = key(
        SIZE("500 MB"), "Most that the file may take on the disk; the oldest values go first.", "2 GB"
    )


class Region(Section):
    """How the site is run as a whole."""

    mode: Annotated[str, Choice([mode.value for mode in RegionMode])] = key(
        "advisory",
        "`advisory`: everything is decided, nothing is written. `auto`: decisions are carried out. `hold`: targets "
        "stay as they are and nothing new is decided. An order through the API outlives a restart and wins over "
        "this key.",
        "auto",
    )
    period: Annotated[int, duration("10 ms", "60 s")] = key(TIME("1 s"), "Longest time between two decisions.", "1 s")
    margin: Annotated[int, Measure(FRACTION, low="0 %", high="90 %")] = key(
        FRACTION("10 %"), "Share of each tree's output that is not given to consumers.", "10 %"
    )
    ride_through: Positive = key(
        TIME("2 s"), "How long a shortage may last; on a separate bus it blacks out after that.", "2 s"
    )
    restore_step: Annotated[int, Measure(POWER, low="1 W")] = key(
        POWER("5 kW"), "Most power that is given back at once.", "5 kW"
    )
    restore_every: Positive = key(TIME("5 s"), "Time between two steps of giving back.", "5 s")
    restore_after: Delay = key(
        TIME("10 s"), "How long there must have been room before anything is given back.", "60 s"
    )
    dead_band: Magnitude = key(POWER("500 W"), "Differences below this are left alone.", "500 W")
    reserve: Share = key(
        FRACTION("5 %"), "Share of the stochastic load that is kept free before stores are filled.", "5 %"
    )
    answer: Positive = key(TIME("3 s"), "Longest wait for a device's answer to a shed.", "3 s")
    retry: Positive = key(TIME("5 min"), "Time until a device that refused, or had no effect, is asked again.", "5 min")
    max_contests: Annotated[int, Whole(0, 1000)] = key(
        3, "How often a value that somebody else changed is written again before the device counts as contested.", "3"
    )
    charge_from_grid: Annotated[bool, Flag()] = key(False, "Whether stores may be filled from the grid.", "true")
    stop_timeout: Annotated[int, duration("100 ms", "10 min")] = key(
        TIME("10 s"), "Longest time that devices get at a stop to go to what `on_stop` names.", "10 s"
    )
    move_budget: Annotated[int, Whole(0)] = key(
        100, "Most consumers that one step may move between trees by choice.", "100"
    )


class BusSection(Section):
    """Where generators and consumers meet."""

    kind: Annotated[str, Choice(("synchronous", "separate"))] = key(
        ...,
        "`synchronous`: a grid is there, and who feeds whom is bookkeeping. `separate`: each generator feeds its own "
        "island through its own breaker; too much load blacks it out.",
        "synchronous",
    )


class RatingSection(Section):
    """A limit on what flows through one place: a feeder, a building, the grid connection."""

    kind: Annotated[str, Choice(("grid", "feeder", "building"))] = key(..., "What is protected.", "grid")
    limit: Annotated[Quantity, Measure(CURRENT, APPARENT, POWER, low="0 W")] | None = key(
        None, "Limit both ways; instead of `import` and `export`.", "40 kVA", shown="none"
    )
    import_: Annotated[Quantity, Measure(CURRENT, APPARENT, POWER, low="0 W")] | None = key(
        None,
        "Most that may flow in. A current counts for each phase; a power counts for all phases together, W as VA.",
        "100 A",
        alias="import",
        shown="unlimited",
    )
    export: Annotated[Quantity, Measure(CURRENT, APPARENT, POWER, low="0 W")] | None = key(
        None, "Most that may flow out, counted like `import`.", "60 A", shown="unlimited"
    )
    phases: Annotated[int, Whole(1, 3)] = key(3, "Number of phases: 1 or 3.", "3")
    voltage: Annotated[int, Measure(VOLTAGE, low="1 V")] = key(
        VOLTAGE("230 V"), "Nominal voltage from phase to neutral.", "230 V"
    )
    within: Annotated[str, Named("the rating above")] | None = key(
        None, "The rating that this one hangs below.", "grid", shown="none"
    )
    meter: Annotated[str, Named("a device")] | None = key(
        None, "Device that measures the flow; it needs `power` or `current_a`.", "grid-meter", shown="none"
    )
    bus: Annotated[str, Named("a bus")] | None = key(
        None, "Bus that it belongs to.", "main", shown="the first synchronous bus"
    )
    margin: Annotated[int, Measure(FRACTION, low="0 %", high="90 %")] = key(
        FRACTION("0 %"), "Share of the limit that is kept free.", "5 %"
    )
    residue: Magnitude = key(
        POWER("0 W"), "Load that no device of the file stands for, assumed where there is no meter.", "2 kW"
    )


class StatisticsSection(Section):
    """A margin from how much the members of a tree vary."""

    sigma: Annotated[int, Whole(1, 12)] = key(
        4, "Standard deviations of the members' demand, taken together, that are kept free.", "4"
    )
    correlated: Share = key(
        FRACTION("2 %"),
        "Share of the load that is kept free besides, for what all of them do at once: the weather.",
        "2 %",
    )


class PopulationSection(Section):
    """Simulated consumers by the thousand to the million, with plants of their own, balanced like the rest."""

    consumers: Annotated[int, Whole(1, 20_000_000)] = key(
        ..., "How many. More than 2,000 need the extra `scale`.", "100000"
    )
    trees: Annotated[int, Whole(1, 10_000)] | None = key(
        None, "How many plants feed them.", "50", shown="one for 20,000 consumers, at least 10, at most 342"
    )
    seed: Annotated[int, Whole(0, 2_000_000_000)] = key(1, "All that chance decides follows from it.", "1")
    feeders: Annotated[int, Whole(1, 10_000)] = key(
        8, "Feeders they hang on; eight at a time hang below a substation, and all of those below one connection.", "62"
    )
    feeder_limit: Annotated[int, Measure(FRACTION, low="50 %", high="1000 %")] = key(
        FRACTION("150 %"), "Limit of each feeder, of the mean demand below it.", "130 %"
    )
    supply: Annotated[int, Measure(FRACTION, low="1 %", high="1000 %")] = key(
        FRACTION("160 %"),
        "Rated output of all plants together, of the mean demand; a fifth of them follow the wind.",
        "130 %",
    )
    stores: Share = key(
        FRACTION("5 %"), "Stores of 50 kWh (vehicles that may give back), of the number of consumers.", "12 %"
    )
    deferrable: Share = key(
        FRACTION("0 %"),
        "Share of their demand that consumers may be asked to shed for a while, before anybody is cut off.",
        "10 %",
    )
    daily: Annotated[bool, Flag()] = key(
        False,
        "Whether demand follows a day's course, each kind of consumer its own; the day begins with the machine.",
        "true",
    )
    look_ahead: Annotated[int, duration("0 s", "4 h")] = key(
        TIME("30 min"), "How far ahead plants are worked along that course; 0 s: not at all. Only with `daily`.", "1 h"
    )
    margin: Annotated[int, Measure(FRACTION, low="0 %", high="90 %")] | None = key(
        None, "Share of each plant's output that is not given to consumers.", "10 %", shown="that of the region"
    )
    statistics: StatisticsSection | None = key(
        None,
        "A margin from the statistics of each tree's members; the larger of the two counts.",
        "{sigma: 4, correlated: 2 %}",
        shown="none",
    )
    period: Annotated[int, duration("100 ms", "60 s")] = key(
        TIME("1 s"), "Time between two changes of everybody's demand.", "1 s"
    )


class Configuration(Section):
    """The whole file."""

    site: SiteSection = key(..., "What this installation is called.", "{id: cabinet-17}")
    http: Http = key(
        Http(), "The one port: metrics, health, API and page.", "{listen: 127.0.0.1:8080}", shown="as below"
    )
    journal: Journal = key(
        Journal(), "The file from which decisions can be repeated.", "{keep: 30 d}", shown="as below"
    )
    telemetry: Telemetry = key(Telemetry(), "The file of trends and old events.", "{keep: 7 d}", shown="as below")
    links: dict[Name, AnyLink] = key({}, "Connections to devices, by name.", "{plc: {...}}", shown="none")
    region: Region = key(Region(), "How the site is run as a whole.", "{mode: auto}", shown="as below")
    buses: dict[Name, BusSection] = key(
        {}, "Buses by name.", "{main: {kind: synchronous}}", shown="{main: {kind: synchronous}}"
    )
    ratings: dict[Name, RatingSection] = key({}, "Limits of places, by name.", "{grid: {...}}", shown="none")
    devices: dict[Name, AnyDevice] = key({}, "Devices by name.", "{wind-1: {...}}", shown="none")
    populations: dict[Name, PopulationSection] = key(
        {}, "Simulated populations, by name.", "{town: {consumers: 100000}}", shown="none"
    )
    flex: Flex | None = key(
        None,
        "Offers of flexibility, and selections among them; see [flexibility.md](flexibility.md).",
        "{listen: ..., tls: {...}, manager: {...}}",
        shown="none",
    )
    simulation: dict[str, Any] | None = key(
        None,
        "What `scowl-edge simulator` and `scowl-edge demo` play behind these links; the daemon does not read it.",
        "{seed: 1}",
        shown="none",
    )
