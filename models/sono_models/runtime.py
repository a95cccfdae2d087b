"""The one seam to an inference runtime, and the two that stand behind it.

Both run the same integers (docs/adr/0004). ONNX Runtime takes `model.onnx` (uint8 (1, 1, h, w) → float32
(1, channels, rows, columns) for each output); LiteRT, or the card's tflite-runtime, takes `model.tflite` (int8
NHWC → int8 NHWC). Outputs stand in the order of `Raw`; those after the first may be absent.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from sono_models.errors import BadBundle, BadConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sono_models.inputs import Grey

RuntimeName = Literal["onnx", "litert"]
RUNTIMES: tuple[RuntimeName, ...] = ("onnx", "litert")
MODEL_FILE: dict[RuntimeName, str] = {"onnx": "model.onnx", "litert": "model.tflite"}


@dataclass(frozen=True, slots=True)
class Raw:
    """What one pass of the network gives, float32."""

    saliency: NDArray[np.float32]
    """Logits (findings, rows, columns)."""
    features: NDArray[np.float32] | None = None
    """What the saliency is made from, (channels, rows, columns), 0 to 6."""
    lesion: NDArray[np.float32] | None = None
    """Logits of "a lesion, of whichever finding, is here", (rows, columns), finer than the saliency."""

    @classmethod
    def of(cls, outputs: Sequence[NDArray[np.float32]]) -> Raw:
        """From the outputs (channels, rows, columns) in their order."""
        saliency, *rest = outputs
        return cls(saliency, rest[0] if rest else None, rest[1][0] if len(rest) > 1 else None)


class Runtime(Protocol):
    """Scores one picture at a time; bit-repeatable on one machine."""

    name: RuntimeName
    version: str

    def run(self, picture: Grey) -> Raw:
        """One pass over a letterboxed picture (height, width)."""
        ...


class OnnxRuntime:
    """ONNX Runtime on the CPU. Spinning is off: it costs eight times the CPU time of a paced frame.

    Where a CPU has AVX2 or AVX-512 without VNNI, the fast uint8 x int8 kernels add pairs of products in 16 bits, which
    overflow: the shipped model's logits moved by 2.4. There `x64quantprecision` takes exact ones (docs/adr/0007).
    """

    name: RuntimeName = "onnx"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        import onnxruntime as ort  # noqa: PLC0415  (0.1 s, and only one runtime is wanted)

        self.version: str = ort.__version__
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BadBundle("model.onnx", f"ONNX Runtime cannot load it ({error})", "Fetch the bundle again") from error
        self._input: str = self._session.get_inputs()[0].name

    def run(self, picture: Grey) -> Raw:
        return Raw.of([output[0] for output in self._session.run(None, {self._input: picture[None, None]})])


class LiteRuntime:
    """LiteRT, or tflite-runtime where only that is installed: the same class, the same calls."""

    name: RuntimeName = "litert"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        interpreter, self.version = _interpreter_class()
        try:
            self._interpreter = interpreter(model_content=model, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, SystemError) as error:
            raise BadBundle("model.tflite", f"LiteRT cannot load it ({error})", "Fetch the bundle again") from error
        self._input = int(self._interpreter.get_input_details()[0]["index"])
        self._outputs = [
            (int(output["index"]), np.float32(output["quantization"][0]), np.int32(output["quantization"][1]))
            for output in self._interpreter.get_output_details()
        ]

    def run(self, picture: Grey) -> Raw:
        shifted = (picture ^ np.uint8(0x80)).view(np.int8)
        self._interpreter.set_tensor(self._input, shifted[None, :, :, None])
        self._interpreter.invoke()
        return Raw.of([self._output(*output) for output in self._outputs])

    def _output(self, index: int, scale: np.float32, zero: np.int32) -> NDArray[np.float32]:
        quantized = self._interpreter.get_tensor(index)[0]
        values = (quantized.astype(np.int32) - zero).astype(np.float32) * scale
        return np.ascontiguousarray(values.transpose(2, 0, 1))


def _interpreter_class() -> tuple[Any, str]:
    for module, distribution in (("ai_edge_litert", "ai-edge-litert"), ("tflite_runtime", "tflite-runtime")):
        try:
            found = importlib.import_module(f"{module}.interpreter")
        except ImportError:
            continue
        from importlib.metadata import version  # noqa: PLC0415

        return found.Interpreter, f"{distribution} {version(distribution)}"
    raise BadConfig("runtime litert", "neither ai-edge-litert nor tflite-runtime is installed", _LITERT_NEXT)


_LITERT_NEXT = "Install the extra: pip install 'sonoedge[litert]', or choose --runtime onnx"


def open_runtime(name: RuntimeName, model: bytes, *, threads: int = 1) -> Runtime:
    """Raises BadConfig when the runtime is not installed, BadBundle when it refuses the model."""
    match name:
        case "onnx":
            return OnnxRuntime(model, threads=threads)
        case "litert":
            return LiteRuntime(model, threads=threads)
