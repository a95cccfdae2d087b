from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from sono_models import asyncapi, messages
from sono_models.errors import BadConfig
from sono_models.inputs import Box
from tests.support.bundles import ROOT

SCHEMAS = Path(messages.__file__).parent / "schemas"


def alert() -> messages.AlertData:
    return messages.AlertData(
        kind="raised",
        alert="run-1",
        track=1,
        score=messages.Interval(0.7, 0.5, 0.9),
        band="look-again",
        box=Box(0.1, 0.2, 0.3, 0.4),
        frames=messages.Support(6, 9),
        quality=1.0,
        gates=(),
        profile="bundle",
        model=messages.ModelUsed("breast", "0.1.0", "0" * 64, "int8", "onnx 1"),
        timings=messages.Timings(1.0, 0.8, 5.0),
        device="board-1",
        epoch=5,
        sequence=7,
    )


def test_an_event_is_a_cloud_event_and_comes_back_as_it_was() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    body = messages.encode(
        "alert", alert(), source="/sono/demo/board-1", event_id=messages.alert_id("board-1", 5, 7), at=at
    )
    raw = msgspec.json.decode(body)
    assert raw["specversion"] == "1.0"
    assert raw["type"] == "org.sonoedge.alert.v1"
    assert raw["id"] == "board-1/5/7"
    assert raw["time"] == "2026-01-02T03:04:05.678Z"
    assert raw["data"]["research_use_only"] is True
    assert messages.decode("alert", body).data == alert()


def test_an_event_of_another_shape_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode("alert", b'{"id": "1"}')
    with pytest.raises(msgspec.DecodeError):
        messages.decode("ack", b"not json")


@pytest.mark.parametrize("device", ["", "a.b", "a/b", "a+b", "#", "x" * 65, "café"])
def test_an_id_that_a_broker_would_not_carry_is_refused(device: str) -> None:
    with pytest.raises(BadConfig, match="device"):
        messages.topic_of("demo", device, "alert")


def test_no_message_has_room_for_pixels_or_names() -> None:
    fields = {field.name for field in msgspec.structs.fields(messages.AlertData)}
    assert not fields & {"image", "picture", "pixels", "thumbnail", "patient", "file", "path", "name"}


@pytest.mark.parametrize("topic", list(messages.DATA_TYPES))
def test_the_published_schemas_are_in_step(topic: messages.Topic) -> None:
    published = msgspec.json.decode((SCHEMAS / f"{topic}.schema.json").read_bytes())
    assert published == messages.json_schemas()[topic]


def test_the_published_asyncapi_document_is_in_step() -> None:
    published = ROOT / "docs" / "asyncapi.json"
    assert msgspec.json.decode(published.read_bytes()) == asyncapi.document()
