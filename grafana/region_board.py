"""The region at a glance, then what it rests on: is everybody served, by what, and can the figures be trusted?"""

from __future__ import annotations

from grafana.panel import (
    NEUTRAL,
    NONE_IS_BETTER,
    NONE_IS_GOOD,
    OF_A_LIMIT,
    OF_SECONDS,
    Board,
    Panel,
    Query,
    Row,
)

_UP = ((0, "down", "red"), (1, "up", "green"))
_OK = ((0, "fails", "red"), (1, "good", "green"))
_HERE = ((0, " ", "transparent"), (1, "here", "blue"))

_OF_DEVICES, _OF_POPULATIONS = 'tree!~".+/[0-9]+"', 'tree=~".+/[0-9]+"'
"""Trees of devices bear the device's name; those of populations, hundreds of them, NAME/NUMBER."""


def _fill(which: str) -> str:
    """Load of the safe load of trees that give something."""
    return f"scowl_tree_load_watts{{@, {which}}} / (scowl_tree_safe_watts{{@, {which}}} > 0)"


NOW = Row(
    "Now",
    (
        Panel(
            title="Mode", what="Does it act? In advisory nothing is written, in hold nothing new is decided.",
            form="stat", queries=(Query("scowl_region_mode{@} == 1", "{{mode}}"),), by_name=True, width=3, height=4,
        ),
        Panel(
            title="Served", what="How much of what everybody wants is served?", form="stat", unit="percentunit",
            queries=(Query("scowl_served_watts{@} / (scowl_demand_watts{@} > 0)", "served"),), decimals=1,
            steps=((None, "red"), (0.9, "orange"), (0.999, "green")), width=3, height=4,
        ),
        Panel(
            title="Without power", what="How many consumers are starved or sit on a dark tree?", form="stat",
            queries=(Query('sum(scowl_consumers{@, state=~"starved|choked"})', "consumers"),), steps=NONE_IS_GOOD,
            width=3, height=4,
        ),
        Panel(
            title="Shed", what="How much power have consumers granted to shed?", form="stat", unit="watt",
            queries=(Query("scowl_shed_watts{@}", "shed"),), steps=NONE_IS_BETTER, width=3, height=4,
        ),
        Panel(
            title="Grid", what="What flows at the grid connection? + is import, - is export.", form="stat", unit="watt",
            queries=(Query("scowl_grid_net_watts{@}", "grid"),), width=3, height=4,
        ),
        Panel(
            title="Alarms", what="What stands now and is not shelved, by priority?", form="stat",
            queries=(Query('scowl_alarms{@, priority=~"critical|high"}', "{{priority}}"),), steps=NONE_IS_GOOD,
            width=3, height=4,
        ),
        Panel(
            title="Oldest data", what="How old is the oldest last good value of any point?", form="stat", unit="s",
            queries=(Query("scowl_oldest_data_age_seconds{@}", "age"),), steps=OF_SECONDS, decimals=0,
            width=3, height=4,
        ),
        Panel(
            title="Ladder", what="Which rung did the region use last? balanced: none is needed.", form="stat",
            queries=(Query("scowl_ladder_rung{@} == 1", "{{rung}}"),), by_name=True, width=3, height=4,
        ),
    ),
)  # fmt: skip

BALANCE = Row(
    "Balance",
    (
        Panel(
            title="Generation, demand, served", form="lines", unit="watt",
            what="Does supply meet demand? Grid: + is import. Deferred is wanted later; unmetered is what meters see "
            "and no device explains.",
            queries=(
                Query("scowl_generation_watts{@}", "generation"),
                Query("scowl_demand_watts{@}", "demand"),
                Query("scowl_served_watts{@}", "served"),
                Query("scowl_grid_net_watts{@}", "grid"),
                Query("scowl_deferred_watts{@}", "deferred"),
                Query("scowl_unmetered_watts{@}", "unmetered"),
            ),
        ),
        Panel(
            title="Shed and unserved", form="stack", unit="watt", low=0,
            what="Who goes without? Shed is granted by the consumers; unserved is cut off, by class (0 is protected).",
            queries=(
                Query("scowl_shed_watts{@}", "shed"),
                Query("scowl_unserved_watts{@}", "unserved, class {{class}}"),
            ),
        ),
        Panel(
            title="Load of the trees", form="lines", unit="watt", dashed="/safe$/",
            what="Is any distribution tree near the load that it bears safely (dashed)?",
            queries=(
                Query(f"scowl_tree_load_watts{{@, {_OF_DEVICES}}}", "{{tree}}"),
                Query(f"scowl_tree_safe_watts{{@, {_OF_DEVICES}}}", "{{tree}} safe"),
            ),
        ),
        Panel(
            title="Load of safe load", form="bars", unit="percentunit", steps=OF_A_LIMIT, low=0, high=1.2, width=6,
            what="How full is each tree now? Trees that give nothing are left out.",
            queries=(Query(_fill(_OF_DEVICES), "{{tree}}"),),
        ),
        Panel(
            title="Blackouts and over-assigned load", form="lines", unit="watt", low=0, steps=NONE_IS_GOOD, width=6,
            what="Is more assigned to a tree than its source gives, and is one dark (1)?",
            queries=(
                Query("scowl_tree_over_assigned_watts{@}", "{{tree}} over"),
                Query("scowl_tree_blackout{@}", "{{tree}} dark"),
            ),
        ),
    ),
)  # fmt: skip

POPULATIONS = Row(
    "Populations",
    (
        Panel(
            title="Population: wanted, served, borne safely", form="lines", unit="watt", width=12, dashed="/safely$/",
            what="Does everybody get what they want, as far as the trees bear it (dashed)? Empty without a population.",
            queries=(
                Query("scowl_population_wanted_watts{@}", "{{population}} wanted"),
                Query("scowl_population_served_watts{@}", "{{population}} served"),
                Query("scowl_population_safe_watts{@}", "{{population}} borne safely"),
            ),
        ),
        Panel(
            title="Population: starved by class", form="stack", low=0, width=6,
            what="How many consumers are cut off? Class 0 is protected and never should be.",
            queries=(
                Query('scowl_population_consumers{@, state="starved"}', "{{population}}, class {{class}}"),
            ),
        ),
        Panel(
            title="Population: unserved by class", form="stack", unit="watt", low=0, width=6,
            what="How much power do those who are cut off want?",
            queries=(Query("scowl_population_unserved_watts{@}", "{{population}}, class {{class}}"),),
        ),
        Panel(
            title="Population: load of its trees", form="lines", unit="percentunit", steps=OF_A_LIMIT, low=0, width=6,
            what="Are the trees of populations evenly loaded, and is one above the load that it bears safely?",
            queries=(
                Query(f"max({_fill(_OF_POPULATIONS)})", "fullest"),
                Query(f"quantile(0.5, {_fill(_OF_POPULATIONS)})", "half of them above"),
                Query(f"min({_fill(_OF_POPULATIONS)})", "emptiest"),
            ),
        ),
        Panel(
            title="Population: fullest feeder", form="lines", unit="percentunit", steps=OF_A_LIMIT, low=0, width=6,
            what="How near to its limit is the feeder, substation or connection that is nearest?",
            queries=(Query("scowl_population_fullest_feeder_ratio{@}", "{{population}}"),),
        ),
        Panel(
            title="Population: score", form="table", width=6,
            what="By what is the balancing judged? The unit is the last part of the name; see docs/monitoring.md.",
            queries=(Query("scowl_population_score{@}", "now"),),
        ),
        Panel(
            title="Population: trees in service", form="stack", low=0, width=6,
            what="How many of its plants give something?",
            queries=(Query("scowl_population_trees{@}", "{{population}} {{state}}"),),
        ),
    ),
)  # fmt: skip

LADDER = Row(
    "Ladder and consumers",
    (
        Panel(
            title="Rung over time", form="states", words=_HERE, height=10,
            what="Which measure was used when? Above shed nobody notices; starve is the last resort.",
            queries=(Query("scowl_ladder_rung{@}", "{{rung}}"),),
        ),
        Panel(
            title="Consumers", form="stack", low=0, height=10,
            what="How many consumers are served, shed, starved (cut off on purpose), choked (on a dark tree)?",
            queries=(Query("scowl_consumers{@}", "{{state}}"),),
        ),
        Panel(
            title="Ordered, not yet effective", form="lines", unit="watt", width=12,
            what="How much is under way, and how much could still be added?",
            queries=(
                Query("scowl_pledged_watts{@}", "pledged"),
                Query("scowl_supply_headroom_watts{@}", "supply head-room"),
            ),
        ),
        Panel(
            title="Mode", form="states", words=_HERE, width=12, what="When did the region act by itself?",
            queries=(Query("scowl_region_mode{@}", "{{mode}}"),),
        ),
    ),
)  # fmt: skip

RATINGS = Row(
    "Ratings",
    (
        Panel(
            title="Use of each rating", form="lines", unit="percentunit", steps=OF_A_LIMIT, low=0,
            what="How near to its limit is the worst phase of each feeder, building and grid connection?",
            queries=(Query("instance_rating:scowl_rating_utilisation:max{@}", "{{rating}}"),),
        ),
        Panel(
            title="Head-room", form="lines", unit="watt",
            what="How much may still be added below each rating, all above it counted?",
            queries=(Query("scowl_headroom_watts{@}", "{{rating}}"),),
        ),
        Panel(
            title="Load by phase", form="lines", unit="voltamp", dashed="/limit$/",
            what="Are the phases even? + is import; the limit of one phase is dashed.",
            queries=(
                Query("scowl_rating_load_voltamperes{@}", "{{rating}} {{phase}}"),
                Query("scowl_rating_limit_voltamperes{@}", "{{rating}} {{direction}} limit"),
            ),
        ),
        Panel(
            title="Unmetered below each rating", form="lines", unit="watt", width=6,
            what="What does the meter see that no known device explains?",
            queries=(Query("scowl_rating_unmetered_watts{@}", "{{rating}}"),),
        ),
        Panel(
            title="Meters", form="states", words=((0, "stale", "red"), (1, "fresh", "green")), width=6,
            what="Is the load of each rating known? Without a fresh meter it counts as full both ways.",
            queries=(Query("scowl_rating_fresh{@}", "{{rating}}"),),
        ),
    ),
)  # fmt: skip

ALARMS = Row(
    "Alarms and commands",
    (
        Panel(
            title="Standing alarms", form="stack", low=0, width=8,
            what="How much is wrong, how bad is it? Shelved ones are counted apart.",
            queries=(
                Query("scowl_alarms{@}", "{{priority}}"),
                Query("sum(scowl_alarms_shelved{@})", "shelved"),
            ),
        ),
        Panel(
            title="Nobody has acknowledged", form="lines", low=0, width=8, steps=NONE_IS_BETTER,
            what="Which alarms still wait for somebody?",
            queries=(Query("scowl_alarms_unacknowledged{@}", "{{priority}}"),),
        ),
        Panel(
            title="What is wrong", form="table", width=8, words=((0, "shelved", "blue"), (1, "stands", "red")),
            what="Each standing alarm: its kind and what it is about. The page of the daemon tells the cause.",
            queries=(Query("scowl_alarm_standing{@}", "now"),),
        ),
        Panel(
            title="Alerts", form="states", width=8, words=((1, "fires", "red"),),
            what="Which alerts of Prometheus fired when? Each has a page in docs/runbooks.",
            queries=(Query('ALERTS{@, alertstate="firing"}', "{{alertname}}"),),
        ),
        Panel(
            title="Commands by outcome", form="stack", low=0, unit="short", width=8,
            what="What becomes of commands? effective is good; no_effect, contested, rejected, timed_out are not.",
            queries=(
                Query("sum by (outcome) (increase(scowl_commands_total{@}[$__rate_interval]))", "{{outcome}}"),
            ),
        ),
        Panel(
            title="Commands by kind", form="stack", low=0, unit="short", width=8,
            what="What is commanded, and how often?",
            queries=(Query("sum by (verb) (increase(scowl_commands_total{@}[$__rate_interval]))", "{{verb}}"),),
        ),
    ),
)  # fmt: skip

LINKS = Row(
    "Links and data",
    (
        Panel(
            title="Links", form="states", words=_UP, width=8, what="Which links are up?",
            queries=(Query("scowl_link_up{@}", "{{link}}"),),
        ),
        Panel(
            title="Requests by result", form="stack", unit="reqps", low=0, width=8,
            what="How much is asked of devices, and how is it answered? All but ok is trouble.",
            queries=(
                Query("sum by (link, result) (rate(scowl_link_requests_total{@}[$__rate_interval]))",
                      "{{link}} {{result}}"),
            ),
        ),
        Panel(
            title="Failed requests", form="lines", unit="percentunit", low=0, high=1, width=8,
            steps=((None, "green"), (0.1, "red")), what="Which part of a link's requests fails, over 5 minutes?",
            queries=(Query("instance_link:scowl_link_failed_requests:ratio_rate5m{@}", "{{link}}"),),
        ),
        Panel(
            title="Age of data by device, the ten oldest", form="lines", unit="s", low=0, steps=OF_SECONDS, width=8,
            what="Whose last good value is old?",
            queries=(Query("topk(10, instance_device:scowl_point_age_seconds:max{@})", "{{device}}"),),
        ),
        Panel(
            title="Points by quality", form="stack", low=0, width=8,
            what="How much of what is read can be trusted?",
            queries=(Query("sum by (quality) (scowl_device_points{@})", "{{quality}}"),),
        ),
        Panel(
            title="Missed polls and overwritten readings", form="lines", unit="cps", low=0, width=8,
            what="Are links too slow for their polls (missed), or steps too slow for the readings (overwritten)?",
            queries=(
                Query("rate(scowl_link_missed_polls_total{@}[$__rate_interval])", "{{link}} missed"),
                Query("rate(scowl_readings_conflated_total{@}[$__rate_interval])", "overwritten"),
            ),
        ),
        Panel(
            title="Links in use", form="lines", unit="percentunit", low=0, width=8,
            steps=((None, "green"), (0.8, "orange")),
            what="Which part of the time is a request under way? Near 100 % a link has no room for more points.",
            queries=(Query("rate(scowl_link_busy_seconds_total{@}[$__rate_interval])", "{{link}}"),),
        ),
        Panel(
            title="Probes of silent units", form="lines", unit="reqps", low=0, width=8,
            what="How often are units asked that did not answer, to see whether they are back?",
            queries=(Query("rate(scowl_link_probes_total{@}[$__rate_interval])", "{{link}}"),),
        ),
        Panel(
            title="Longest delay by bad units", form="bars", unit="s", low=0, width=8,
            what="How late may a healthy unit be read if all others on its link fail at once? From the configuration.",
            queries=(Query("topk(10, scowl_link_worst_delay_seconds{@})", "{{link}}"),),
        ),
    ),
)  # fmt: skip

FLEXIBILITY = Row(
    "Flexibility",
    (
        Panel(
            title="Flexibility: delivered against promised", form="lines", unit="watt", width=12,
            what="Do appliances do what they promised (dashed)? Empty without a part in flexibility.",
            dashed="promised.*",
            queries=(
                Query("scowl_flex_delivered_watts{@}", "delivered"),
                Query("scowl_flex_promised_watts{@}", "promised"),
                Query("scowl_flex_unmeasured_watts{@}", "promised, not measured"),
            ),
        ),
        Panel(
            title="Flexibility: offers and selections", form="lines", low=0, width=12,
            what="How much is offered, and what becomes of what is selected?",
            queries=(
                Query("scowl_flex_offers{@}", "offers {{state}}"),
                Query("scowl_flex_selections{@}", "selections {{state}}"),
            ),
        ),
        Panel(
            title="Flexibility: limits and overrides", form="lines", low=0, width=8,
            what="Who keeps to a fail-safe limit, and whom did its user take out?",
            queries=(
                Query("scowl_flex_limit_states{@}", "{{state}}"),
                Query("scowl_flex_overrides{@}", "overridden {{scope}}"),
                Query("scowl_flex_failsafe_entries_total{@}", "fail-safe entries"),
            ),
        ),
        Panel(
            title="Flexibility: plans", form="lines", low=0, width=8,
            what="Are selections planned, and do plans fail?",
            queries=(
                Query("increase(scowl_flex_plans_total{@}[$__rate_interval])", "plans"),
                Query("increase(scowl_flex_plans_failed_total{@}[$__rate_interval])", "failed"),
            ),
        ),
        Panel(
            title="Flexibility: links and refusals", form="lines", low=0, width=8,
            what="Can everybody be reached, and is what they say refused?",
            queries=(
                Query("scowl_flex_links{@}", "links {{state}}"),
                Query("sum(increase(scowl_flex_refused_total{@}[$__rate_interval])) or vector(0)", "refused"),
                Query("increase(scowl_flex_unsent_total{@}[$__rate_interval])", "not sent"),
            ),
        ),
    ),
)  # fmt: skip

DAEMON = Row(
    "The daemon",
    (
        Panel(
            title="Lateness of the event loop", form="lines", unit="s", low=0, width=8,
            steps=((None, "green"), (0.1, "red")), what="Does anything hold up the daemon? Timers that wake late.",
            queries=(
                Query("histogram_quantile(0.5, rate(scowl_loop_lateness_seconds_bucket{@}[$__rate_interval]))", "half"),
                Query("instance:scowl_loop_lateness_seconds:p99_5m{@}", "99 % over 5 min"),
            ),
        ),
        Panel(
            title="Time of a step", form="lines", unit="s", low=0, width=8, steps=((None, "green"), (0.25, "red")),
            what="How long does a decision take, and how late did it begin?",
            queries=(
                Query("histogram_quantile(0.5, rate(scowl_step_seconds_bucket{@}[$__rate_interval]))", "half"),
                Query("instance:scowl_step_seconds:p99_5m{@}", "99 % over 5 min"),
                Query("scowl_step_lag_seconds{@}", "began late"),
            ),
        ),
        Panel(
            title="Journal: time until durable", form="lines", unit="s", low=0, width=8,
            steps=((None, "green"), (0.2, "red")), what="Is the disk fast enough? Above 200 ms commands are withheld.",
            queries=(
                Query("histogram_quantile(0.5, rate(scowl_journal_seconds_bucket{@}[$__rate_interval]))", "half"),
                Query("instance:scowl_journal_seconds:p99_5m{@}", "99 % over 5 min"),
            ),
        ),
        Panel(
            title="Stores: written", form="lines", unit="Bps", low=0, width=8,
            what="How much goes to the disk?",
            queries=(Query("rate(scowl_store_written_bytes_total{@}[$__rate_interval])", "{{store}}"),),
        ),
        Panel(
            title="Stores: size", form="lines", unit="bytes", low=0, width=8, what="How large are the files?",
            queries=(Query("scowl_store_file_bytes{@}", "{{store}}"),),
        ),
        Panel(
            title="Stores: waiting and refused records", form="lines", low=0, width=8,
            what="Does the disk keep up? Refused records are lost.",
            queries=(
                Query("scowl_store_queued_records{@}", "{{store}} waiting"),
                Query("increase(scowl_store_dropped_records_total{@}[$__rate_interval])", "{{store}} refused"),
            ),
        ),
        Panel(
            title="Health checks", form="states", words=_OK, width=8,
            what="What does the daemon think of itself? Clock: whether wall-clock time can be trusted.",
            queries=(
                Query("scowl_health_ok{@}", "{{check}}"),
                Query("scowl_store_ok{@}", "store {{store}}"),
                Query("scowl_clock_trusted{@}", "clock"),
            ),
        ),
        Panel(
            title="CPU and memory", form="lines", unit="percentunit", low=0, width=8,
            what="What does the daemon take of one core, and of a GB of memory?",
            queries=(
                Query("rate(process_cpu_seconds_total{@}[$__rate_interval])", "CPU, of one core"),
                Query("process_resident_memory_bytes{@} / 1e9", "memory, of 1 GB"),
            ),
        ),
        Panel(
            title="Viewers of the page", form="lines", low=0, width=8,
            what="How many look on, and how many were cut off because they took nothing?",
            queries=(
                Query("scowl_viewers{@}", "viewers"),
                Query("increase(scowl_viewers_dropped_total{@}[$__rate_interval])", "cut off"),
            ),
        ),
        Panel(
            title="Version", form="stat", by_name=True, width=8, height=4, steps=NEUTRAL, what="What is running?",
            queries=(Query("scowl_build_info{@}", "{{version}} on Python {{python}}"),),
        ),
        Panel(
            title="Conservation error", form="stat", unit="watt", width=8, height=4, steps=NONE_IS_GOOD,
            what="Wanted less served, deferred, shed and unserved: always 0, or there is a fault in the program.",
            queries=(Query("scowl_conservation_error_watts{@}", "error"),),
        ),
    ),
)  # fmt: skip

REGION = Board(
    uid="scowl-edge-region",
    title="scowl-edge: region",
    what="Is everybody served, by what, and can the figures be trusted?",
    rows=(NOW, BALANCE, POPULATIONS, LADDER, RATINGS, FLEXIBILITY, ALARMS, LINKS, DAEMON),
)
