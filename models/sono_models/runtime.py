"""The one seam to an inference runtime, and the two that stand behind it.

Both run the same integers (docs/adr/0004). ONNX Runtime takes `model.onnx` (uint8 (1, 1, h, w) → float32
logits (1, 2, r, c)); LiteRT, or the card's tflite-runtime, takes `model.tflite` (int8 NHWC → int8 NHWC).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from sono_models.errors import BadBundle, BadConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sono_models.inputs import Grey

RuntimeName = Literal["onnx", "litert"]
RUNTIMES: tuple[RuntimeName, ...] = ("onnx", "litert")
MODEL_FILE: dict[RuntimeName, str] = {"onnx": "model.onnx", "litert": "model.tflite"}


class Runtime(Protocol):
    """Scores one picture at a time; bit-repeatable on one machine."""

    name: RuntimeName
    version: str

    def saliency(self, picture: Grey) -> NDArray[np.float32]:
        """The logits (2, rows, columns) of a letterboxed picture (height, width)."""
        ...


class OnnxRuntime:
    """ONNX Runtime on the CPU. Spinning is off: it costs eight times the CPU time of a paced frame."""

    name: RuntimeName = "onnx"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        import onnxruntime as ort  # noqa: PLC0415  (0.1 s, and only one runtime is wanted)

        self.version: str = ort.__version__
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BadBundle("model.onnx", f"ONNX Runtime cannot load it ({error})", "Fetch the bundle again") from error
        self._input: str = self._session.get_inputs()[0].name

    def saliency(self, picture: Grey) -> NDArray[np.float32]:
        (logits,) = self._session.run(None, {self._input: picture[None, None]})
        return np.asarray(logits[0], np.float32)


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
        output = self._interpreter.get_output_details()[0]
        self._output = int(output["index"])
        scale, zero = output["quantization"]
        self._scale, self._zero = np.float32(scale), np.int32(zero)

    def saliency(self, picture: Grey) -> NDArray[np.float32]:
        shifted = (picture ^ np.uint8(0x80)).view(np.int8)
        self._interpreter.set_tensor(self._input, shifted[None, :, :, None])
        self._interpreter.invoke()
        quantized = self._interpreter.get_tensor(self._output)[0]
        logits = (quantized.astype(np.int32) - self._zero).astype(np.float32) * self._scale
        return np.ascontiguousarray(logits.transpose(2, 0, 1))


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
