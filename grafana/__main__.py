"""Writes the dashboards; with --check it only says whether the files are what the code writes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana.devices_board import DEVICES
from grafana.drawing import as_json
from grafana.region_board import REGION

HERE = Path(__file__).parent
BOARDS = {"region.json": REGION, "devices.json": DEVICES}


def main() -> int:
    """0 when the files are as the code has them."""
    parser = argparse.ArgumentParser(prog="python -m grafana", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file differs")
    check = parser.parse_args().check
    differing = []
    for name, board in BOARDS.items():
        text = as_json(board)
        file = HERE / name
        if file.exists() and file.read_text() == text:
            continue
        differing.append(name)
        if not check:
            file.write_text(text)
    if check and differing:
        print(f"not what the code writes: {', '.join(differing)}; run: make dashboards", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
