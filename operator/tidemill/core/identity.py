"""Names, labels, hashes and places of everything the operator makes.

A name is a function of what it is for, so that making a thing twice meets itself. Names follow
DNS-1035 and stay within 63 characters because the three kinds users write have at most 40.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tidemill.api.base import API_VERSION, GROUP
from tidemill.core.plan import Body

FIELD_MANAGER = "tidemill"

LABEL_DATASET = f"{GROUP}/dataset"
LABEL_TRAININGJOB = f"{GROUP}/trainingjob"
LABEL_MODELDEPLOYMENT = f"{GROUP}/modeldeployment"
LABEL_EXECUTION = f"{GROUP}/execution"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

ANNOTATION_APPLIED = f"{GROUP}/applied"
"""On every child held by server-side apply: the hash of the body we wanted."""
ANNOTATION_SPEC_HASH = f"{GROUP}/spec-hash"
"""On everything made once: the hash of its spec; tells ours from a stranger of the same name."""
FINALIZER = f"{GROUP}/execution"
"""On executions that Kubeflow runs, until they are over."""


def stable_hash(value: Any, length: int = 64) -> str:
    """Hex sha256 of a JSON value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def execution_name(parent: str, *, kind: str, uid: str, cause: str, key: str) -> str:
    """`<parent>-<10 hex of (kind, parent uid, cause, key)>`."""
    return f"{parent}-{stable_hash([kind, uid, cause, key], 10)}"


def dataset_version_name(dataset: str, digest: str, taken: Mapping[str, str]) -> str:
    """`<dataset>-<8 hex of the digest>`, or 16 hex where `taken` (name -> full digest) holds
    another digest under the short name.
    """
    bare = digest.removeprefix("sha256:")
    short = f"{dataset}-{bare[:8]}"
    return short if taken.get(short, digest) == digest else f"{dataset}-{bare[:16]}"


def labels(component: str, extra: Mapping[str, str]) -> dict[str, str]:
    """The labels of a child. Never `app.kubernetes.io/instance`, never copied from the parent."""
    return {
        "app.kubernetes.io/name": "tidemill",
        "app.kubernetes.io/component": component,
        LABEL_MANAGED_BY: "tidemill",
        **extra,
    }


def controller_reference(kind: str, name: str, uid: str) -> Body:
    """The ownerReference of a child of one of our kinds."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_uid(body: Body) -> str | None:
    """The uid of an object's controller."""
    for reference in body["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            return str(reference["uid"])
    return None


def namespace_prefix(root: str, cluster_uid: str, namespace: str) -> str:
    """Everything of a namespace in the artifact store lies under this prefix."""
    return f"{root.rstrip('/')}/{cluster_uid}/{namespace}"


def attempt_prefix(root: str, cluster_uid: str, namespace: str, uid: str, attempt: int) -> str:
    """Where one attempt of an execution leaves result.json and progress.json."""
    return f"{namespace_prefix(root, cluster_uid, namespace)}/runs/{uid}/{attempt}"


def records_prefix(root: str, cluster_uid: str, namespace: str, kind: str, parent: str) -> str:
    """Where the records of a parent keep their bytes; `kind` is a plural such as datasets."""
    return f"{namespace_prefix(root, cluster_uid, namespace)}/records/{kind}/{parent}"
