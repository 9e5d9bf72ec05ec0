"""Each kind of bad message is refused with the code, the field and words that tell the sender what to change."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from scowl_edge.drivers.flex import FRAME_MAX_BYTES, Refused, export_faults, faults, frame, parse
from scowl_edge.drivers.flex.examples import EXAMPLES
from scowl_edge.model.exchange import AckStatus, Code, Register, Report, ReportSlot, SlotQuality
from scowl_edge.model.flexibility import Cost, OfferSet


def raw_of(name: str) -> dict[str, Any]:
    return deepcopy(json.loads(frame(EXAMPLES[name], 1)))


def refusal(data: bytes | str) -> Refused:
    with pytest.raises(Refused) as caught:
        parse(data)
    return caught.value


def changed(name: str, path: str, value: object) -> str:
    """An example in which one field (`body/offers/0/rev`) has another value; `...` takes it away."""
    raw = raw_of(name)
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    holder: Any = raw
    for step in way:
        holder = holder[step]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return json.dumps(raw)


NO_MESSAGES = {
    "nothing": (b"", Code.BAD_JSON),
    "half": (b'{"v":"1.0"', Code.BAD_JSON),
    "no text": (b'{"v":"\xff"}', Code.BAD_JSON),
    "half a character pair": ('{"v":"\ud800"}', Code.BAD_JSON),
    "an escaped half of a pair": (b'{"v":"\\ud800"}', Code.BAD_JSON),
    "a byte order mark": (b"\xef\xbb\xbf{}", Code.BAD_JSON),
    "no number": (b'{"v":NaN}', Code.BAD_JSON),
    "endless": (b'{"v":Infinity}', Code.BAD_JSON),
    "deep": (b"[" * 100_000, Code.BAD_JSON),
    "deep and closed": (b'{"v":' + b"[" * 900 + b"]" * 900 + b"}", Code.BAD_JSON),
    "deep and in blanks": (b'{"v": ' + b"[" * 250 + b"]" * 250 + b"}", Code.SCHEMA),
    "a name twice": (b'{"v":"1.0","v":"1.0"}', Code.BAD_JSON),
    "a name twice within": (b'{"v":"1.0", "body":{"rev":1,"x":{},"rev":2}}', Code.BAD_JSON),
    "a name twice, once escaped": (b'{"v":"1.0","\\u0076":"2.0"}', Code.BAD_JSON),
    "digits without end": (b'{"v": ' + b"9" * 5_000 + b"}", Code.BAD_JSON),
    "a list": (b"[]", Code.SCHEMA),
    "a word": (b'"hello"', Code.SCHEMA),
}


@pytest.mark.parametrize("what", NO_MESSAGES)
def test_what_is_no_message(what: str) -> None:
    data, code = NO_MESSAGES[what]
    found = refusal(data)
    assert (found.code, found.message_id) == (code, None)


def test_a_frame_may_be_as_long_as_the_limit_and_not_a_byte_longer() -> None:
    sent = frame(EXAMPLES["heartbeat"], 1)
    full = sent + b" " * (FRAME_MAX_BYTES - len(sent))
    assert parse(full)[1] == EXAMPLES["heartbeat"]
    assert refusal(full + b" ").code is Code.SCHEMA


def test_what_is_too_long_is_not_sent() -> None:
    slot = ReportSlot(p_avg_w=-1_000_000_000, q=SlotQuality.ESTIMATED, e_wh=10**12, p_peak_w=-1_000_000_000)
    report = EXAMPLES["report"].body
    assert isinstance(report, Report)
    offers = EXAMPLES["offer_set"].body
    assert isinstance(offers, OfferSet)
    longest = replace(report, slots=(slot,) * 2_880, baseline_w=(-1_000_000_000,) * 2_880)
    assert parse(frame(replace(EXAMPLES["report"], body=longest), 1))[1].body == longest
    huge = replace(offers, offers=offers.offers * 2_000)
    with pytest.raises(Refused, match="longer than 1048576; send less"):
        frame(replace(EXAMPLES["offer_set"], body=huge), 1)


@pytest.mark.parametrize(
    ("path", "value", "code", "words"),
    [
        ("v", ..., Code.SCHEMA, "version"),
        ("v", 1.0, Code.SCHEMA, "version"),
        ("v", "2.0", Code.UNSUPPORTED, "version 2.0 is not spoken"),
        ("type", "shed", Code.UNSUPPORTED, "'shed' is no message"),
        ("type", None, Code.SCHEMA, "name of a message"),
        ("ts", "2026-01-31T17:30:00+00:00", Code.SCHEMA, "UTC time"),
        ("ts", "2026-01-31T17:30:60Z", Code.SCHEMA, "exists"),
        ("ts", "2026-02-30T17:30:00Z", Code.SCHEMA, "exists"),
        ("ts", "1970-01-01T00:00:00Z", Code.SCHEMA, "years 2000 to 2199"),
        ("ts", "2026-01-31T17:30:00.1234Z", Code.SCHEMA, "milliseconds"),
        ("ts", "2026-01-31T17:30:00Z\n", Code.SCHEMA, "UTC time"),
        ("ts", "٢٠٢٦-01-31T17:30:00Z", Code.SCHEMA, "UTC time"),
        ("seq", -1, Code.SCHEMA, "greater than or equal to 0"),
        ("seq", 2**53, Code.SCHEMA, "less than or equal to 9007199254740991"),
        ("seq", True, Code.SCHEMA, "integer"),
        ("src", "meter:7", Code.SCHEMA, "pattern"),
        ("dst", "cem:", Code.SCHEMA, "pattern"),
        ("corr", "", Code.SCHEMA, "pattern"),
        ("body", [], Code.SCHEMA, "should be an object"),
        ("body", ..., Code.SCHEMA, "is needed"),
    ],
)
def test_faults_of_the_envelope(path: str, value: object, code: Code, words: str) -> None:
    found = refusal(changed("select", path, value))
    assert (found.code, found.path) == (code, path)
    assert words in found.text
    assert found.message_id == EXAMPLES["select"].id


def test_a_frame_whose_id_is_at_fault_has_none() -> None:
    found = refusal(changed("select", "id", "550E8400-E29B-41D4-A716-446655440000"))
    assert (found.code, found.path, found.message_id) == (Code.SCHEMA, "id", None)


def test_a_later_minor_version_is_read() -> None:
    envelope, message = parse(changed("select", "v", "1.7"))
    assert (envelope.v, message) == ("1.7", EXAMPLES["select"])


PROFILE = "body/offers/0/profiles/0"


@pytest.mark.parametrize(
    ("name", "path", "value", "at"),
    [
        ("select", "body/rev", "3", "body.rev"),
        ("select", "body/rev", 3.0, "body.rev"),
        ("select", "body/rev", ..., "body.rev"),
        ("select", "body/start", 1_800_000_000, "body.start"),
        ("select", "body/mode", "SOMETIMES", "body.mode"),
        ("select", "body/select_id", "42", "body.select_id"),
        ("select", "body/random_offset_max_s", 1_801, "body.random_offset_max_s"),
        ("select", "body/setpoints_w", [0] * 289, "body.setpoints_w"),
        ("select", "body/setpoints_w", [0, None], "body.setpoints_w[1]"),
        ("select", "body/event_ref", "a\nb", "body.event_ref"),
        ("select", "body/emergency", "yes", "body.emergency"),
        ("register", "body/esa_id", "short", "body.esa_id"),
        ("register", "body/esa_id", "e" * 65, "body.esa_id"),
        ("register", "body/cert_fp", "AB" * 32, "body.cert_fp"),
        ("register", "body/cert_fp", "ab" * 31, "body.cert_fp"),
        ("register", "body/p_max_w", 10**10, "body.p_max_w"),
        ("register", "body/modes", [], "body.modes"),
        ("register", "body/modes", ["ROUTINE", "ROUTINE"], "body.modes"),
        ("register", "body/controls", ["PAUSE", "PAUSE"], "body.controls"),
        ("init", "body/failsafe_p_upper_w", ..., "body.failsafe_p_upper_w"),
        ("init", "body/failsafe_p_lower_w", 1, "body.failsafe_p_lower_w"),
        ("init", "body/failsafe_min_s", 7_199, "body.failsafe_min_s"),
        ("init", "body/report_actual_s", 0, "body.report_actual_s"),
        ("hello_ack", "body/heartbeat_s", 4, "body.heartbeat_s"),
        ("ack", "body/detail", "x" * 201, "body.detail"),
        ("ack", "body/code", "TIRED", "body.code"),
        ("offer_set", "body/offers/0/profiles", [], "body.offers[0].profiles"),
        ("offer_set", f"{PROFILE}/elements", [], "body.offers[0].profiles[0].elements"),
        ("offer_set", f"{PROFILE}/elements/1/dur_s", 0, "body.offers[0].profiles[0].elements[1].dur_s"),
        ("offer_set", f"{PROFILE}/min_activation", 0.001, "body.offers[0].profiles[0].min_activation"),
        ("offer_set", f"{PROFILE}/min_activation", 0.3333333, "body.offers[0].profiles[0].min_activation"),
        ("offer_set", f"{PROFILE}/min_activation", "0.5", "body.offers[0].profiles[0].min_activation"),
        ("offer_set", f"{PROFILE}/freq_n", 6, "body.offers[0].profiles[0].freq_n"),
        ("offer_set", f"{PROFILE}/cost/financial", 0.12, "body.offers[0].profiles[0].cost.financial"),
        ("offer_set", f"{PROFILE}/cost/financial", "0.1234567", "body.offers[0].profiles[0].cost.financial"),
        ("offer_set", f"{PROFILE}/cost/currency", "euro", "body.offers[0].profiles[0].cost.currency"),
        ("offer_set", f"{PROFILE}/cost/currency", ..., "body.offers[0].profiles[0].cost"),
        ("offer_set", f"{PROFILE}/cost/financial", ..., "body.offers[0].profiles[0].cost"),
        ("offer_set", f"{PROFILE}/cost/comfort", 11, "body.offers[0].profiles[0].cost.comfort"),
        ("offer_set", f"{PROFILE}/end_state/value", 1.0001, "body.offers[0].profiles[0].end_state.value"),
        ("limit", "body/p_upper_w", ..., "body.p_upper_w"),
        ("limit", "body/p_lower_w", 1, "body.p_lower_w"),
        ("limit", "body/class", "HOPE", "body.class"),
        ("capacity_request", "body/by", ..., "body.by"),
        ("capacity_request", "body/energy_wh", ..., "body.energy_wh"),
        ("capacity_request", "body/min_ok", 1.5, "body.min_ok"),
        ("capacity_request", "body/mode", "POWER_FOR", "body.power_w"),
        ("capacity_grant", "body/slots/0/p_upper_w", ..., "body.slots[0].p_upper_w"),
        ("report", "body/slots", [], "body.slots"),
        ("report", "body/slots", [{"p_avg_w": 1, "q": "OK"}] * 2_881, "body.slots"),
        ("report", "body/slots/0/p_avg_w", None, "body.slots[0].p_avg_w"),
        ("report", "body/slots/0/p_avg_w", ..., "body.slots[0].p_avg_w"),
        ("report", "body/slots/0/q", "MISSING", "body.slots[0].p_avg_w"),
        ("report", "body/baseline_w", [1], "body.baseline_w"),
        ("state", "body/freq_hz", 49.98765, "body.freq_hz"),
        ("state", "body/freq_hz", 0, "body.freq_hz"),
        ("state", "body/freq_hz", True, "body.freq_hz"),
    ],
)
def test_faults_of_a_field(name: str, path: str, value: object, at: str) -> None:
    found = refusal(changed(name, path, value))
    assert (found.code, found.path) == (Code.SCHEMA, at)
    assert found.ack().status is AckStatus.INVALID_MESSAGE
    assert found.ack().detail.startswith(f"{at}: ")
    assert "Body" not in found.text and "Value error" not in found.text


@pytest.mark.parametrize(
    ("name", "path", "value", "code", "at"),
    [
        ("offer_set", f"{PROFILE}/elements/0/p_min_w", 9_999, Code.OUT_OF_BOUNDS, "elements[0].p_nom_w"),
        ("offer_set", f"{PROFILE}/elements/0/p_max_w", -9_999, Code.OUT_OF_BOUNDS, "elements[0].p_nom_w"),
        ("offer_set", f"{PROFILE}/e_min_wh", 10**9, Code.OUT_OF_BOUNDS, "profiles[0].e_min_wh"),
        ("offer_set", "body/offers/0/start_earliest", "2099-01-01T00:00:00Z", Code.OUT_OF_WINDOW, "start_latest"),
        ("offer_set", "body/offers/0/valid_from", "2099-01-01T00:00:00Z", Code.OUT_OF_WINDOW, "valid_until"),
        ("offer_set", "body/offers/0/valid_until", "2099-01-01T00:00:00Z", Code.OUT_OF_WINDOW, "valid_until"),
        ("offer_set", f"{PROFILE}/elements/0/dur_s", 86_400, Code.OUT_OF_WINDOW, "profiles[0].elements"),
        ("offer_set", f"{PROFILE}/start_fixed", "2099-01-01T00:00:00Z", Code.OUT_OF_WINDOW, "profiles[0].elements"),
        (
            "offer_set",
            "body/offers/0/default_profile_id",
            "00000000-0000-4000-8000-000000000000",
            Code.UNKNOWN_OFFER,
            "offers[0].default_profile_id",
        ),
        ("register", "body/p_min_w", 9_999_999, Code.OUT_OF_BOUNDS, "body.p_min_w"),
        ("limit", "body/p_upper_w", -9_999_999, Code.OUT_OF_BOUNDS, "body.p_lower_w"),
        ("constraint", "body/slots/1/start", "2020-01-01T00:00:00Z", Code.OUT_OF_WINDOW, "body.slots[1].start"),
        ("constraint", "body/slots/0/p_lower_w", 9_999_999, Code.OUT_OF_BOUNDS, "body.slots[0].p_lower_w"),
        ("capacity_grant", "body/slots/1/start", "2020-01-01T00:00:00Z", Code.OUT_OF_WINDOW, "body.slots[1].start"),
        ("report", "body/soc_wh", 10**9, Code.OUT_OF_BOUNDS, "body.soc_wh"),
        ("override", "body/expected/0/p_max_w", -9_999, Code.OUT_OF_BOUNDS, "body.expected[0].p_nom_w"),
    ],
)
def test_fields_that_contradict_each_other(name: str, path: str, value: object, code: Code, at: str) -> None:
    found = refusal(changed(name, path, value))
    assert found.code is code and found.path.endswith(at)
    assert found.ack().status is AckStatus.INVALID_CONTENT
    assert found.message_id == EXAMPLES[name].id


def test_ids_that_stand_twice() -> None:
    raw = raw_of("offer_set")
    offers = raw["body"]["offers"]
    raw["body"]["offers"] = [offers[0], offers[0]]
    found = refusal(json.dumps(raw))
    assert (found.code, found.path) == (Code.DUPLICATE_ID, "body.offers[1].offer_id")
    offers[0]["profiles"].append(offers[0]["profiles"][0])
    raw["body"]["offers"] = offers
    found = refusal(json.dumps(raw))
    last = len(offers[0]["profiles"]) - 1
    assert (found.code, found.path) == (Code.DUPLICATE_ID, f"body.offers[0].profiles[{last}].profile_id")


def test_export_needs_a_nameplate_that_exports() -> None:
    _, message = parse(changed("offer_set", f"{PROFILE}/elements/0/p_min_w", -500))
    offers, register = message.body, EXAMPLES["register"].body
    assert isinstance(offers, OfferSet) and isinstance(register, Register)
    (fault,) = export_faults(offers, replace(register, p_min_w=0))
    assert (fault.code, fault.path) == (Code.OUT_OF_BOUNDS, "offers[0].profiles[0].elements[0].p_min_w")
    assert not list(export_faults(offers, replace(register, p_min_w=-500)))


def test_the_sender_can_ask_before_it_sends() -> None:
    assert all(not list(faults(message.body)) for message in EXAMPLES.values())
    offers = EXAMPLES["offer_set"].body
    assert isinstance(offers, OfferSet)
    (offer,) = offers.offers
    worth = Cost(financial_micro=1, currency="", co2_g=0, comfort=0)
    costly = replace(offer, profiles=(replace(offer.profiles[0], cost=worth),))
    (fault,) = faults(replace(offers, offers=(costly,)))
    assert (fault.code, fault.path) == (Code.SCHEMA, "offers[0].profiles[0].cost.currency")


def test_the_first_of_very_many_faults_is_told_at_once() -> None:
    raw = raw_of("report")
    raw["body"]["slots"] = [{}] * 2_880
    found = refusal(json.dumps(raw))
    assert (found.path, found.text) == ("body.slots[0].p_avg_w", "is needed")
