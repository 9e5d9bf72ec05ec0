"""How fast flexibility reacts, worked out from a configuration."""

from __future__ import annotations

from pathlib import Path

from scowl_edge.assembly import assemble
from scowl_edge.assembly.flex_cost import flex_reactions

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_a_manager_says_how_soon_its_appliances_know() -> None:
    text = (EXAMPLES / "flex-manager.yaml").read_text()
    reactions = list(flex_reactions(assemble(text, "f")))
    lost = reactions[0]
    assert [term.what for term in lost.terms] == ["silence", "period", "a message's time-out"]
    assert [term.ms for term in lost.terms] == [120_000, 1_000, 5_000]
    assert lost.line() == (
        "flex: the provider is lost until appliances are told: at most 126 s "
        "(silence 120 s + period 1 s + a message's time-out 5 s)"
    )
    assert [each.total_ms for each in reactions[1:]] == [120_000, 6_000]


def test_who_has_no_provider_loses_none() -> None:
    text = (EXAMPLES / "flex-manager.yaml").read_text()
    assert ", provider: grid" in text
    alone = assemble(text.replace(", provider: grid", ""), "f")
    assert [each.total_ms for each in flex_reactions(alone)] == [120_000, 6_000]


def test_the_period_counts_at_a_provider() -> None:
    text = (EXAMPLES / "flex-provider.yaml").read_text()
    (ordered,) = flex_reactions(assemble(text, "f"))
    assert ordered.total_ms == 6_000


def test_a_site_without_flexibility_has_none() -> None:
    assert list(flex_reactions(assemble("site: {id: s}\n", "f"))) == []
