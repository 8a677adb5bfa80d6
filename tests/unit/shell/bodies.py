"""Small objects for tests of the shell."""

from tidemill.core.identity import controller_reference, labels
from tidemill.core.plan import Body

PARENT_UID = "uid-tides"


def a_dataset(
    name: str = "tides", *, uid: str = PARENT_UID, version: int = 10, generation: int = 1,
    namespace: str = "sea", status: Body | None = None, **metadata: object,
) -> Body:  # fmt: skip
    """A Dataset as the API server has it."""
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "resourceVersion": str(version),
            "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **metadata,
        },
        "spec": {},
        **({"status": status} if status is not None else {}),
    }


def a_service(
    name: str = "mill", *, uid: str = "", version: int = 0, owner: str = PARENT_UID,
    namespace: str = "sea", port: int = 80, **metadata: object,
) -> Body:  # fmt: skip
    """A Service of the Dataset; with a uid as the API server has it, without as a plan wants it."""
    live = {"uid": uid, "resourceVersion": str(version)} if uid else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels("test", {"tidemill.dev/dataset": "tides"}),
            "ownerReferences": [controller_reference("Dataset", "tides", owner)],
            **live,
            **metadata,
        },
        "spec": {"ports": [{"port": port}]},
    }
