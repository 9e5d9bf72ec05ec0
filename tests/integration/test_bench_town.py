"""What the journal costs beside a population's steps, in small: the share of a turn and the bytes a day are printed."""

from __future__ import annotations

import re

from bench import town


def test_the_cost_of_the_journal_is_printed_and_what_it_stored_is_restored() -> None:
    # It ends the run if what comes back from the disk has another digest.
    text = town.journal_of_a_state(600, 8, 6)
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", text, re.M))
    share = re.fullmatch(r"(\d+) %", rows["of it the journal"])
    assert share and int(share[1]) <= 100
    assert re.match(r"\d+ MB", rows["bytes a day at a step a second, before packing"])
    assert "the same digest" in rows["read and restored"]
