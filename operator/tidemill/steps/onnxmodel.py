"""ONNX models as bytes: made from a converted graph, loaded, asked for probabilities."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.compose
import onnxruntime
from numpy.typing import NDArray

from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType
from tidemill.steps.failures import StepError
from tidemill.steps.metrics import Floats
from tidemill.steps.tables import Rows

LABEL, PROBABILITIES = "label", "probabilities"
_INNER = "model/"
_BATCH = 50_000
_FATAL = 3


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A model with the signature that `api.documents.bundle` describes."""

    data: bytes
    features: tuple[Feature, ...]
    _session: Any = field(repr=False)

    @classmethod
    def from_graph(cls, graph: Any, features: tuple[Feature, ...]) -> "OnnxModel":
        """Give a converted graph, whose inputs are input0, input1, ..., its features' names."""
        for item in features:
            if item.name in (LABEL, PROBABILITIES) or item.name.startswith(_INNER):
                said = f"a feature may not be called {item.name}: the model's output is; rename it"
                raise StepError("InvalidColumnName", f"{said} at the source")
        onnx.compose.add_prefix(graph, _INNER, inplace=True)
        names = {f"{_INNER}input{place}": item.name for place, item in enumerate(features)}
        names |= {f"{_INNER}{name}": name for name in (LABEL, PROBABILITIES)}
        for item in (*graph.graph.input, *graph.graph.output):
            item.name = names[item.name]
        for node in graph.graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        # The converter lists these in the order of a set, which differs from process to process.
        imports = sorted(graph.opset_import, key=lambda item: str(item.domain))
        del graph.opset_import[:]
        graph.opset_import.extend(imports)
        return cls.load(graph.SerializeToString(deterministic=True), features, "the new model")

    @classmethod
    def load(cls, data: bytes, features: tuple[Feature, ...], name: str) -> "OnnxModel":
        """Load a model. Raises ModelUnreadable if it is none, or not of this signature."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises what its C++ throws, without a common base
            line = str(error).strip().splitlines()[0][:300]
            said = f"{name} cannot be loaded as an ONNX model: {line}"
            raise StepError("ModelUnreadable", said) from error
        found = {item.name: item.type for item in session.get_inputs()}
        wanted = {
            item.name: "tensor(float)" if item.type is ValueType.NUMBER else "tensor(string)"
            for item in features
        }
        outputs = {item.name for item in session.get_outputs()}
        if found != wanted or not {LABEL, PROBABILITIES} <= outputs:
            said = f"{name} takes {found} and gives {sorted(outputs)}; its signature says {wanted}"
            raise StepError("ModelUnreadable", f"{said} in, {LABEL} and {PROBABILITIES} out")
        return cls(data, features, session)

    def probabilities(self, rows: Rows) -> Floats:
        """The probability of yes for every row. The rows must have the model's features."""
        columns = {item.name: rows.column(item.name).reshape(-1, 1) for item in self.features}
        found = [
            self._session.run(
                [PROBABILITIES],
                {name: values[start : start + _BATCH] for name, values in columns.items()},
            )[0][:, 1]
            for start in range(0, len(rows), _BATCH)
        ]
        joined: NDArray[np.float64] = np.concatenate([np.empty(0), *found]).astype(np.float64)
        return joined
