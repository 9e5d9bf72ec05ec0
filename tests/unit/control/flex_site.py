"""A site that is manager and provider, with appliances behind links of their own: told everything by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.control.flexible import Flexible
from scowl_edge.dsr.proposing import propose
from scowl_edge.model.effect import Ask, Effect, Send
from scowl_edge.model.event import Answer, Told
from scowl_edge.model.exchange import (
    Body,
    InitDone,
    Message,
    Register,
    Report,
    ReportKind,
    ReportSlot,
    Running,
    Select,
    SelectStatus,
    SlotQuality,
    State,
)
from scowl_edge.model.flexibility import (
    Control,
    Element,
    EsaType,
    Mode,
    Offer,
    OfferSet,
    OverrideScope,
    Profile,
    ProfileKind,
    SelectionState,
)
from scowl_edge.model.part import FlexPart, ManagerPart, ProviderPart
from scowl_edge.model.tick import Tick

UTC = 1_700_006_400_000
MINUTE, HOUR = 60_000, 3_600_000
CEM, DSRSP = "cem:house", "dsrsp:grid"


def manager_part(provider: str = DSRSP) -> ManagerPart:
    return ManagerPart(
        node=CEM, provider=provider, appliances=50, failsafe_p_upper_w=4_200, failsafe_p_lower_w=0, failsafe_min_s=7_200
    )


def provider_part(level_w: int | None = None) -> ProviderPart:
    return ProviderPart(
        node=DSRSP, failsafe_p_upper_w=4_200, max_ramp_w_per_s=0, slot_ms=15 * MINUTE, slots=96, replan_ms=5 * MINUTE,
        moves=1_000, level_w=level_w, response=True,
    )  # fmt: skip


BOTH = FlexPart(manager=manager_part(), provider=provider_part())


@dataclass
class FlexSite:
    """Steps by hand; `said` holds what left in the last one."""

    part: FlexPart = BOTH
    now_ms: int = 1_000_000
    steps: int = 0
    flexible: Flexible = field(init=False)
    said: list[Effect] = field(default_factory=list)
    messages: int = 0

    def __post_init__(self) -> None:
        self.flexible = Flexible(self.part)
        self.step()

    @property
    def tick(self) -> Tick:
        return Tick(
            step=self.steps, mono_ms=self.now_ms, utc_ms=UTC + self.now_ms, utc_ok=True, journal_ok=True, move_budget=9
        )

    @property
    def utc_ms(self) -> int:
        return UTC + self.now_ms

    def step(self, after_ms: int = 1_000) -> None:
        self.now_ms += after_ms
        self.steps += 1
        self.said = self.flexible.step(self.tick)

    def tell(self, src: str, body: Body, dst: str = CEM) -> None:
        self.messages += 1
        message = Message(id=f"m{self.messages}", ts_ms=self.utc_ms, src=src, dst=dst, body=body)
        self.flexible.told(Told(link=src, message=message, at_ms=self.now_ms), self.tick)

    def join(self, esa_id: str, power_w: int = 2_000) -> None:
        """Registers, is set up and offers: an hour of its power, intended in an hour, possible for five."""
        node = f"esa:{esa_id}"
        self.tell(
            node,
            Register(
                esa_id=esa_id, esa_type=EsaType.WET, p_max_w=power_w, p_min_w=0, modes=(Mode.ROUTINE, Mode.RESPONSE),
                controls=(Control.PROFILE,), consent_ref="c", cert_fp="0" * 64,
            ),
        )  # fmt: skip
        self.tell(node, InitDone(esa_id=esa_id))
        element = Element(dur_s=3_600, p_nom_w=power_w, p_min_w=power_w, p_max_w=power_w)
        offer = Offer(
            offer_id=f"o-{esa_id}", valid_from_ms=self.utc_ms, valid_until_ms=self.utc_ms + HOUR,
            start_earliest_ms=self.utc_ms + HOUR, start_latest_ms=self.utc_ms + 5 * HOUR, min_notice_s=60,
            modes=(Mode.ROUTINE, Mode.RESPONSE), default_profile_id="io",
            profiles=(Profile(profile_id="io", kind=ProfileKind.IO, elements=(element,)),),
        )  # fmt: skip
        self.tell(node, OfferSet(esa_id=esa_id, rev=1, offers=(offer,)))
        self.runs(esa_id, Running.IDLE)

    def runs(self, esa_id: str, running: Running, override: OverrideScope = OverrideScope.NONE) -> None:
        self.tell(f"esa:{esa_id}", State(esa_id=esa_id, value=running, override=override))

    def selects(self) -> list[Select]:
        """Selections that left for appliances in the last step."""
        return [s.message.body for s in self.said if isinstance(s, Send) and isinstance(s.message.body, Select)]

    def status(self, select: Select, state: SelectionState) -> None:
        body = SelectStatus(
            select_id=select.select_id, esa_id=select.esa_id, state=state, applied_offset_s=0, progress_s=0
        )
        self.tell(f"esa:{select.esa_id}", body)

    def report(self, esa_id: str, start_ms: int, powers_w: list[int], slot_s: int = 900) -> None:
        slots = tuple(ReportSlot(p_avg_w=w, q=SlotQuality.OK) for w in powers_w)
        body = Report(esa_id=esa_id, kind=ReportKind.ACTUAL, start_ms=start_ms, slot_s=slot_s, slots=slots)
        self.tell(f"esa:{esa_id}", body)

    def answer(self) -> None:
        """A worker answers what the last step asked."""
        for ask in [each for each in self.said if isinstance(each, Ask)]:
            job = self.flexible.work(ask)
            assert job is not None
            answer = Answer(job=ask.job, revision=ask.revision, proposal=propose(job))
            self.flexible.answer(answer)
