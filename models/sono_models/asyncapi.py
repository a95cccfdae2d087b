"""The AsyncAPI 3 document of the messages, generated from their types: docs/asyncapi.json."""

from __future__ import annotations

from typing import Any

from sono_models import DISCLAIMER, __version__
from sono_models.messages import Topic, json_schemas

TO_DEVICE: frozenset[Topic] = frozenset({"ack", "desired"})
RETAINED: frozenset[Topic] = frozenset({"state", "desired"})
SUMMARY: dict[Topic, str] = {
    "alert": "A step in an alert's life. Sent at least once; (device, epoch, sequence) is its id.",
    "ack": "Every alert and update report of the epoch up to this sequence is committed in the fleet's database.",
    "state": "Whether the device is online, and with which bundle. Retained; the will says offline.",
    "health": "What the device measures of itself, every 30 s.",
    "desired": "What the device is to run: a signed DSSE envelope (payload: desired-payload.schema.json). Retained.",
    "update": "A phase of an update. At least once, in one order with alerts; (device, epoch, sequence) is its id.",
    "drift": "Histograms over at least five scans, at most hourly, no images. (device, hour, bundle) is its id.",
}


def document() -> dict[str, Any]:
    """AsyncAPI 3.0.0; the device is the application described."""
    schemas = json_schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "SonoEdge device", "version": __version__, "description": DISCLAIMER},
        "channels": {topic: _channel(topic) for topic in schemas},
        "operations": {
            f"{'receive' if topic in TO_DEVICE else 'send'}-{topic}": {
                "action": "receive" if topic in TO_DEVICE else "send",
                "channel": {"$ref": f"#/channels/{topic}"},
                "bindings": {"mqtt": {"qos": 1, "retain": topic in RETAINED}},
            }
            for topic in schemas
        },
        "components": {
            "messages": {
                topic: {
                    "summary": SUMMARY[topic],
                    "contentType": "application/cloudevents+json",
                    "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": schema},
                }
                for topic, schema in schemas.items()
            }
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": f"sono/v1/{{site}}/{{device}}/{topic}",
        "parameters": {
            "site": {"description": "1 to 64 of A-Z a-z 0-9 _ -"},
            "device": {"description": "1 to 64 of A-Z a-z 0-9 _ -"},
        },
        "messages": {topic: {"$ref": f"#/components/messages/{topic}"}},
    }
