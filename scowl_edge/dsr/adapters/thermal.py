"""Something that is kept warm or cold within a band: a building with its heat pump, a cold store with its compressor.

One heat capacity, one path to the surroundings. Power is the mean over a stretch: a machine that can only be on or off,
or not run below some power, runs a part of it. More power at any time means further to the full side for ever after, so
what holds for the lowest and the highest setpoints holds for all between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from scowl_edge.dsr.adapters.machine import STEP_MS, held, run
from scowl_edge.dsr.adapters.offering import Draft, Frame, element, joined, offer_set
from scowl_edge.model.flexibility import WHOLE_PPM, Cost, EndKind, EndState, EsaType, OfferSet, ProfileKind

HOUR_MS = 3_600_000
INSET_MILLI = 150
"""Plans keep this far from the edges of the band, or a quarter of it if that is less."""
COAST_EVERY_S = 3 * 3_600
PREPARE_S = 2 * 3_600
_ONE = 10**12
"""1 in the fixed point of `_response`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalState:
    """How warm it is, and will be around it."""

    temp_micro: int
    """A millionth of a degree."""
    ambient_milli: tuple[int, ...]
    """Forecast of the surroundings by the hour, a thousandth of a degree; the last holds from there on."""
    forecast_ms: int = 0
    """Begin of the forecast, UTC."""

    def ambient(self, at_ms: int) -> int:
        """Of the surroundings, in thousandths of a degree."""
        hour = (at_ms - self.forecast_ms) // HOUR_MS
        return self.ambient_milli[max(0, min(hour, len(self.ambient_milli) - 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thermal:
    """A zone and the machine that keeps its temperature; made by `heat_pump` and `cold_store`."""

    esa_id: str
    esa_type: EsaType
    rated_w: int
    """Electrical."""
    gain_ppm: int
    """Heat for each W, in millionths: above 0 it heats, below 0 it cools."""
    capacity_j_per_k: int
    loss_mw_per_k: int
    """Heat to the surroundings for each degree."""
    low_milli: int
    high_milli: int
    """The band that the user accepts, thousandths of a degree."""
    preferred_milli: int

    @property
    def p_max_w(self) -> int:
        """Of the machine."""
        return self.rated_w

    @property
    def p_min_w(self) -> int:
        """It exports nothing."""
        return 0

    @property
    def waits(self) -> bool:
        """It goes on until what was selected starts."""
        return False

    def reach(self, state: ThermalState, at_ms: int, dur_ms: int) -> tuple[int, int]:
        """From nothing to all."""
        return 0, self.rated_w

    def wish_w(self, state: ThermalState, at_ms: int, dur_ms: int) -> int:
        """To the preferred temperature and stay there."""
        return self._towards(state.temp_micro, state, 1_000 * self.preferred_milli, at_ms, dur_ms)[0]

    def take_w(self, state: ThermalState, wanted_w: int, upper_w: int, at_ms: int, dur_ms: int) -> int:
        """As wanted, within reach."""
        return held(self.reach(state, at_ms, dur_ms), wanted_w, upper_w)

    def step(self, state: ThermalState, power_w: int, at_ms: int, dur_ms: int) -> ThermalState:
        """Heats or cools, and leaks."""
        temp_micro = self._stepped(state.temp_micro, state, power_w, at_ms, dur_ms)
        return ThermalState(temp_micro=temp_micro, ambient_milli=state.ambient_milli, forecast_ms=state.forecast_ms)

    def fault(self, state: ThermalState, at_ms: int) -> str:
        """Outside the band."""
        if not 1_000 * self.low_milli <= state.temp_micro <= 1_000 * self.high_milli:
            return f"{state.temp_micro // 1_000} m°C, outside {self.low_milli} to {self.high_milli} m°C"
        return ""

    def offers(self, state: ThermalState, frame: Frame) -> OfferSet:
        """As preferred, to either edge, and prepared for a pause at several times; each from the first start on."""
        state = run(self, state, frame.now_ms, frame.start_ms)
        full, empty = self._edges()
        wanted = 1_000 * self.preferred_milli
        intended = self._plan(state, frame, lambda i: wanted)
        drafts = [
            Draft(
                kind=ProfileKind.IO,
                elements=tuple(
                    element(frame.slot_s, p, lo, hi)
                    for p, lo, hi in zip(intended, *self._bounds(state, frame, intended), strict=True)
                ),
                start_ms=frame.start_ms,
                end_state=self._end(state, frame, intended),
            )
        ]
        every, ahead = max(1, COAST_EVERY_S // frame.slot_s), max(1, PREPARE_S // frame.slot_s)

        def coasting(begin: int) -> Callable[[int], int]:
            def aim(i: int) -> int:
                if begin - ahead <= i < begin:
                    return full
                return empty if begin <= i < begin + every else wanted

            return aim

        aims: list[tuple[ProfileKind, int, Callable[[int], int]]] = [
            (ProfileKind.LD, 1, lambda i: full),
            (ProfileKind.MD, 3, lambda i: empty),
        ]
        aims += [(ProfileKind.OTHER, 2, coasting(begin)) for begin in range(every, frame.slots, every)]
        for kind, comfort, aim in aims:
            powers_w = self._plan(state, frame, aim)
            if kind is ProfileKind.OTHER and not self._holds(state, frame, powers_w):
                continue
            drafts.append(
                Draft(
                    kind=kind,
                    elements=joined(element(frame.slot_s, p) for p in powers_w),
                    start_ms=frame.start_ms,
                    end_state=self._end(state, frame, powers_w),
                    cost=Cost(financial_micro=0, currency="", co2_g=0, comfort=comfort),
                )
            )
        return offer_set(self.esa_id, frame, drafts, end_latest_ms=frame.end_ms)

    def _edges(self) -> tuple[int, int]:
        """Where it is full (warm if it heats, cold if it cools) and where it is empty, millionths of a degree."""
        inset = min(INSET_MILLI, (self.high_milli - self.low_milli) // 4)
        low, high = 1_000 * (self.low_milli + inset), 1_000 * (self.high_milli - inset)
        return (high, low) if self.gain_ppm > 0 else (low, high)

    def _stepped(self, temp_micro: int, state: ThermalState, power_w: int, at_ms: int, dur_ms: int) -> int:
        loss_mw = self.loss_mw_per_k * (temp_micro - 1_000 * state.ambient(at_ms)) // 1_000_000
        return temp_micro + (power_w * self.gain_ppm // 1_000 - loss_mw) * dur_ms // self.capacity_j_per_k

    def _idle(self, temp_micro: int, state: ThermalState, at_ms: int, dur_ms: int) -> tuple[int, int]:
        """What a longer stretch without power comes to, all its steps at once but for rounding; the response to power.

        Returns:
            Millionths of a degree at its end, and how many (times `_ONE`) each mW of heat adds to that.
        """
        response = _response(self.capacity_j_per_k, self.loss_mw_per_k, dur_ms)
        ambient_milli = (state.ambient(at_ms) + state.ambient(at_ms + dur_ms - 1)) // 2
        loss_mw = self.loss_mw_per_k * (temp_micro - 1_000 * ambient_milli) // 1_000_000
        return temp_micro - loss_mw * response // _ONE, response

    def _slot(self, temp_micro: int, state: ThermalState, power_w: int, at_ms: int, dur_ms: int) -> int:
        """After a longer stretch of constant power."""
        idle, response = self._idle(temp_micro, state, at_ms, dur_ms)
        return idle + power_w * self.gain_ppm // 1_000 * response // _ONE

    def _towards(
        self, temp_micro: int, state: ThermalState, aim_micro: int, at_ms: int, dur_ms: int
    ) -> tuple[int, int]:
        """The power that brings it to a temperature by the end of a stretch, or as near as can be; what it then is."""
        idle, response = self._idle(temp_micro, state, at_ms, dur_ms)
        most = self.rated_w * self.gain_ppm // 1_000 * response // _ONE
        power_w = 0 if most == 0 else max(0, min(self.rated_w, (aim_micro - idle) * self.rated_w // most))
        return power_w, idle + power_w * self.gain_ppm // 1_000 * response // _ONE

    def _plan(self, state: ThermalState, frame: Frame, aim: Callable[[int], int]) -> list[int]:
        """Power of each slot, so that its end comes as near to its aim as can be."""
        temp_micro, powers_w = state.temp_micro, []
        for i in range(frame.slots):
            at_ms = frame.start_ms + i * frame.slot_ms
            power_w, temp_micro = self._towards(temp_micro, state, aim(i), at_ms, frame.slot_ms)
            powers_w.append(power_w)
        return powers_w

    def _course(self, state: ThermalState, frame: Frame, powers_w: Sequence[int]) -> list[int]:
        """Temperature at the end of each slot."""
        temp_micro, temps = state.temp_micro, []
        for i, power_w in enumerate(powers_w):
            temp_micro = self._slot(temp_micro, state, power_w, frame.start_ms + i * frame.slot_ms, frame.slot_ms)
            temps.append(temp_micro)
        return temps

    def _holds(self, state: ThermalState, frame: Frame, powers_w: Sequence[int]) -> bool:
        """Whether it stays in the band, and a bit."""
        slack = min(INSET_MILLI, (self.high_milli - self.low_milli) // 4) * 500
        low, high = 1_000 * self.low_milli + slack, 1_000 * self.high_milli - slack
        return all(low <= temp <= high for temp in self._course(state, frame, powers_w))

    def _bounds(self, state: ThermalState, frame: Frame, powers_w: Sequence[int]) -> tuple[list[int], list[int]]:
        """Lowest and highest setpoints by slot, as far apart as the band allows when all are lowest or all highest."""
        bounds: list[list[int]] = []
        for sign in (-1, 1):
            width_w, found = self.rated_w, list(powers_w)
            while width_w:
                wider = [max(0, min(self.rated_w, p + sign * width_w)) for p in powers_w]
                if self._holds(state, frame, wider):
                    found = wider
                    break
                width_w //= 2
            bounds.append(found)
        return bounds[0], bounds[1]

    def _end(self, state: ThermalState, frame: Frame, powers_w: Sequence[int]) -> EndState:
        temp_micro = self._course(state, frame, powers_w)[-1]
        return EndState(kind=EndKind.TEMP, value_milli=temp_micro // 1_000, unit="°C")


@lru_cache(maxsize=4_096)
def _response(capacity_j_per_k: int, loss_mw_per_k: int, dur_ms: int) -> int:
    """Millionths of a degree (times `_ONE`) for each mW that drives it from the begin of a stretch on."""
    response, left_ms = 0, dur_ms
    while left_ms > 0:
        step_ms = min(STEP_MS, left_ms)
        decay = loss_mw_per_k * step_ms * _ONE // (1_000_000 * capacity_j_per_k)
        response += step_ms * _ONE // capacity_j_per_k - response * decay // _ONE
        left_ms -= step_ms
    return response


def heat_pump(
    esa_id: str,
    *,
    rated_w: int = 2_500,
    cop_milli: int = 3_200,
    capacity_j_per_k: int = 25_000_000,
    loss_w_per_k: int = 180,
    low_milli: int = 19_500,
    high_milli: int = 22_500,
    preferred_milli: int = 21_000,
) -> Thermal:
    """A building with a comfort band; `cop_milli` is the heat for each W in thousandths."""
    return Thermal(
        esa_id=esa_id,
        esa_type=EsaType.SPACE_HEATING,
        rated_w=rated_w,
        gain_ppm=cop_milli * WHOLE_PPM // 1_000,
        capacity_j_per_k=capacity_j_per_k,
        loss_mw_per_k=1_000 * loss_w_per_k,
        low_milli=low_milli,
        high_milli=high_milli,
        preferred_milli=preferred_milli,
    )


def cold_store(
    esa_id: str,
    *,
    rated_w: int = 400,
    eer_milli: int = 2_000,
    capacity_j_per_k: int = 600_000,
    loss_mw_per_k: int = 6_000,
    low_milli: int = -22_000,
    high_milli: int = -17_000,
    preferred_milli: int = -19_500,
) -> Thermal:
    """A cold room or freezer; `eer_milli` is the heat taken out for each W in thousandths."""
    return Thermal(
        esa_id=esa_id,
        esa_type=EsaType.COLD,
        rated_w=rated_w,
        gain_ppm=-eer_milli * WHOLE_PPM // 1_000,
        capacity_j_per_k=capacity_j_per_k,
        loss_mw_per_k=loss_mw_per_k,
        low_milli=low_milli,
        high_milli=high_milli,
        preferred_milli=preferred_milli,
    )
