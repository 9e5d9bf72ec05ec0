"""What is wrong with a site's part in flexibility: links, fail-safe limits, plans, deliveries."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.control.alarms import SINGLY, Found, names_of
from scowl_edge.control.flex_talks import Talks
from scowl_edge.control.flexible import Flexible
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.delivery import Fault
from scowl_edge.dsr.provider import Provider
from scowl_edge.model.flexibility import LimitState
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.tick import Tick

PROVIDER_LOST = declare(
    "flex-provider-lost",
    "the provider cannot be reached: nothing is selected, and limits fall to their fail-safe value",
)
MANAGERS_LOST = declare("flex-managers-lost", "{} managers cannot be reached, with {} appliances: {}")
SITE_BLIND = declare(
    "flex-failsafe", "nobody who sets limits is heard: the site's appliances keep to their own values ({})"
)
APPLIANCES_BLIND = declare("flex-appliances-failsafe", "{} appliances keep to their fail-safe limits: {}")
PLANS_FAIL = declare("flex-plans-fail", "{} plans in a row failed, the last: {}")
UNDER = declare("flex-under-delivery", "it delivers less than it promised; it counts {} % in plans")
UNPROVEN = declare("flex-unproven", "nobody measures what it delivers; it counts {} % in plans")
DISPUTED = declare("flex-disputed", "its reports contradict its meter; it counts {} % in plans")
MORE = declare("flex-more-under-delivery", "{} more appliances do not deliver as promised: {}")

LOST_FOR_MS = 30_000
"""A link that is away for less is no alarm: it is tried again at once."""
FAILURES_BORNE = 2
"""Plans in a row that may fail before that is an alarm."""
_WORDS = {Fault.UNDER_DELIVERED: UNDER, Fault.DISPUTED: DISPUTED, Fault.UNPROVEN: UNPROVEN}
"""The worse first."""


def found(flexible: Flexible, tick: Tick) -> Iterator[Found]:
    """All that is wrong now."""
    talks = flexible.talks
    if talks.cem is not None:
        yield from _of_manager(talks, talks.cem, tick)
    if talks.provider is not None:
        yield from _of_provider(talks, talks.provider, tick)


def _lost(talks: Talks, node: str, tick: Tick) -> int | None:
    """Since when, if for long enough."""
    since_ms = talks.lost_mono_ms.get(node)
    return since_ms if since_ms is not None and tick.mono_ms - since_ms >= LOST_FOR_MS else None


def _of_manager(talks: Talks, cem: Cem, tick: Tick) -> Iterator[Found]:
    if not cem.provider:
        # Nobody is meant to set limits.
        return
    since_ms = _lost(talks, cem.provider, tick)
    if since_ms is not None:
        yield Found(f"flex-provider-lost:{cem.provider}", cem.provider, "high", Reason(PROVIDER_LOST), since_ms)
    if cem.site.state in (LimitState.FAILSAFE, LimitState.AUTONOMOUS):
        cause = Reason(SITE_BLIND, (cem.site.state.value,))
        yield Found("flex-failsafe", "", "high", cause, cem.site.since_mono_ms)
        # Then its appliances are too.
        return
    failsafe = LimitState.FAILSAFE
    blind = sorted(e for e, m in cem.members.items() if m.limit_state is failsafe and m.reachable)
    if blind:
        cause = Reason(APPLIANCES_BLIND, (len(blind), names_of(blind)))
        yield Found("flex-appliances-failsafe", "", "medium", cause)


def _of_provider(talks: Talks, provider: Provider, tick: Tick) -> Iterator[Found]:
    lost = {node: since for node in provider.up if (since := _lost(talks, node, tick)) is not None}
    if lost:
        appliances = sum(cem in lost for cem in provider.cems.values())
        cause = Reason(MANAGERS_LOST, (len(lost), appliances, names_of(sorted(lost))))
        yield Found("flex-managers-lost", "", "medium", cause, min(lost.values()))
    if talks.failed_in_a_row > FAILURES_BORNE:
        cause = Reason(PLANS_FAIL, (talks.failed_in_a_row, talks.plan_failure))
        yield Found("flex-plans-fail", "", "high", cause)
    portfolio = provider.portfolio
    faulty: dict[str, list[Fault]] = {}
    for select_id, faults in portfolio.delivery.told.items():
        account = portfolio.books.accounts.get(select_id)
        if account is not None:
            faulty.setdefault(account.esa_id, []).extend(faults)
    names = sorted(faulty)
    single = names[:SINGLY] if len(names) > SINGLY + 1 else names
    for esa_id in single:
        word = next(words for fault, words in _WORDS.items() if fault in faulty[esa_id])
        cause = Reason(word, (portfolio.trust.weight_ppm(esa_id) // 10_000,))
        yield Found(f"flex-under-delivery:{esa_id}", esa_id, "medium", cause)
    if rest := names[len(single) :]:
        yield Found("flex-more-under-delivery", "", "medium", Reason(MORE, (len(rest), names_of(rest))))
