"""What is expected of an appliance: the latest selection first, its own intentions last."""

from __future__ import annotations

from scowl_edge.dsr.forecast import Outlook, whole
from scowl_edge.dsr.settlement import Account
from scowl_edge.model.profile import EMPTY, Timeline, flat


def account(number: int, begin_ms: int, end_ms: int, baseline: Timeline, promised: Timeline) -> Account:
    return Account(
        select_id=f"s{number}",
        esa_id="e",
        cem="c",
        event_ref="",
        rev=1,
        number=number,
        begin_ms=begin_ms,
        end_ms=end_ms,
        baseline=whole(baseline, begin_ms, end_ms),
        promised=whole(promised, begin_ms, end_ms),
    )


def test_where_two_selections_meet_the_later_one_is_expected_and_the_first_baseline_counts() -> None:
    first = account(1, 0, 300, flat(0, 100, 1_000), flat(200, 100, 1_000))
    later = account(2, 200, 500, flat(200, 100, 1_000), flat(400, 100, 1_000))
    asked = account(0, 400, 600, flat(400, 100, 1_000), flat(500, 100, 1_000))
    outlook = Outlook(offers={"e": None}, accounts=[asked, later, first])
    expected, reference = outlook.expected("e"), outlook.reference("e")
    assert [expected.power_w(t) for t in (50, 250, 450, 550)] == [0, 0, 0, 1_000]
    assert [reference.power_w(t) for t in (50, 250, 350, 450)] == [1_000, 0, 0, 0]


def test_within_its_span_nothing_is_left_open() -> None:
    assert whole(EMPTY, 5, 10) == flat(5, 5, 0)
    assert Outlook(offers={"e": None}, accounts=[]).expected("e") == EMPTY
