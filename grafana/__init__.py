"""The dashboards as code: `region_board` and `devices_board` declare them, `drawing` makes Grafana's JSON of that.

`python -m grafana` writes region.json and devices.json anew; it needs the extra `dashboards`.
"""
