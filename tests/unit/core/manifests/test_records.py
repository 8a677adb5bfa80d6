"""Bodies of records."""

from tests.builders import make_model, make_version
from tidemill.core.identity import LABEL_TRAININGJOB, stable_hash
from tidemill.core.manifests.records import dataset_version_body, model_version_body


def test_a_version_is_labelled_with_its_dataset_and_owned_by_nobody() -> None:
    spec = make_version().spec

    body = dataset_version_body("tides", "flights-1", spec)

    assert body["metadata"] == {
        "name": "flights-1",
        "namespace": "tides",
        "labels": {
            "app.kubernetes.io/name": "tidemill",
            "app.kubernetes.io/component": "record",
            "app.kubernetes.io/managed-by": "tidemill",
            "tidemill.dev/dataset": "flights",
        },
        "annotations": {"tidemill.dev/spec-hash": stable_hash(spec.to_wire())},
    }
    assert "status" not in body


def test_a_model_has_the_labels_it_is_given() -> None:
    body = model_version_body("tides", "delays-1", make_model().spec, {LABEL_TRAININGJOB: "delays"})

    assert body["kind"] == "ModelVersion"
    assert body["metadata"]["labels"]["tidemill.dev/trainingjob"] == "delays"
    assert "ownerReferences" not in body["metadata"]
