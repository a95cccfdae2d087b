"""One scene as bytes: the overlay and its own picture together, so that they never come apart on the way.

A record is `u32 length, JSON, u32 length, JPEG`, big-endian; the JPEG is empty where there is no picture.
"""

from __future__ import annotations

import math
import struct
from dataclasses import astuple
from typing import Any

import cv2
import msgspec
import numpy as np

from sono_edge.scene import Saliency, Scene
from sono_models.inputs import Grey

JPEG_QUALITY = 90
"""50 dB on 640 x 480 speckle, 0.7 ms; 85 is 48 dB and hardly cheaper."""
LENGTH = struct.Struct(">I")


def scene_record(scene: Scene, number: int) -> bytes:
    """The scene as the page reads it; `number` counts the scenes that were shown."""
    return pack(overlay(scene, number), b"" if scene.picture is None else to_jpeg(scene.picture))


def beat_record(age_s: float | None) -> bytes:
    """A sign of life without a scene: how old the newest one is, None before the first."""
    return pack({"kind": "beat", "age_s": age_s}, b"")


def held_record(picture: Grey, frame: int, saliency: Saliency) -> bytes:
    """A picture with its saliency, 0 to 255, row by row; `place` is (x0, y0, width, height) of the picture in it."""
    rows, columns = saliency.map.shape
    values = {
        "kind": "held",
        "frame": frame,
        "rows": rows,
        "columns": columns,
        "map": np.rint(saliency.map * 255.0).astype(np.uint8).ravel().tolist(),
        "place": astuple(saliency.placement),
    }
    return pack(values, to_jpeg(picture))


def overlay(scene: Scene, number: int) -> dict[str, Any]:
    """All of a scene but its picture, in plain values; the score of a paused model is None, never 0."""
    box = scene.box
    return {
        "kind": "scene",
        "number": number,
        "frame": scene.frame_index,
        "state": scene.state.name,
        "words": scene.state.value,
        "reason": scene.reason,
        "attention": scene.attention,
        "attention_lo": scene.attention_lo,
        "attention_hi": scene.attention_hi,
        "quality": scene.quality,
        "arrived_s": scene.arrived_s,
        "threshold": scene.threshold,
        "box": None if box is None else (box.x0, box.y0, box.x1, box.y1),
        "alerts": [
            {
                "alert": line.alert,
                "ago_s": round(scene.captured_s - line.captured_s, 1),
                "seen": line.seen,
                "active": line.active,
            }
            for line in scene.alerts
        ],
        "fps_in": scene.fps_in,
        "fps_scored": scene.fps_scored,
        "latency_ms": scene.latency_ms_p50,
        "dropped": scene.frames_dropped,
        "outbox_depth": scene.outbox_depth,
        "uplink": scene.uplink,
        "recording": scene.recording,
        "bundle": scene.bundle,
        "runtime": scene.runtime,
        "source": scene.source,
        "simulated": scene.simulated,
        "strip": [None if math.isnan(value) else round(value, 3) for value in scene.strip],
    }


def to_jpeg(picture: Grey) -> bytes:
    """A grey JPEG of every pixel of the picture."""
    done, encoded = cv2.imencode(".jpg", np.ascontiguousarray(picture), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done, "a grey uint8 picture always has a JPEG"
    return encoded.tobytes()


def pack(values: dict[str, Any], jpeg: bytes) -> bytes:
    head = msgspec.json.encode(values)
    return b"".join((LENGTH.pack(len(head)), head, LENGTH.pack(len(jpeg)), jpeg))
