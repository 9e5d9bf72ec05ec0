"""Runs all benchmarks, one after the other, and prints their tables."""

from __future__ import annotations

import argparse

from bench import balance, fleet, journal, opcua_items, path, region, scrape, selection, silent, town, viewers

SHORT_TOWN = [
    "--population", "20000", "--state", "100000", "--trees", "20", "--steps", "20", "--seconds", "5", "--pairs", "1",
]  # fmt: skip


def main() -> None:
    """`--short` gives rough figures in minutes; without it they are those of docs/performance.md."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("--short", action="store_true", help="short runs: rough figures")
    short = parser.parse_args().short
    path.main(["--seconds", "1", "--pairs", "3"] if short else [])
    print()
    region.main(["--minutes", "2"] if short else [])
    print()
    journal.main(["--minutes", "3", "--runs", "3"] if short else [])
    print()
    fleet.main(["--seconds", "15", "--warm-up", "10"] if short else [])
    print()
    for links in ("250", "5000"):
        times = ["--seconds", "15"] if short else []
        fleet.main(["--devices", "5000", "--links", links, "--aims", "100", "400", "250", *times])
        print()
    silent.main(["--rounds", "3", "--seconds", "5"] if short else [])
    print()
    viewers.main(["--seconds", "8", "--pairs", "2"] if short else [])
    print()
    scrape.main(["--pairs", "3"] if short else [])
    print()
    opcua_items.main(["--seconds", "8", "--pairs", "2"] if short else [])
    print()
    balance.main(["--size", "100000", "--trees", "20", "--ticks", "200", "--no-tables"] if short else [])
    print()
    selection.main(["--quick"] if short else [])
    print()
    town.main(SHORT_TOWN if short else [])


if __name__ == "__main__":
    main()
