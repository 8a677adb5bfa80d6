"""The model: ONNX Runtime on the CPU, and the examples it must reproduce before it may answer."""

import time
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tidemill.api.documents.bundle import GoldenExample
from tidemill.serving.batch import Batch, Layout
from tidemill.serving.bundles import LoadedBundle, invalid
from tidemill.serving.failures import Exit, StartError

TOLERANCE = 1e-4
"""How far a probability may lie from its golden example's; float32 arithmetic differs by CPU."""

_OUTPUT = "probabilities"
_BRIEF_SECONDS = 0.002
_MOST_INLINE_ROWS = 256


class OnnxModel:
    """A loaded model that has reproduced its golden examples.

    Only operators built into ONNX Runtime are available: no library of custom ones is loaded.
    """

    def __init__(self, loaded: LoadedBundle, threads: int = 1) -> None:
        """Load and check. Raises StartError."""
        self.signature = loaded.bundle.signature
        self.layout = Layout.of(self.signature.features)
        self._session = _open(loaded.model, threads)
        self._check_graph()
        rows = _golden_rows(loaded.bundle.golden, self.layout)
        self._check_golden(rows, loaded.bundle.golden)
        self.inline_rows = self._measure(rows)
        """Requests of at most so many rows are answered within about two milliseconds."""

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """Return the probability of a yes for each row."""
        shape = (batch.rows, 1)
        singles = batch.numbers.astype(np.float32)
        feeds: dict[str, NDArray[np.float32] | NDArray[np.object_]] = {}
        for place, name in enumerate(self.layout.numbers):
            feeds[name] = singles[place].reshape(shape)
        for name, values in zip(self.layout.texts, batch.texts, strict=True):
            feeds[name] = np.array(values, dtype=np.object_).reshape(shape)
        (scores,) = self._session.run([_OUTPUT], feeds)
        return np.asarray(scores[:, 1], dtype=np.float64)

    def _check_graph(self) -> None:
        """The graph must have one input per feature, of its type, and the output we read."""
        wanted = dict.fromkeys(self.layout.numbers, "tensor(float)")
        wanted |= dict.fromkeys(self.layout.texts, "tensor(string)")
        found = {node.name: node.type for node in self._session.get_inputs()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                said = f"{found.get(name, 'nothing')} in the graph"
                raise invalid(
                    f"input {name} is {said} and {wanted.get(name, 'nothing')} by the signature"
                )
        outputs = {node.name: node.type for node in self._session.get_outputs()}
        if outputs.get(_OUTPUT) != "tensor(float)":
            raise invalid(f"the graph has no output {_OUTPUT} of float32, shape [N, 2]")

    def _check_golden(self, rows: Batch, golden: Sequence[GoldenExample]) -> None:
        try:
            scores = self.predict(rows)
        except Exception as error:
            raise invalid(f"the model does not run: {str(error)[:500]}") from error
        if scores.shape != (rows.rows,):
            raise invalid(f"output {_OUTPUT} does not have shape [N, 2]")
        for place, example in enumerate(golden):
            if not abs(scores[place] - example.probability) <= TOLERANCE:
                said = f"golden example {place}: probability {scores[place]:.6f}, the bundle says"
                said = f"{said} {example.probability:.6f} (tolerance {TOLERANCE:g})"
                raise StartError(Exit.GOLDEN_MISMATCH, "GoldenMismatch", said)

    def _measure(self, rows: Batch) -> int:
        """Return how many rows may be predicted without making other requests wait noticeably."""
        one = _repeated(rows, 1)
        many = _repeated(rows, _MOST_INLINE_ROWS)
        single = min(self._seconds(one) for _ in range(5))
        if single > _BRIEF_SECONDS / 2:
            return 0
        each = max(0.0, min(self._seconds(many) for _ in range(3)) - single) / _MOST_INLINE_ROWS
        room = (_BRIEF_SECONDS - single) / each if each else _MOST_INLINE_ROWS
        return max(1, min(_MOST_INLINE_ROWS, int(room)))

    def _seconds(self, batch: Batch) -> float:
        start = time.perf_counter()
        self.predict(batch)
        return time.perf_counter() - start


def _open(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise invalid(f"the model cannot be loaded: {str(error)[:500]}") from error


def _golden_rows(golden: Sequence[GoldenExample], layout: Layout) -> Batch:
    """Return the golden inputs, or a row of missing values where there are none."""
    try:
        return Batch.of_rows([example.inputs for example in golden] or [{}], layout)
    except (TypeError, ValueError) as error:
        raise invalid(f"a golden example does not fit the signature: {error}") from error


def _repeated(rows: Batch, count: int) -> Batch:
    """Return a batch of `count` rows made of these."""
    places = np.arange(count) % rows.rows
    texts = tuple([column[place] for place in places] for column in rows.texts)
    return Batch(count, np.ascontiguousarray(rows.numbers[:, places]), texts)
