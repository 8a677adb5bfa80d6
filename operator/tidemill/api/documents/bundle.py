"""The bundle of a model: all that serving, judging and reproducing it takes.

The ONNX graph has one input per feature, named as the column, of shape [N, 1]: float32 for a
Number (NaN when missing), string for a Category ("" when missing). Its outputs are `label`
(int64 [N]) and `probabilities` (float32 [N, 2], the positive class second). All transforms are
inside the graph.
"""

from typing import Annotated, Any

from pydantic import Field

from tidemill.api.base import Model
from tidemill.api.documents.profile import ValueType


class Feature(Model):
    """One input of the model."""

    name: str
    type: ValueType


class Signature(Model):
    """What goes into the model, what comes out and how the answer is decided."""

    features: Annotated[tuple[Feature, ...], Field(max_length=64)]
    threshold: float
    """A probability of at least this is a yes."""
    positive: str
    """The label's value that counts as yes."""
    label: str
    """The predicted column."""


class GoldenExample(Model):
    """A row whose answer is known; a server must reproduce it before it is ready."""

    inputs: dict[str, Any]
    """Feature -> value, null when missing."""
    probability: float


class StoredFile(Model):
    """A file beside bundle.json."""

    name: str
    """Its name, without a path."""
    digest: str
    """sha256:<hex> of its bytes."""


class HeldOut(Model):
    """The rows below a share of the hash of some columns (see DatasetVersion, HashSplit)."""

    columns: tuple[str, ...]
    share: str


class Bundle(Model):
    """bundle.json."""

    version: int = 1
    model: StoredFile
    """The ONNX file that serves (refitted, if refit was asked for)."""
    twin: StoredFile | None = None
    """The unrefitted ONNX file that was judged, where it is another one."""
    profile: StoredFile
    """The baseline profile (profile.json), of the rows the serving model learned from."""
    signature: Signature
    golden: Annotated[tuple[GoldenExample, ...], Field(max_length=20)]
    """Rows of the test set with the serving model's probabilities."""
    metrics: tuple[dict[str, Any], ...] = ()
    """The Measured entries of the judgement."""
    data_start: str
    """The oldest event the serving model has learned from."""
    data_end: str
    """The newest."""
    twin_data_end: str
    """The newest event the twin (or the model itself, if there is none) has learned from."""
    held_out: HeldOut | None = None
    """By hash: the rows that the twin (or the model itself, if there is none) has not learned
    from. None: they are the ones after twin_data_end."""
    algorithm: str = ""
    parameters: dict[str, str] = Field(default_factory=dict)
    seed: int = 0
    dataset_digest: str = ""
    parity: float = 0.0
    created_at: str = ""
