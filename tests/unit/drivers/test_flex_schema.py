"""docs/flex is fresh, says what the reader of messages does, and is what its formats ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flex_messages import any_message
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from test_flex_round_trip import json_values, places

from scowl_edge.drivers.flex import Refused, frame, parse, schema
from scowl_edge.drivers.flex.envelope import FRAMES
from scowl_edge.drivers.flex.examples import DOWNWARD, EXAMPLES, UPWARD
from scowl_edge.model.exchange import Message

CALM = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def published(name: str) -> Any:
    return json.loads((schema.DIRECTORY / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def validators() -> dict[str, Draft202012Validator]:
    whole = published("scowl-flex-1.schema.json")
    Draft202012Validator.check_schema(whole)
    return {
        name: Draft202012Validator({"$ref": f"#/$defs/{model.__name__}", "$defs": whole["$defs"]})
        for name, model in FRAMES.items()
    }


def test_the_files_are_not_stale() -> None:
    assert schema.main(["--check"]) == 0


def test_check_notices_a_stale_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "DIRECTORY", tmp_path / "flex")
    assert schema.main(["--check"]) == 1
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0
    (tmp_path / "flex" / "messages.md").write_text("old")
    assert schema.main(["--check"]) == 1


def test_every_message_has_an_example_that_is_one(validators: dict[str, Draft202012Validator]) -> None:
    assert set(EXAMPLES) == set(FRAMES) == DOWNWARD | UPWARD
    whole = Draft202012Validator(published("scowl-flex-1.schema.json"))
    for name, message in EXAMPLES.items():
        example = schema.example(name)
        assert parse(json.dumps(example))[1] == message
        validators[name].validate(example)
        assert whole.is_valid(example), f"{name} is more than one message, or none"


def test_the_message_page_shows_examples_that_are_read() -> None:
    text = (schema.DIRECTORY / "messages.md").read_text(encoding="utf-8")
    shown = [part.split("```", 1)[0] for part in text.split("```json\n")[1:]]
    assert [parse(each)[0].type for each in shown] == list(FRAMES)


def test_every_field_says_what_it_means() -> None:
    text = (schema.DIRECTORY / "messages.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 120
    assert not [row for row in rows if row.endswith("|  |")]


@CALM
@given(message=any_message)
def test_what_is_sent_keeps_the_schema(validators: dict[str, Draft202012Validator], message: Message) -> None:
    raw = orjson.loads(frame(message, 1))
    validators[raw["type"]].validate(raw)


@settings(CALM, max_examples=250)
@given(message=any_message, data=st.data())
def test_what_breaks_the_schema_is_refused(
    validators: dict[str, Draft202012Validator], message: Message, data: st.DataObject
) -> None:
    raw = orjson.loads(frame(message, 1))
    name = raw["type"]
    *way, last = data.draw(st.sampled_from(places(raw)))
    holder = raw
    for step in way:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[last] = data.draw(json_values)
    else:
        del holder[last]
    assume(raw.get("type") == name)
    if not validators[name].is_valid(raw):
        with pytest.raises(Refused):
            parse(json.dumps(raw))


def test_openapi_is_valid() -> None:
    OpenAPIV31SpecValidator(published("scowl-flex-1.openapi.json")).validate()


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from refs(inner)


def test_asyncapi_names_every_message_and_all_it_refers_to_is_there() -> None:
    whole = published("scowl-flex-1.asyncapi.json")
    assert set(whole["components"]["messages"]) == set(FRAMES)
    told = {ref["$ref"].rsplit("/", 1)[1] for way in whole["operations"].values() for ref in way["messages"]}
    assert told == set(FRAMES)
    found = list(refs(whole))
    assert len(found) > 3 * len(FRAMES)
    for ref in found:
        file, _, pointer = ref.partition("#")
        at = published(file.removeprefix("./")) if file else whole
        for step in pointer.strip("/").split("/"):
            at = at[step]
        assert at
