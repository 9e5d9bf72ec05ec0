"""Every device, then one of them in full: what it does, what it was told, what of its points can be trusted."""

from __future__ import annotations

from grafana.panel import NONE_IS_BETTER, OF_SECONDS, ONE_IS_GOOD, Board, Panel, Query, Row, Variable

_UP = ((0, "down", "red"), (1, "up", "green"))
_HERE = ((0, " ", "transparent"), (1, "here", "blue"))
_AND_KIND = ' and on (job, instance, device) scowl_device_info{@, kind=~"$kind"}'
_OF_KIND = ' * on (job, instance, device) group_left (kind) scowl_device_info{@, kind=~"$kind"}'

ALL = Row(
    "All devices",
    (
        Panel(
            title="Devices", form="table", key="device", width=24, height=10,
            what="What is each device doing now? up: 1 answers. bad: points without a usable value. age: of its oldest "
            "last good value.",
            queries=(
                Query('scowl_device_info{@, kind=~"$kind"}'),
                Query("sum by (device) (scowl_device_up{@}" + _AND_KIND + ")", "up"),
                Query("sum by (device) (scowl_device_power_watts{@}" + _AND_KIND + ")", "power"),
                Query("sum by (device) (scowl_device_unserved_watts{@}" + _AND_KIND + ")", "unserved"),
                Query("sum by (device) (scowl_device_shed_watts{@}" + _AND_KIND + ")", "shed"),
                Query('sum by (device) (scowl_device_points{@, quality="bad"}' + _AND_KIND + ")", "bad"),
                Query("max by (device) (instance_device:scowl_point_age_seconds:max{@}" + _AND_KIND + ")", "age"),
                Query("max by (device, state, tree) (scowl_device_state_info{@}" + _AND_KIND + ")"),
                Query("max by (device, mode) (scowl_device_mode{@} == 1" + _AND_KIND + ")"),
            ),
            units=(("power", "watt"), ("unserved", "watt"), ("shed", "watt"), ("age", "s")),
        ),
        Panel(
            title="Power", form="lines", unit="watt", height=10,
            what="Who consumes (+) and who produces (-)?",
            queries=(Query("scowl_device_power_watts{@}" + _OF_KIND, "{{device}}"),),
        ),
        Panel(
            title="Answering", form="states", words=_UP, height=10, what="Which devices answer, and since when?",
            queries=(Query("scowl_device_up{@}" + _OF_KIND, "{{device}}"),),
        ),
        Panel(
            title="Points without a usable value, by device", form="lines", low=0, steps=NONE_IS_BETTER,
            what="Which devices answer with something that cannot be used, or not at all?",
            queries=(Query('scowl_device_points{@, quality="bad"}' + _OF_KIND, "{{device}}"),),
        ),
        Panel(
            title="Age of data", form="lines", unit="s", low=0, steps=OF_SECONDS,
            what="How old is the oldest last good value of each device?",
            queries=(Query("instance_device:scowl_point_age_seconds:max{@}" + _OF_KIND, "{{device}}"),),
        ),
    ),
)  # fmt: skip

ONE = Row(
    "$device",
    (
        Panel(
            title="Answers", form="stat", words=_UP, steps=ONE_IS_GOOD, width=4, height=4,
            what="Does it answer now?", queries=(Query('scowl_device_up{@, device="$device"}', "{{device}}"),),
        ),
        Panel(
            title="State", form="stat", by_name=True, width=5, height=4,
            what="What is it in the region, and on which tree does it hang?",
            queries=(Query('scowl_device_state_info{@, device="$device"}', "{{state}} {{tree}}"),),
        ),
        Panel(
            title="Mode", form="stat", by_name=True, width=4, height=4,
            what="May it be commanded? Only in auto.",
            queries=(Query('scowl_device_mode{@, device="$device"} == 1', "{{mode}}"),),
        ),
        Panel(
            title="Power", form="stat", unit="watt", width=4, height=4, what="+ is consumption, - is production.",
            queries=(Query('scowl_device_power_watts{@, device="$device"}', "{{device}}"),),
        ),
        Panel(
            title="Link", form="stat", by_name=True, width=3, height=4, what="By which link is it read?",
            queries=(Query('scowl_device_info{@, device="$device"}', "{{link}}"),),
        ),
        Panel(
            title="Oldest data", form="stat", unit="s", steps=OF_SECONDS, width=4, height=4,
            what="How old is the oldest last good value of its points?",
            queries=(Query('instance_device:scowl_point_age_seconds:max{@, device="$device"}', "{{device}}"),),
        ),
        Panel(
            title="Points", form="table", key="point", width=10, height=12,
            what="All that is read of it, in base units. No value: it is bad now. Age: since the last good value.",
            queries=(
                Query('scowl_point_value{@, device="$device"}', "value"),
                Query('max by (point) (scowl_point_age_seconds{@, device="$device"})', "age"),
            ),
            hidden=("device", "device 1", "device 2"),
            units=(("age", "s"),),
        ),
        Panel(
            title="Values", form="lines", width=14, height=12,
            what="All points over time, in base units; choose one in the legend.",
            queries=(Query('scowl_point_value{@, device="$device"}', "{{point}} [{{unit}}]"),),
        ),
        Panel(
            title="Power and what it lacks", form="lines", unit="watt",
            what="What does it draw or give? Shed and unserved exist for consumers.",
            queries=(Query('scowl_device_power_watts{@, device="$device"}', "power"),),
        ),
        Panel(
            title="State over time", form="states", words=_HERE, what="What was it when, and on which tree?",
            queries=(Query('scowl_device_state_info{@, device="$device"}', "{{state}} {{tree}}"),),
        ),
        Panel(
            title="Mode over time", form="states", words=_HERE, width=8, what="When could it be commanded?",
            queries=(Query('scowl_device_mode{@, device="$device"}', "{{mode}}"),),
        ),
        Panel(
            title="Quality", form="stack", low=0, width=8, what="How many of its points can be trusted?",
            queries=(Query('scowl_device_points{@, device="$device"}', "{{quality}}"),),
        ),
        Panel(
            title="Age by point", form="lines", unit="s", low=0, width=8, steps=OF_SECONDS,
            what="Which of its points is old? Points that never had a good value are left out.",
            queries=(Query('scowl_point_age_seconds{@, device="$device"} < +Inf', "{{point}}"),),
        ),
    ),
)  # fmt: skip

DEVICES = Board(
    uid="scowl-edge-devices",
    title="scowl-edge: devices",
    what="What does every device do, and what of it can be trusted?",
    variables=(
        Variable(name="kind", label="Kind", metric='scowl_device_info{instance="$instance"}', of="kind", several=True),
        Variable(
            name="device", label="Device", metric='scowl_device_info{instance="$instance", kind=~"$kind"}', of="device"
        ),
    ),
    rows=(ALL, ONE),
)
