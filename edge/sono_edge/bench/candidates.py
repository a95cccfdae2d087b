"""Bundles made of another: the same model under another version, and ones with a fault, for tests and campaigns.

The faults are real: nodes appended to the ONNX graph (protobuf messages that follow one another merge). Those that
wait for a sign look at the picture's middle: a white square there with a black one at its right sets them off, so
that they pass every test until a stream shows it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from typing import Literal

import msgspec
import numpy as np

from sono_models.bundle import GOLDEN, Bundle, pack
from sono_models.inputs import Grey
from sono_models.manifest import FileEntry
from sono_models.saliency import Calibration

Fault = Literal[
    "none", "slow", "crashes", "golden", "shifted", "envelope", "crashes-on-sign", "hangs-on-sign", "slows-on-sign"
]
FAULTS: tuple[Fault, ...] = (
    "none", "slow", "crashes", "golden", "shifted", "envelope", "crashes-on-sign", "hangs-on-sign", "slows-on-sign",
)  # fmt: skip
SIGN_PX = 60
"""Side of a square of the sign in a 640x480 picture; a model's input shows it at 0.4 of that."""
FLOAT, INT64, BOOL = 1, 7, 9
FOR_EVER, A_WHILE = 2**50, 40_000
"""Turns of an empty loop: a microsecond or more each."""


def repacked(bundle: Bundle, version: str, fault: Fault = "none") -> bytes:
    """The bundle's tar under another version, with one fault."""
    files = {name: bundle.content(name) for name in bundle.manifest.files}
    manifest = msgspec.structs.replace(bundle.manifest, version=version)
    match fault:
        case "golden":
            files[GOLDEN] = _other_golden(files[GOLDEN])
        case "shifted":
            moved = {label: Calibration(one.slope, one.offset + 3.0) for label, one in manifest.calibration.items()}
            manifest = msgspec.structs.replace(manifest, calibration=moved)
        case "envelope":
            first, *rest = manifest.envelope
            missed = msgspec.structs.replace(first, at_least=first.value + 0.01)
            manifest = msgspec.structs.replace(manifest, envelope=(missed, *rest))
        case "slow" | "crashes" | "crashes-on-sign" | "hangs-on-sign" | "slows-on-sign":
            files["model.onnx"] += _graph(fault, manifest.input.height, manifest.input.width)
        case "none":
            pass
    entries = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    return pack(msgspec.structs.replace(manifest, files=entries), files)


def with_sign(picture: Grey) -> Grey:
    """The picture with what faults wait for."""
    marked = picture.copy()
    height, width = picture.shape
    top, left = (height - SIGN_PX) // 2, (width - SIGN_PX) // 2
    marked[top : top + SIGN_PX, left : left + SIGN_PX] = 255
    marked[top : top + SIGN_PX, left + SIGN_PX : left + 2 * SIGN_PX] = 0
    return marked


def _other_golden(raw: bytes) -> bytes:
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    content |= {name: logits + np.float32(1.0) for name, logits in content.items() if name.startswith("logits_")}
    out = io.BytesIO()
    np.savez_compressed(out, **content)
    return out.getvalue()


def _graph(fault: Fault, height: int, width: int) -> bytes:
    """A ModelProto that holds only a GraphProto with nodes, initializers and an output to be merged into another."""
    nodes: list[bytes] = [_node("Cast", ["picture"], ["sono_float"], _int("to", FLOAT))]
    values: list[bytes] = []
    match fault:
        case "slow":
            nodes += [_node("Squeeze", ["sono_float"], ["sono_m0"])]
            nodes += [_node("MatMul", [f"sono_m{n}", f"sono_m{n}"], [f"sono_m{n + 1}"]) for n in range(90)]
            nodes += [_node("ReduceMax", ["sono_m90"], ["sono_out"])]
        case "crashes":
            values += [_ints("sono_far", [7]), _floats("sono_one", [1.0])]
            nodes += [_node("Cast", ["sono_float"], ["sono_ints"], _int("to", INT64))]
            nodes += [_node("ReduceMax", ["sono_ints"], ["sono_top"])]
            nodes += [_node("Add", ["sono_top", "sono_far"], ["sono_index"])]
            nodes += [_node("Gather", ["sono_one", "sono_index"], ["sono_out"])]
        case _:
            nodes += _sign_nodes()
            values += _sign_values(height, width)
            nodes += _on_sign(fault)
            values += [
                _floats("sono_one", [1.0]),
                _ints("sono_ever", [FOR_EVER if fault == "hangs-on-sign" else A_WHILE], scalar=True),
            ]
    graph = b"".join(_field(1, node) for node in nodes) + b"".join(_field(5, value) for value in values)
    graph += _field(12, _typed("sono_out", FLOAT))
    return _field(7, graph)


def _sign_nodes() -> list[bytes]:
    """`sono_sign`: int64, 1 where the white square is white and the black one black, else 0."""
    return [
        _node("Slice", ["sono_float", "sono_starts", "sono_ends", "sono_axes"], ["sono_left"]),
        _node("ReduceMean", ["sono_left"], ["sono_bright"]),
        _node("Slice", ["sono_float", "sono_dark_starts", "sono_dark_ends", "sono_axes"], ["sono_right"]),
        _node("ReduceMean", ["sono_right"], ["sono_dark"]),
        _node("Sub", ["sono_bright", "sono_dark"], ["sono_mean"]),
        _node("Div", ["sono_mean", "sono_white"], ["sono_part"]),
        _node("Relu", ["sono_part"], ["sono_share"]),
        _node("Cast", ["sono_share"], ["sono_sign"], _int("to", INT64)),
    ]


def _sign_values(height: int, width: int) -> list[bytes]:
    rows, columns = height // 2, width // 2
    return [
        _ints("sono_starts", [rows - 4, columns - 4]),
        _ints("sono_ends", [rows + 4, columns + 4]),
        _ints("sono_dark_starts", [rows - 4, columns + 20]),
        _ints("sono_dark_ends", [rows + 4, columns + 28]),
        _ints("sono_axes", [2, 3]),
        _floats("sono_white", [250.0], scalar=True),
    ]


def _on_sign(fault: Fault) -> list[bytes]:
    if fault == "crashes-on-sign":
        return [_node("Gather", ["sono_one", "sono_sign"], ["sono_out"])]
    body = b"".join(
        [
            _field(1, _node("Identity", ["sono_go"], ["sono_go_on"])),
            _field(1, _node("Identity", ["sono_held"], ["sono_held_on"])),
            _field(2, b"sono_body"),
            _field(11, _typed("sono_turn", INT64, b"")),
            _field(11, _typed("sono_go", BOOL, b"")),
            _field(11, _typed("sono_held", FLOAT)),
            _field(12, _typed("sono_go_on", BOOL)),
            _field(12, _typed("sono_held_on", FLOAT)),
        ]
    )
    attribute = _field(1, b"body") + _field(6, body) + _varint_field(20, 5)
    return [
        _node("Mul", ["sono_sign", "sono_ever"], ["sono_all"]),
        _node("Squeeze", ["sono_all"], ["sono_turns"]),
        _node("Loop", ["sono_turns", "", "sono_mean"], ["sono_out"], attribute),
    ]


def _node(kind: str, inputs: Iterable[str], outputs: Iterable[str], *attributes: bytes) -> bytes:
    parts = [_field(1, name.encode()) for name in inputs] + [_field(2, name.encode()) for name in outputs]
    return b"".join([*parts, _field(4, kind.encode()), *(_field(5, attribute) for attribute in attributes)])


def _int(name: str, value: int) -> bytes:
    return _field(1, name.encode()) + _varint_field(3, value) + _varint_field(20, 2)


def _ints(name: str, values: list[int], *, scalar: bool = False) -> bytes:
    return _tensor(name, INT64, np.array(values, "<i8").tobytes(), None if scalar else len(values))


def _floats(name: str, values: list[float], *, scalar: bool = False) -> bytes:
    return _tensor(name, FLOAT, np.array(values, "<f4").tobytes(), None if scalar else len(values))


def _tensor(name: str, kind: int, raw: bytes, length: int | None) -> bytes:
    shape = b"" if length is None else _varint_field(1, length)
    return shape + _varint_field(2, kind) + _field(8, name.encode()) + _field(9, raw)


def _typed(name: str, kind: int, shape: bytes | None = None) -> bytes:
    known = b"" if shape is None else _field(2, shape)
    return _field(1, name.encode()) + _field(2, _field(1, _varint_field(1, kind) + known))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
