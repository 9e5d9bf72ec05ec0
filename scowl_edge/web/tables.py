"""What the page and `scowl-edge status` show: entries and tables over the JSON of `/api/v1`, declared once.

The page's scripts get the same declarations from `layout()`: a title is changed here only, a word in `words`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scowl_edge.web.words import POWER_VERBS, RUNGS, USES_TOLD, WORDS, text_of


@dataclass(frozen=True, slots=True)
class Column:
    """One column, or one entry of the balance."""

    title: str
    key: str
    kind: str = "text"
    """How the value is said: a name of `words.KINDS`."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table over one list of the API."""

    name: str
    title: str
    columns: tuple[Column, ...]
    empty: str
    row_key: str
    """Field that names a row for as long as it stands."""
    tones: tuple[tuple[str, Any, str], ...] = ()
    """(key, value, tone bad or warn): marks a row, first match wins."""
    source: str = ""
    """Key of the list, and last part of its path; the table's own name if empty."""
    where: tuple[str, tuple[str, ...]] | None = None
    """(key, values): only rows with one of these."""
    caption: str = ""
    """What it is, for who does not see the page; the title if empty."""

    @property
    def list_name(self) -> str:
        """The list of the API that it shows."""
        return self.source or self.name


VITALS = (
    Column("Generation", "generation_w", "watts"),
    Column("Demand", "demand_w", "watts"),
    Column("Served", "served_w", "watts"),
    Column("Starved", "consumers", "starved"),
    Column("Shed", "shed_w", "watts"),
    Column("Worst alarm", "worst_alarm", "worst"),
    Column("Oldest data", "oldest_data_s", "seconds"),
    Column("Mode", "mode", "mode"),
)
"""What must be seen at one glance, on a telephone too."""

BALANCE = (
    Column("Grid, + import", "grid_net_w", "watts"),
    Column("Head-room", "headroom_w", "watts"),
    Column("Unmetered", "unmetered_w", "watts"),
    Column("Deferred", "deferred_w", "watts"),
    Column("Not served", "unserved_w", "watts"),
    Column("Ordered, on its way", "pledged_w", "watts"),
    Column("Time (UTC)", "time", "time"),
)
"""The rest of the region's numbers."""

_GAVE_WAY = ("shed", "starved", "choked")

TABLES = (
    Table(
        "alarms",
        "Alarms",
        (
            Column("Alarm", "key"),
            Column("Priority", "priority", "word"),
            Column("Cause", "cause", "reason"),
            Column("Since (UTC)", "since", "time"),
            Column("Handling", "acknowledged", "handling"),
        ),
        "No alarm stands.",
        "key",
        (("priority", "critical", "bad"), ("priority", "high", "bad"), ("priority", "medium", "warn")),
    ),
    Table(
        "gave-way",
        "Shed or cut off",
        (
            Column("Consumer", "name", "device"),
            Column("State", "state", "word"),
            Column("Gives up", "shed_w", "watts"),
            Column("Not served", "unserved_w", "watts"),
            Column("Class", "load_class"),
            Column("Why", "why", "reason"),
        ),
        "Everybody is served in full.",
        "name",
        (("state", "shed", "warn"), ("state", "starved", "bad"), ("state", "choked", "bad")),
        source="devices",
        where=("state", _GAVE_WAY),
        caption="Consumers that are shed, starved or choked, and why",
    ),
    Table(
        "trees",
        "Trees",
        (
            Column("Tree", "name"),
            Column("Load of safe load", "load_w", "tree-load"),
            Column("Output", "output_w", "watts"),
            Column("State", "blackout", "tree-state"),
            Column("Over-assigned", "over_assigned_w", "watts"),
            Column("Bus", "bus"),
            Column("Members", "members", "list"),
        ),
        "There is no tree.",
        "name",
        (("blackout", True, "bad"), ("fresh", False, "warn")),
        # Those of populations are many: each population shows its own.
        where=("population", ("",)),
        caption="Who feeds whom: each tree's load against the load that it bears safely",
    ),
    Table(
        "ratings",
        "Ratings",
        (
            Column("Rating", "name"),
            Column("Worst phase of limit", "load_va", "worst-phase"),
            Column("Head-room", "headroom_w", "watts"),
            Column("Phases a, b, c", "load_va", "phases"),
            Column("Limit a phase", "import_va", "limits"),
            Column("Used by", "uses", "uses"),
            Column("Unmetered", "unmetered_w", "watts"),
            Column("Within", "within"),
            Column("Known by", "fresh", "meter"),
        ),
        "There is no rating.",
        "name",
        (("fresh", False, "warn"),),
        caption="Fuses, feeders and the grid connection: load, limit, what is left and what uses it",
    ),
    Table(
        "devices",
        "Devices",
        (
            Column("Device", "name", "device"),
            Column("Kind", "kind"),
            Column("State", "state", "word"),
            Column("Power, + consumed", "power_w", "watts"),
            Column("Data", "quality", "data"),
            Column("Age", "age_s", "age"),
            Column("Mode", "mode", "mode"),
            Column("Tree", "tree"),
            Column("Why", "why", "reason"),
            Column("Commands", "actuators", "actuators"),
            Column("If nobody commands", "stays_as_left", "left-alone"),
        ),
        "There is no device.",
        "name",
        (
            ("up", False, "bad"),
            ("state", "choked", "bad"),
            ("state", "starved", "bad"),
            ("state", "shed", "warn"),
            ("quality", "bad", "warn"),
            ("quality", "uncertain", "warn"),
        ),
    ),
    Table(
        "decisions",
        "Last decisions",
        (
            Column("Time (UTC)", "time", "time"),
            Column("Rung", "rung", "rung"),
            Column("Device", "device", "device"),
            Column("Power", "amount_w", "watts"),
            Column("Reason", "reason", "reason"),
        ),
        "Nothing was decided yet.",
        "",
    ),
    Table(
        "events",
        "Events",
        (
            Column("Happened (UTC)", "source_time", "time"),
            Column("Received (UTC)", "receive_time", "time"),
            Column("What", "kind", "word"),
            Column("Source", "source"),
            Column("Text", "text", "reason"),
            Column("Who", "who"),
            Column("Priority", "priority", "word"),
        ),
        "Nothing has happened yet.",
        "seq",
        (
            ("kind", "alarm-raised", "warn"),
            ("kind", "link-down", "warn"),
            ("kind", "device-down", "warn"),
            ("kind", "journal-gap", "warn"),
            ("kind", "step-failed", "bad"),
            ("kind", "batches-refused", "warn"),
        ),
    ),
)


POPULATION = (
    Column("Wanted", "wanted_w", "watts"),
    Column("Served", "served_w", "served"),
    Column("Not served", "unserved_w", "watts"),
    Column("Starved", "starved", "count"),
    Column("Shed on request", "shed_w", "watts"),
    Column("Generation", "generation_w", "watts"),
    Column("Borne safely", "safe_w", "watts"),
    Column("Consumers, each feed counted", "consumers", "population"),
    Column("Refused reports", "refused", "counts"),
    Column("Margin", "margin", "reason"),
)
"""A population at a glance."""

POPULATION_TABLES = (
    Table(
        "classes",
        "By class",
        (
            Column("Class", "load_class", "class"),
            Column("Served", "served", "count"),
            Column("Starved", "starved", "count"),
            Column("Not served", "unserved_w", "watts"),
        ),
        "There is nobody.",
        "load_class",
        caption="Consumers by class: who is served and who is starved",
    ),
    Table(
        "fullest_feeders",
        "Feeders nearest to their limits",
        (Column("Feeder", "name"), Column("Load of limit", "load_w", "feeder-load")),
        "No feeder has a limit.",
        "name",
    ),
    Table(
        "score",
        "How well it is balanced",
        (Column("Measure", "label"), Column("Value", "text")),
        "There is no score yet.",
        "what",
        caption="How well it is balanced, beside its bounds",
    ),
)
"""Tables over the lists of one population."""

POPULATION_TREES = Table(
    "trees",
    "Trees in numbers",
    (
        Column("Tree", "name"),
        Column("Plant", "plant"),
        Column("Load of safe load", "load_w", "tree-load"),
        Column("Output", "output_w", "watts"),
        Column("Consumers", "members", "count"),
        Column("State", "alive", "plant-state"),
    ),
    "There is no tree.",
    "name",
    (("alive", False, "warn"), ("fresh", False, "warn")),
    caption="Trees of the population: each one's load against the load that it bears safely",
)
"""Asked for when somebody opens it, since they are hundreds."""


FLEX = (
    Column("Delivered of promised", "delivered_w", "delivered"),
    Column("Promised, not measured", "unmeasured_w", "watts"),
    Column("Goal", "goal", "reason"),
    Column("Last plan", "plan", "reason"),
    Column("Offers", "offers", "counts"),
    Column("Selections of a day", "selections", "counts"),
    Column("Appliances", "lives", "counts"),
    Column("Overridden", "overrides", "counts"),
    Column("Fail-safe entries", "failsafe_entries", "count"),
    Column("The site's limit", "site_limit_state", "word"),
    Column("Links up", "peers_up", "count"),
    Column("Links down", "peers_down", "count"),
    Column("Refused messages", "refused", "counts"),
)
"""Flexibility at a glance."""

FLEX_TABLES = (
    Table(
        "selections",
        "Selected",
        (
            Column("Appliance", "esa_id"),
            Column("State", "state", "word"),
            Column("Counts as", "standing", "word"),
            Column("From (UTC)", "start", "time"),
            Column("To (UTC)", "end", "time"),
            Column("For", "mode", "word"),
            Column("Why", "why"),
            Column("Event", "event_ref"),
            Column("Ended by", "code", "word"),
        ),
        "Nothing was selected.",
        "select_id",
        (("state", "ABORTED", "bad"), ("state", "OVERRIDDEN", "warn"), ("state", "REJECTED", "warn")),
        caption="What is selected and why, what it counts for, and what became of it",
    ),
    Table(
        "offers",
        "Offered",
        (
            Column("Appliance", "esa_id"),
            Column("State", "state", "word"),
            Column("Starts from (UTC)", "start_earliest", "time"),
            Column("Starts by (UTC)", "start_latest", "time"),
            Column("Profiles", "text"),
        ),
        "Nobody offers anything.",
        "offer_id",
        caption="What appliances offer, those that may be selected first",
    ),
    Table(
        "appliances",
        "Appliances, those in trouble first",
        (
            Column("Appliance", "esa_id"),
            Column("Kind", "kind", "word"),
            Column("Stands", "life", "word"),
            Column("Does", "running", "word"),
            Column("Limit", "limit_state", "word"),
            Column("Counted on", "weight_ppm", "ppm"),
            Column("Look at", "trouble"),
            Column("Manager", "cem"),
        ),
        "There is no appliance.",
        "esa_id",
        (("life", "SUSPENDED", "bad"), ("limit_state", "FAILSAFE", "bad"), ("life", "DETACHED", "warn")),
    ),
)
"""Tables over the short lists of flexibility."""


@dataclass(frozen=True, slots=True)
class Rungs:
    """One direction of the ladder."""

    title: str
    names: tuple[str, ...]
    """In the order in which they are used; their words are in `words.RUNGS`."""


LADDER = (
    Rungs(
        "Short of supply",
        (
            "lift-curtailment",
            "stop-storing",
            "raise-continuous",
            "discharge-storage",
            "start-fixed",
            "activate-offers",
            "shed",
            "starve",
        ),
    ),
    Rungs("In balance", ("balanced",)),
    Rungs(
        "Room again",
        (
            "feed-starving",
            "restore-shed",
            "end-offers",
            "stop-discharge",
            "lower-continuous",
            "stop-fixed",
            "relax-limit",
            "fill-storage",
            "curtail",
        ),
    ),
    Rungs("For a store's own sake", ("protect-storage", "sleep")),
)


def with_freshness(devices: list[dict[str, Any]], freshness: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Devices with quality and age of their data, where they are read."""
    known = {each["device"]: each for each in freshness}
    unread = {"quality": None, "age_s": None}
    return [device | {key: known.get(device["name"], unread)[key] for key in unread} for device in devices]


def rows_of(table: Table, lists: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of a table out of the API's lists."""
    rows = lists.get(table.list_name, [])
    if table.where is None:
        return rows
    key, values = table.where
    return [row for row in rows if row[key] in values]


def tone(table: Table, row: Mapping[str, Any]) -> str:
    """bad, warn or nothing."""
    return next((name for key, value, name in table.tones if key in row and row[key] == value), "")


def cell(column: Column, row: Mapping[str, Any] | None) -> str:
    """One value in words; a dash for what is not known."""
    return "–" if row is None else text_of(column.kind, row.get(column.key), row)


def layout() -> dict[str, Any]:
    """The declarations as JSON for the page's scripts."""
    return {
        "tables": [{**asdict(table), "list": table.list_name} for table in TABLES],
        "entries": [asdict(entry) for entry in (*VITALS, *BALANCE)],
        "population": {
            "entries": [asdict(entry) for entry in POPULATION],
            "tables": [{**asdict(table), "list": table.list_name} for table in POPULATION_TABLES],
            "trees": {**asdict(POPULATION_TREES), "list": POPULATION_TREES.list_name},
        },
        "flex": {
            "entries": [asdict(entry) for entry in FLEX],
            "tables": [{**asdict(table), "list": table.list_name} for table in FLEX_TABLES],
        },
        "rungs": RUNGS,
        "words": WORDS,
        "power_verbs": POWER_VERBS,
        "uses_told": USES_TOLD,
    }
