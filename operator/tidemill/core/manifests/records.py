"""Bodies of records. They have no ownerReference: a record outlives its maker."""

from collections.abc import Mapping

from tidemill.api.base import API_VERSION
from tidemill.api.v1alpha1.datasetversion import DatasetVersionSpec
from tidemill.api.v1alpha1.modelversion import ModelVersionSpec
from tidemill.core.identity import ANNOTATION_SPEC_HASH, LABEL_DATASET, labels, stable_hash
from tidemill.core.plan import Body


def dataset_version_body(namespace: str, name: str, spec: DatasetVersionSpec) -> Body:
    """A DatasetVersion, labelled with its Dataset."""
    return _record("DatasetVersion", namespace, name, {LABEL_DATASET: spec.dataset_ref.name}, spec)


def model_version_body(
    namespace: str, name: str, spec: ModelVersionSpec, marks: Mapping[str, str]
) -> Body:
    """A ModelVersion with these labels of ours."""
    return _record("ModelVersion", namespace, name, marks, spec)


def _record(
    kind: str,
    namespace: str,
    name: str,
    marks: Mapping[str, str],
    spec: DatasetVersionSpec | ModelVersionSpec,
) -> Body:
    wire = spec.to_wire()
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels("record", marks),
            "annotations": {ANNOTATION_SPEC_HASH: stable_hash(wire)},
        },
        "spec": wire,
    }
