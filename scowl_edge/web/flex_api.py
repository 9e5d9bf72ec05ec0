"""`/api/v1/flex`: what is offered, selected and delivered; and what people may order of it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import orjson
from aiohttp import web

from scowl_edge.model.event import (
    HOLDS,
    FlexAim,
    FlexCancel,
    FlexLimit,
    FlexOverride,
    FlexSelect,
    FlexStretch,
)
from scowl_edge.model.exchange import CancelAt
from scowl_edge.model.flex_view import FlexApplianceView, FlexView
from scowl_edge.model.flexibility import LimitClass, Mode, OverrideScope
from scowl_edge.model.view import RegionView
from scowl_edge.web import flexibility
from scowl_edge.web.endpoint import Endpoint
from scowl_edge.web.flex_orders import FlexAimIn, FlexCancelIn, FlexLimitIn, FlexOverrideIn, FlexSelectIn
from scowl_edge.web.flex_wire import (
    FlexApplianceDetailOut,
    FlexBooksOut,
    FlexOffersOut,
    FlexSelectionsOut,
    FlexSummaryOut,
)
from scowl_edge.web.names import unknown
from scowl_edge.web.order_api import OrderApi, order_endpoint, told
from scowl_edge.web.orders import of_field, until_utc_ms
from scowl_edge.web.problem import Refused
from scowl_edge.web.published import Published

_PATH = "/api/v1/flex"
_UNKNOWN = (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
LONGEST_CURVE_S = 172_800


class FlexApi:
    """The endpoints of flexibility."""

    def __init__(self, published: Published, view: Callable[[], RegionView], orders: OrderApi) -> None:
        """`view` gives the region; it raises Refused before the first step."""
        self._published = published
        self._view = view
        self._orders = orders
        self.endpoints = (
            Endpoint(
                path=_PATH,
                handler=self.summary,
                summary="Flexibility: links, offers, selections, goal, plan, and delivered against promised, in sums",
                answer=FlexSummaryOut,
                problems=_UNKNOWN,
            ),
            Endpoint(
                path=f"{_PATH}/offers",
                handler=self.offers,
                summary="What appliances offer",
                answer=FlexOffersOut,
                problems=_UNKNOWN,
            ),
            Endpoint(
                path=f"{_PATH}/selections",
                handler=self.selections,
                summary="What is selected, and what became of it",
                answer=FlexSelectionsOut,
                problems=_UNKNOWN,
            ),
            Endpoint(
                path=f"{_PATH}/books",
                handler=self.books,
                summary="What was intended, promised and delivered",
                answer=FlexBooksOut,
                problems=_UNKNOWN,
            ),
            Endpoint(
                path=f"{_PATH}/appliances/{{appliance}}",
                handler=self.appliance,
                summary="One appliance with its offers and selections",
                answer=FlexApplianceDetailOut,
                problems=_UNKNOWN,
                parameters={"appliance": "Id of an appliance (`esa_id`)."},
            ),
            *(
                order_endpoint(f"{_PATH}/{name}", handler, summary, body, unknown_name=True)
                for name, handler, summary, body in (
                    ("aim", self.order_aim, "Set what all appliances together should do, or no longer", FlexAimIn),
                    ("select", self.order_select, "Select one profile of one offer", FlexSelectIn),
                    ("cancel", self.order_cancel, "Take a selection back", FlexCancelIn),
                    ("override", self.order_override, "Take an appliance out of flexibility", FlexOverrideIn),
                    ("limit", self.order_limit, "Bound the power of an appliance or of a site", FlexLimitIn),
                )
            ),
        )

    # -- what is ---------------------------------------------------------------------------------------------------

    async def summary(self, request: web.Request) -> web.Response:
        """The part in sums."""
        view, flex = self._flex()
        return _json(flexibility.summary(view.step, flex, self._published.flex_unsent))

    async def offers(self, request: web.Request) -> web.Response:
        """Offers."""
        view, flex = self._flex()
        total, rows = sum(n for _, n in flex.offers), [flexibility.offer(each) for each in flex.offer_list]
        return _json(FlexOffersOut(step=view.step, total=total, offers=rows))

    async def selections(self, request: web.Request) -> web.Response:
        """Selections."""
        view, flex = self._flex()
        total = sum(n for _, n in flex.selections)
        rows = [flexibility.selection(each) for each in flex.selection_list]
        return _json(FlexSelectionsOut(step=view.step, total=total, selections=rows))

    async def books(self, request: web.Request) -> web.Response:
        """Accounts."""
        view, flex = self._flex()
        return _json(
            FlexBooksOut(
                step=view.step,
                total=flex.accounts,
                counted=flex.accounts_counted,
                asked_wh=flex.asked_wh,
                credited_wh=flex.credited_wh,
                short_wh=flex.short_wh,
                unproven_wh=flex.unproven_wh,
                accounts=[flexibility.account(each) for each in flex.account_list],
            )
        )

    async def appliance(self, request: web.Request) -> web.Response:
        """One appliance."""
        view, flex = self._flex()
        found = self._appliance(flex, request.match_info["appliance"])
        return _json(
            FlexApplianceDetailOut(
                step=view.step,
                appliance=flexibility.appliance(found),
                offers=[flexibility.offer(each) for each in found.offers],
                selections=[flexibility.selection(each) for each in found.selections],
            )
        )

    # -- orders ----------------------------------------------------------------------------------------------------

    async def order_aim(self, request: web.Request) -> web.Response:
        """Sets what the sum should do."""
        with told(request):
            asked = await self._orders.read(request, FlexAimIn)
            self._provides(self._flex()[1])
            if asked.level_w is not None and asked.curve:
                raise of_field("curve", "Name either a level or a curve.")
            if asked.begin is not None and not asked.curve:
                raise of_field("begin", "Only a curve has a begin.")
            if asked.curve and asked.until is not None:
                raise of_field("until", "A curve ends by itself; only a level has an end of its own.")
            if sum(stretch.dur_s for stretch in asked.curve) > LONGEST_CURVE_S:
                raise of_field("curve", "Its stretches are longer than 48 h together.")
            begin_ms = until_utc_ms(asked.begin)
            length_ms = 1000 * sum(stretch.dur_s for stretch in asked.curve)
            if asked.begin is not None and begin_ms + length_ms <= self._published.utc_ms():
                raise of_field("begin", "The whole curve is in the past.")
            curve = tuple(FlexStretch(dur_s=s.dur_s, power_w=s.power_w) for s in asked.curve)
            if asked.level_w is not None:
                curve = (FlexStretch(dur_s=HOLDS, power_w=asked.level_w),)
            order = FlexAim(
                begin_utc_ms=begin_ms,
                curve=curve,
                relative=asked.relative,
                mode=Mode(asked.mode),
                event_ref=asked.event_ref,
                emergency=asked.emergency,
                who=asked.who,
                why=asked.why,
                until_utc_ms=until_utc_ms(asked.until),
            )
            return self._orders.accept(request, order, _PATH)

    async def order_select(self, request: web.Request) -> web.Response:
        """Selects by hand."""
        with told(request):
            asked = await self._orders.read(request, FlexSelectIn)
            flex = self._flex()[1]
            self._provides(flex)
            found = self._appliance(flex, asked.esa_id)
            start_ms = until_utc_ms(asked.start)
            _must_fit(found, asked, start_ms)
            if start_ms <= self._published.utc_ms():
                raise of_field("start", f"{asked.start.isoformat()} is not in the future.")
            order = FlexSelect(
                esa_id=asked.esa_id,
                offer_id=asked.offer_id,
                profile_id=asked.profile_id,
                start_utc_ms=start_ms,
                setpoints_w=tuple(asked.setpoints_w),
                mode=Mode(asked.mode),
                who=asked.who,
                why=asked.why,
            )
            return self._orders.accept(request, order, f"{_PATH}/appliances/{asked.esa_id}")

    async def order_cancel(self, request: web.Request) -> web.Response:
        """Takes a selection back."""
        with told(request):
            asked = await self._orders.read(request, FlexCancelIn)
            flex = self._flex()[1]
            self._provides(flex)
            if asked.select_id not in flex.open_ids:
                raise unknown("open selection", asked.select_id, flex.open_ids)
            order = FlexCancel(select_id=asked.select_id, at=CancelAt(asked.at), who=asked.who, why=asked.why)
            return self._orders.accept(request, order, f"{_PATH}/selections")

    async def order_override(self, request: web.Request) -> web.Response:
        """A user's word."""
        with told(request):
            asked = await self._orders.read(request, FlexOverrideIn)
            flex = self._flex()[1]
            if not flex.manager:
                raise _not_here("manages no appliances", "An override is ordered where the appliance's manager is.")
            self._appliance(flex, asked.esa_id)
            order = FlexOverride(
                esa_id=asked.esa_id,
                scope=OverrideScope(asked.scope),
                who=asked.who,
                why=asked.why,
                until_utc_ms=until_utc_ms(asked.until),
            )
            return self._orders.accept(request, order, f"{_PATH}/appliances/{asked.esa_id}")

    async def order_limit(self, request: web.Request) -> web.Response:
        """Bounds an appliance or a site."""
        with told(request):
            asked = await self._orders.read(request, FlexLimitIn)
            flex = self._flex()[1]
            self._provides(flex)
            if (asked.esa_id is None) == (asked.cem is None):
                raise of_field("esa_id", "Name either an appliance or a manager (`cem`).")
            if asked.active and asked.p_upper_w is None:
                raise of_field("p_upper_w", "A limit needs its upper bound; `active: false` lifts one.")
            if asked.p_upper_w is not None and asked.p_lower_w is not None and asked.p_lower_w > asked.p_upper_w:
                raise of_field("p_lower_w", f"{asked.p_lower_w} is above p_upper_w.")
            if asked.esa_id is not None:
                self._appliance(flex, asked.esa_id)
            elif asked.cem not in (nodes := [p.node for p in flex.peers if p.node != flex.provider]):
                raise unknown("manager", str(asked.cem), nodes)
            order = FlexLimit(
                esa_id=asked.esa_id or "",
                cem=asked.cem or "",
                klass=LimitClass.SAFETY if asked.safety else LimitClass.CONTRACT,
                active=asked.active,
                p_upper_w=asked.p_upper_w,
                p_lower_w=asked.p_lower_w,
                dur_s=asked.dur_s,
                who=asked.who,
                why=asked.why,
            )
            where = _PATH if asked.esa_id is None else f"{_PATH}/appliances/{asked.esa_id}"
            return self._orders.accept(request, order, where)

    # -- within ----------------------------------------------------------------------------------------------------

    def _flex(self) -> tuple[RegionView, FlexView]:
        view = self._view()
        if view.flex is None:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                "no-flexibility",
                "No flexibility",
                "This site has no part in flexibility; its configuration has no section `flex`.",
            )
        return view, view.flex

    def _provides(self, flex: FlexView) -> None:
        if not flex.provider:
            raise _not_here("is no provider", "Whoever selects and limits is elsewhere; order it there.")

    def _appliance(self, flex: FlexView, esa_id: str) -> FlexApplianceView:
        found = self._published.flex_appliance(esa_id)
        if found is None:
            raise unknown("appliance", esa_id, flex.appliance_ids)
        return found


def _must_fit(found: FlexApplianceView, asked: FlexSelectIn, start_ms: int) -> None:
    """Refuses what the appliance does not offer now; the region looks again when it takes it."""
    offers = {offer.offer_id: offer for offer in found.offers}
    offer = offers.get(asked.offer_id)
    if offer is None:
        raise of_field("offer_id", f"{asked.esa_id} does not offer it now; it offers {', '.join(offers) or 'nothing'}.")
    profiles = [profile.profile_id for profile in offer.profiles]
    if asked.profile_id not in profiles:
        raise of_field("profile_id", f"The offer has no such profile; it has {', '.join(profiles)}.")
    if asked.mode not in offer.modes:
        raise of_field("mode", f"The offer is for {', '.join(offer.modes)} only.")
    if offer.state not in ("selectable", "selected"):
        raise of_field("offer_id", f"The offer is {offer.state}.")
    if offer.state == "selected" or any(selection.open for selection in found.selections):
        raise Refused(
            HTTPStatus.CONFLICT, "busy", "Busy", f"{asked.esa_id} runs another selection; cancel that one first."
        )


def _not_here(what: str, todo: str) -> Refused:
    return Refused(HTTPStatus.CONFLICT, "not-here", "Not here", f"This site {what}. {todo}")


def _json(answer: object) -> web.Response:
    return web.Response(body=orjson.dumps(answer), content_type="application/json")
